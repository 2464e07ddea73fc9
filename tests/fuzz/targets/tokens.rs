//! JSON Web Tokens, their claims and key sets: whatever a client or a provider sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::jose::claims::Claims;
use portcullis::jose::compact::{Compact, is_jws};
use portcullis::jose::json::Object;
use portcullis::jose::jwk::{Jwks, Origin};
use portcullis::jose::token::Token;

fuzz_target!(|text: &[u8]| {
    if let Ok(compact) = Compact::parse(text) {
        assert!(is_jws(text), "what parses looks like a token");
        let _ = compact.payload();
        assert!(compact.signing_input().len() < text.len());
    }
    if let Ok(token) = Token::parse(text) {
        let _ = token.unverified_issuer();
    }
    if let Ok(object) = Object::parse(text, 8) {
        for (name, value) in object.members() {
            assert_eq!(object.member(name), Some(value));
        }
    }
    let _ = Claims::parse(text);
    let _ = Jwks::parse(text, Origin::Remote);
});
