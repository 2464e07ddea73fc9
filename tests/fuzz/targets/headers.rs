//! Headers that say who calls: certificates of hops, identities, digests and codes of signatures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::head::Head;
use portcullis::peer::spiffe::SpiffeId;
use portcullis::peer::{digest, xfcc};
use portcullis::signature::request::is_nonce;
use portcullis::signature::{digest as body_digest, hex, parse_timestamp, unhex};

fuzz_target!(|value: &[u8]| {
    let head = Head::from_pairs([(xfcc::HEADER, value)]);
    let own = [0xab; 32];
    let _ = (xfcc::nearest(&head, None), xfcc::nearest(&head, Some(&own)));
    let _ = Head::from_host_map(value.to_vec());
    if let Ok(id) = SpiffeId::parse(value) {
        assert_eq!(id.as_str().as_bytes(), value);
        assert!(!id.trust_domain().is_empty());
    }
    let _ = digest(value);
    if let Some(code) = unhex(value) {
        assert!(hex(&code).as_bytes().eq_ignore_ascii_case(value));
    }
    let Ok(text) = std::str::from_utf8(value) else { return };
    let _ = (is_nonce(text), parse_timestamp(text));
    if let Some(digest) = body_digest::parse(text) {
        assert_eq!(body_digest::parse(&body_digest::format(&digest)), Some(digest));
    }
});
