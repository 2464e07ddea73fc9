//! Compact JWS made with a shared secret: the tokens that login and refresh hand out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, KeyType};
use super::key::Secret;
use crate::media::json::written;

/// `claims` (JSON) as a JWT signed with `secret`; `None` for an algorithm other than `HS*`.
pub fn sign(algorithm: Algorithm, secret: &Secret, kid: Option<&str>, claims: &[u8]) -> Option<String> {
    if algorithm.key_type() != KeyType::Secret {
        return None;
    }
    let mut header = format!(r#"{{"alg":"{algorithm}","typ":"JWT""#);
    if let Some(kid) = kid {
        header.push_str(r#","kid":"#);
        header.push_str(&written(&kid.into()));
    }
    header.push('}');
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let code = secret.authenticate(algorithm.hash(), token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(code, &mut token);
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::compact::Compact;

    #[test]
    fn signs_what_verifies_with_any_name_of_the_key() {
        let secret = Secret::new(b"0123456789abcdef0123456789abcdef").unwrap();
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            for kid in [None, Some("k1"), Some("\"},{\u{7}")] {
                let token = sign(algorithm, &secret, kid, br#"{"sub":"a"}"#).unwrap();
                let jws = Compact::parse(token.as_bytes()).unwrap();
                assert_eq!(jws.header().kid.as_deref(), kid);
                assert_eq!(jws.payload().unwrap(), br#"{"sub":"a"}"#);
                assert!(secret.verify(algorithm.hash(), jws.signing_input(), jws.signature()));
            }
        }
        assert_eq!(sign(Algorithm::Rs256, &secret, None, b"{}"), None);
    }
}
