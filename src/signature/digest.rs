//! The digest of a body as its header says it (RFC 9530 section 2): `sha-256=:BASE64:`, one algorithm, one form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// SHA-256 of a body.
pub type BodyDigest = [u8; 32];

/// The digest of `body`.
pub fn of(body: &[u8]) -> BodyDigest {
    Sha256::digest(body).into()
}

/// The header's value for `digest`.
pub fn format(digest: &BodyDigest) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest))
}

/// The digest that a header's value says; `None` for any other form.
pub fn parse(value: &str) -> Option<BodyDigest> {
    let encoded = value.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530 appendix B.1: the content `{"hello": "world"}` and a line end.
    #[test]
    fn is_the_one_of_the_rfc() {
        let value = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(format(&of(b"{\"hello\": \"world\"}\n")), value);
        assert_eq!(parse(value), Some(of(b"{\"hello\": \"world\"}\n")));
    }

    #[test]
    fn has_one_form() {
        let value = format(&of(b""));
        let inner = value.strip_prefix("sha-256=:").unwrap().strip_suffix(':').unwrap();
        for other in [
            String::new(),
            inner.to_owned(),
            format!("sha-512=:{inner}:"),
            format!("SHA-256=:{inner}:"),
            format!("sha-256={inner}"),
            format!("{value}, sha-512=:AAAA:"),
            format!("{value} "),
            format!("sha-256=:{}:", inner.trim_end_matches('=')),
            "sha-256=:AAAA:".to_owned(),
            "sha-256=:".to_owned(),
        ] {
            assert_eq!(parse(&other), None, "{other}");
        }
    }
}
