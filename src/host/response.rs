//! Changes to the response at the host.

use crate::abi::{self, Buffer, Map};
use portcullis::checks::browser::cookies::CookieAttributes;
use portcullis::denial::LocalReply;
use portcullis::head::Head;

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
pub const DIGESTS: [&[u8]; 5] = [b"content-digest", b"repr-digest", b"digest", b"content-md5", b"etag"];

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
