//! What version 2 signs: eight lines about the whole request, each of which ends where the next begins.
//!
//! No line can hold a line end, so that no two requests have one string.

/// The first line: no string of any other use begins like this.
const TAG: &str = "portcullis-signature-v2";

/// Characters of a nonce.
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'r> {
    /// The service that signs.
    pub name: &'r str,
    /// As its header says it.
    pub timestamp: &'r str,
    /// As its header says it.
    pub nonce: &'r str,
    /// As sent.
    pub method: &'r [u8],
    /// In canonical form: what is decided on.
    pub path: &'r str,
    /// As sent, from its `?` on; empty where there is none.
    pub query: &'r [u8],
    /// As its header says it; empty where there is none, and no body.
    pub digest: &'r str,
}

impl SignedRequest<'_> {
    /// Whether no part can be taken for two lines.
    pub fn is_unambiguous(&self) -> bool {
        self.lines().iter().all(|line| !line.iter().any(u8::is_ascii_control))
    }

    pub(super) fn lines(&self) -> [&[u8]; 8] {
        let texts = [TAG, self.name, self.timestamp, self.nonce].map(str::as_bytes);
        let [tag, name, timestamp, nonce] = texts;
        [tag, name, timestamp, nonce, self.method, self.path.as_bytes(), self.query, self.digest.as_bytes()]
    }
}

/// Whether this is a nonce: 16 to 128 letters, digits, `-` and `_`.
pub fn is_nonce(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    NONCE_LENGTHS.contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::super::{Key, hex};
    use super::*;

    const REQUEST: SignedRequest<'_> = SignedRequest {
        name: "order-service",
        timestamp: "1700000000.25",
        nonce: "3b1f6c0c9d2e4a7f8a5b",
        method: b"POST",
        path: "/api/v1/users",
        query: b"?page=2&q=a%20b",
        digest: "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    };

    fn code(request: &SignedRequest<'_>) -> String {
        hex(&Key::new(b"service-key").unwrap().v2(request))
    }

    /// Made by Python's `hmac` and `hashlib` from the published lines; the worked example of `docs/signatures.md`.
    #[test]
    fn is_what_python_computes_from_the_published_lines() {
        assert_eq!(code(&REQUEST), "a64513c6c2942c5c680738425da8520e3236a94fb260998465c25af4ed5cffa9");
        let bare = SignedRequest { method: b"GET", query: b"", digest: "", ..REQUEST };
        assert_eq!(code(&bare), "1816bb0cd3a18b6d1cda11ae6d9de1a5943d6bf9fe9e880429057a57042d4031");
    }

    #[test]
    fn every_part_is_signed_and_none_can_run_into_the_next() {
        let others = [
            SignedRequest { name: "order-servic", ..REQUEST },
            SignedRequest { timestamp: "1700000000.250", ..REQUEST },
            SignedRequest { nonce: "3b1f6c0c9d2e4a7f8a5c", ..REQUEST },
            SignedRequest { method: b"PUT", ..REQUEST },
            SignedRequest { path: "/api/v1/user", ..REQUEST },
            SignedRequest { path: "/api/v1/users?page=2&q=a%20b", query: b"", ..REQUEST },
            SignedRequest { query: b"?page=2&q=a%20c", ..REQUEST },
            SignedRequest { query: b"?", ..REQUEST },
            SignedRequest { query: b"", ..REQUEST },
            SignedRequest { digest: "", ..REQUEST },
        ];
        let mut codes: Vec<String> = others.iter().chain([&REQUEST]).map(code).collect();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), others.len() + 1);
        assert!(REQUEST.is_unambiguous());
        for broken in [
            SignedRequest { name: "a\nb", ..REQUEST },
            SignedRequest { query: b"?a\nb", ..REQUEST },
            SignedRequest { method: b"GET\r", ..REQUEST },
            SignedRequest { digest: "\n", ..REQUEST },
        ] {
            assert!(!broken.is_unambiguous(), "{broken:?}");
        }
    }

    #[test]
    fn a_nonce_is_long_enough_to_be_unlike_others_and_plain() {
        for (text, expected) in [
            ("0123456789abcdef", true),
            ("0123456789abcde", false),
            ("b7e6a1d4-5f7c-4a44-9a37-0b1cf7f3a001", true),
            ("0123456789abcdef\n", false),
            ("0123456789abcde=", false),
            ("0123456789abcdé", false),
            ("", false),
        ] {
            assert_eq!(is_nonce(text), expected, "{text:?}");
        }
        assert!(is_nonce(&"a".repeat(128)) && !is_nonce(&"a".repeat(129)));
    }
}
