//! Changes to the response at the host.

use crate::abi::{self, Buffer, Map};
use portcullis::caching::for_one_client;
use portcullis::checks::browser::cookies::CookieAttributes;
use portcullis::denial::LocalReply;
use portcullis::exchange::HeaderEdit;
use portcullis::head::Head;
use portcullis::response::Author;

/// Adds to the cookies that the upstream sets what they lack, in their order.
pub fn harden_cookies(attributes: CookieAttributes) {
    const NAME: &str = "set-cookie";
    // The whole head is dear to read, and most responses set none.
    if abi::header(Map::ResponseHeaders, NAME).is_none() {
        return;
    }
    let head = abi::header_map(Map::ResponseHeaders).ok().and_then(Head::from_host_map).unwrap_or_default();
    if head.all(NAME).all(|cookie| attributes.added_to(cookie).is_none()) {
        return;
    }
    let _ = abi::remove_header(Map::ResponseHeaders, NAME.as_bytes());
    for cookie in head.all(NAME) {
        let hardened = attributes.added_to(cookie);
        let _ = abi::add_header(Map::ResponseHeaders, NAME.as_bytes(), hardened.as_deref().unwrap_or(cookie));
    }
}

/// Headers that vouch for the bytes of a body.
const DIGESTS: [&[u8]; 5] = [b"content-digest", b"repr-digest", b"digest", b"content-md5", b"etag"];

/// A header of this name vouches for the bytes of a body.
pub fn vouches(name: &[u8]) -> bool {
    DIGESTS.iter().any(|digest| name.eq_ignore_ascii_case(digest))
}

/// Takes out of the response's head what vouches for a body that the client does not get.
pub fn withdraw_digests() {
    for name in DIGESTS {
        let _ = abi::remove_header(Map::ResponseHeaders, name);
    }
}

/// Takes out what the head of a response without a body says of the body that another request would get.
pub fn forget_absent_body() {
    withdraw_digests();
    if abi::header(Map::ResponseHeaders, "content-length").is_some_and(|length| length != b"0") {
        let _ = abi::remove_header(Map::ResponseHeaders, b"content-length");
    }
}

/// Lets only caches of its one client keep the response with this head.
pub fn keep_from_shared_caches(head: &Head) {
    for edit in for_one_client(head) {
        let _ = match edit {
            HeaderEdit::Remove(name) => abi::remove_header(Map::ResponseHeaders, &name),
            HeaderEdit::Set(name, value) => abi::set_header(Map::ResponseHeaders, name.as_bytes(), &value),
        };
    }
}

/// Takes the trailers out of the response for which `goes`. False when the host refuses.
pub fn remove_trailers(goes: impl Fn(&[u8]) -> bool) -> bool {
    let Some(trailers) = abi::header_map(Map::ResponseTrailers).ok().and_then(Head::from_host_map) else {
        return false;
    };
    let mut going = trailers.iter().map(|(name, _)| name).filter(|name| goes(name));
    going.all(|name| abi::remove_header(Map::ResponseTrailers, name).is_ok())
}

/// A request of this content type is a gRPC call, as the proxy sees it.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Who made the response that the host shows.
pub fn author() -> Author {
    Author::of(&abi::property(b"response\0code_details").unwrap_or_default())
}

/// Makes the response's head ours: nothing that the upstream said stays.
pub fn replace_response_head(reply: &LocalReply) {
    let head = abi::header_map(Map::ResponseHeaders).ok().and_then(Head::from_host_map).unwrap_or_default();
    for (name, _) in head.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let _ = abi::remove_header(Map::ResponseHeaders, name);
    }
    let _ = abi::set_header(Map::ResponseHeaders, b":status", reply.status.to_string().as_bytes());
    for (name, value) in &reply.headers {
        let _ = abi::add_header(Map::ResponseHeaders, name.as_bytes(), value.as_bytes());
    }
}

/// Puts another body into the response, and says its length. False when the host refuses, as it does where a response
/// came without a body: it stays without one.
pub fn replace_response_body(body: &[u8]) -> bool {
    let replaced = abi::replace_buffer(Buffer::ResponseBody, body).is_ok();
    let length = if replaced { body.len() } else { 0 };
    let _ = abi::set_header(Map::ResponseHeaders, b"content-length", length.to_string().as_bytes());
    replaced
}
