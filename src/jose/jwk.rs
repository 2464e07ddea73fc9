//! JSON Web Keys and key sets (RFC 7517; key parameters of RFC 7518 section 6 and RFC 8037 section 2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, KeyType};
use super::json::{JsonError, Object};
use super::key::{KeyError, KeyFault, Secret, VerifyingKey};
use super::key_set::KeySet;
use super::pure::PublicKey;

/// The longest key set that is parsed, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// The most keys of one set; the rest is an error.
pub const MAX_KEYS: usize = 256;

/// Nested arrays and objects in a key set, itself counted (`oth` of a private RSA key, which is refused, needs five).
const MAX_DEPTH: usize = 6;

/// Where a key set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration: shared secrets (`oct`) are allowed.
    Inline,
    /// Fetched from a provider: a shared secret in it would be public.
    Remote,
}

/// A key set as it was read.
#[derive(Debug)]
pub struct Jwks {
    /// The keys that can verify something.
    pub keys: KeySet,
    /// Keys left out, by their position in `keys` (RFC 7517 section 5). For an inline set each is a mistake; in a
    /// fetched one, keys for encryption and types of the future are normal.
    pub skipped: Vec<(usize, KeyError)>,
}

/// Why a text is not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwksError {
    /// Longer than [`MAX_KEY_SET_BYTES`].
    TooLong,
    /// Not acceptable JSON.
    Json(JsonError),
    /// `keys` is absent or not an array.
    NoKeys,
    /// More than [`MAX_KEYS`].
    TooManyKeys,
}

impl Jwks {
    /// Parses a key set; keys that cannot be used are left out and named. The result may be empty.
    ///
    /// # Errors
    /// [`JwksError`] when there is no list of keys at all.
    pub fn parse(text: &[u8], origin: Origin) -> Result<Self, JwksError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(JwksError::TooLong);
        }
        let members = members(text)?;
        if members.len() > MAX_KEYS {
            return Err(JwksError::TooManyKeys);
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (position, member) in members.into_iter().enumerate() {
            let member = member.map_err(|error| fault("keys", KeyFault::Unreadable(error)));
            match member.and_then(|member| from_members(&member, origin)) {
                Ok(key) => keys.push(key),
                Err(error) => skipped.push((position, error)),
            }
        }
        Ok(Self { keys: KeySet::new(keys), skipped })
    }
}

/// One JWK by itself, as tests write it.
#[cfg(test)]
pub(super) fn parse_key(text: &[u8], origin: Origin) -> Result<VerifyingKey, KeyError> {
    let object = Object::parse(text, MAX_DEPTH).map_err(|_| fault("keys", KeyFault::WrongType))?;
    from_members(&object, origin)
}

/// The members of `keys`. One that no parser should be asked to read does not cost the others.
fn members(text: &[u8]) -> Result<Vec<Result<Object, JsonError>>, JwksError> {
    Object::elements(text, "keys", MAX_DEPTH).ok_or_else(|| match Object::parse(text, MAX_DEPTH) {
        Ok(_) => JwksError::NoKeys,
        Err(error) => JwksError::Json(error),
    })
}

fn from_members(jwk: &Object, origin: Origin) -> Result<VerifyingKey, KeyError> {
    let key_type = key_type(jwk)?;
    if key_type == KeyType::Secret && origin == Origin::Remote {
        return Err(fault("k", KeyFault::PublishedSecret));
    }
    if jwk.member("d").is_some() {
        return Err(fault("d", KeyFault::Private));
    }
    check_purpose(jwk)?;
    let kid = optional_text(jwk, "kid")?;
    let key = match key_type {
        KeyType::Secret => VerifyingKey::from_secret(kid, Secret::new(&Zeroizing::new(bytes(jwk, "k")?))?),
        KeyType::Rsa => VerifyingKey::from_rsa(kid, &bytes(jwk, "n")?, &bytes(jwk, "e")?)?,
        KeyType::P256 => VerifyingKey::from_p256(kid, &sized(jwk, "x")?, &sized(jwk, "y")?)?,
        KeyType::P384 => VerifyingKey::from_p384(kid, &sized(jwk, "x")?, &sized(jwk, "y")?)?,
        KeyType::Ed25519 => VerifyingKey::from_ed25519(kid, &sized(jwk, "x")?)?,
    };
    let Some(name) = optional_text(jwk, "alg")? else { return Ok(key) };
    key.restricted_to(algorithm(name).ok_or(fault("alg", KeyFault::Unsupported))?)
}

fn key_type(jwk: &Object) -> Result<KeyType, KeyError> {
    match text(jwk, "kty")? {
        "oct" => Ok(KeyType::Secret),
        "RSA" => Ok(KeyType::Rsa),
        "EC" => match text(jwk, "crv")? {
            "P-256" => Ok(KeyType::P256),
            "P-384" => Ok(KeyType::P384),
            _ => Err(fault("crv", KeyFault::Unsupported)),
        },
        "OKP" => match text(jwk, "crv")? {
            // No host verifies it.
            "Ed25519" if PublicKey::BUILT => Ok(KeyType::Ed25519),
            _ => Err(fault("crv", KeyFault::Unsupported)),
        },
        _ => Err(fault("kty", KeyFault::Unsupported)),
    }
}

/// `use` and `key_ops`, where present, must be for verifying (RFC 7517 sections 4.2 and 4.3).
fn check_purpose(jwk: &Object) -> Result<(), KeyError> {
    if optional_text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(fault("use", KeyFault::Unsupported));
    }
    let Some(operations) = jwk.member("key_ops") else { return Ok(()) };
    let operations = operations.as_array().ok_or(fault("key_ops", KeyFault::WrongType))?;
    if !operations.iter().any(|operation| operation.as_str() == Some("verify")) {
        return Err(fault("key_ops", KeyFault::Unsupported));
    }
    Ok(())
}

/// A key may carry the fully specified name of EdDSA (RFC 9864 section 2.2); tokens say `EdDSA`.
fn algorithm(name: &str) -> Option<Algorithm> {
    if name == "Ed25519" { Some(Algorithm::EdDsa) } else { Algorithm::parse(name) }
}

fn optional_text<'a>(jwk: &'a Object, member: &'static str) -> Result<Option<&'a str>, KeyError> {
    let Some(value) = jwk.member(member) else { return Ok(None) };
    value.as_str().map(Some).ok_or(fault(member, KeyFault::WrongType))
}

fn text<'a>(jwk: &'a Object, member: &'static str) -> Result<&'a str, KeyError> {
    optional_text(jwk, member)?.ok_or(fault(member, KeyFault::Missing))
}

fn bytes(jwk: &Object, member: &'static str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD.decode(text(jwk, member)?).map_err(|_| fault(member, KeyFault::Encoding))
}

fn sized<const N: usize>(jwk: &Object, member: &'static str) -> Result<[u8; N], KeyError> {
    let bytes = bytes(jwk, member)?;
    let bits = bytes.len() * 8;
    bytes.try_into().map_err(|_| fault(member, KeyFault::Size(bits)))
}

const fn fault(member: &'static str, fault: KeyFault) -> KeyError {
    KeyError { member, fault }
}

impl std::fmt::Display for JwksError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_KEY_SET_BYTES} bytes"),
            Self::Json(error) => write!(f, "{error}"),
            Self::NoKeys => f.write_str("keys: expected an array of keys"),
            Self::TooManyKeys => write!(f, "keys: more than {MAX_KEYS}"),
        }
    }
}

impl std::error::Error for JwksError {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::jose::key::Material;
    use crate::jose::vectors;

    /// A good key of the vectors with some members replaced, or removed when `null`.
    fn changed(kid: &str, changes: Value) -> Result<VerifyingKey, KeyError> {
        let set: Value = serde_json::from_str(vectors::KEYS).unwrap();
        let mut key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
            if value.is_null() {
                key.as_object_mut().unwrap().remove(name);
            }
        }
        parse_key(key.to_string().as_bytes(), Origin::Inline)
    }

    fn coordinate(bytes: usize, last: u8) -> String {
        let mut number = vec![0; bytes];
        *number.last_mut().unwrap() = last;
        URL_SAFE_NO_PAD.encode(number)
    }

    #[test]
    fn exports_public_keys_as_openssl_does() {
        let set = Jwks::parse(vectors::KEYS.as_bytes(), Origin::Remote).unwrap();
        assert!(set.skipped.is_empty());
        for (kid, digest) in vectors::SPKI_DIGESTS {
            let key = set.keys.keys().iter().find(|key| key.kid() == Some(kid)).unwrap();
            let spki = Sha256::digest(key.spki_der().unwrap());
            assert_eq!(spki.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), digest, "{kid}");
        }
    }

    #[test]
    fn says_which_member_makes_a_key_unusable() {
        let even_modulus = URL_SAFE_NO_PAD.encode([0xf0; 256]);
        let odd_bits = URL_SAFE_NO_PAD.encode([&[0x7f][..], &[0xff; 256]].concat());
        let huge = URL_SAFE_NO_PAD.encode([0xff; 513]);
        let off_curve = coordinate(32, 1);
        let prime = "_____wAAAAEAAAAAAAAAAAAAAAD_______________8";
        let mut order_eight: [u8; 32] = [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ];
        let order_eight_positive = URL_SAFE_NO_PAD.encode(order_eight);
        order_eight[31] |= 0x80;
        let order_eight_negative = URL_SAFE_NO_PAD.encode(order_eight);
        let identity = URL_SAFE_NO_PAD.encode([&[1][..], &[0; 31]].concat());
        let order_two = URL_SAFE_NO_PAD.encode([&[0xec][..], &[0xff; 30], &[0x7f]].concat());
        let not_canonical = URL_SAFE_NO_PAD.encode([&[0xee][..], &[0xff; 30], &[0x7f]].concat());
        let cases = [
            ("rsa", json!({"kty": null}), "kty", KeyFault::Missing),
            ("rsa", json!({"kty": 1}), "kty", KeyFault::WrongType),
            ("rsa", json!({"kty": "rsa"}), "kty", KeyFault::Unsupported),
            ("rsa", json!({"use": "enc"}), "use", KeyFault::Unsupported),
            ("rsa", json!({"use": ["sig"]}), "use", KeyFault::WrongType),
            ("rsa", json!({"key_ops": ["encrypt"]}), "key_ops", KeyFault::Unsupported),
            ("rsa", json!({"key_ops": "verify"}), "key_ops", KeyFault::WrongType),
            ("rsa", json!({"kid": 7}), "kid", KeyFault::WrongType),
            ("rsa", json!({"alg": "RSA-OAEP"}), "alg", KeyFault::Unsupported),
            ("rsa", json!({"alg": "none"}), "alg", KeyFault::Unsupported),
            ("rsa", json!({"alg": "HS256"}), "alg", KeyFault::Mismatched),
            ("rsa", json!({"d": "AQAB"}), "d", KeyFault::Private),
            ("rsa", json!({"n": null}), "n", KeyFault::Missing),
            ("rsa", json!({"n": "AQAB="}), "n", KeyFault::Encoding),
            ("rsa", json!({"n": "AAAA"}), "n", KeyFault::Size(0)),
            ("rsa", json!({"n": vectors::RSA_1024}), "n", KeyFault::Size(1024)),
            ("rsa", json!({"n": odd_bits}), "n", KeyFault::Size(2055)),
            ("rsa", json!({"n": huge}), "n", KeyFault::Size(4104)),
            ("rsa", json!({"n": even_modulus}), "n", KeyFault::Invalid),
            ("rsa", json!({"e": ""}), "e", KeyFault::Invalid),
            ("rsa", json!({"e": "AQ"}), "e", KeyFault::Invalid),
            ("rsa", json!({"e": "Ag"}), "e", KeyFault::Invalid),
            ("rsa", json!({"e": "AQAAAAAB"}), "e", KeyFault::Invalid),
            ("p256", json!({"crv": null}), "crv", KeyFault::Missing),
            ("p256", json!({"crv": "P-521"}), "crv", KeyFault::Unsupported),
            ("p256", json!({"crv": "secp256k1"}), "crv", KeyFault::Unsupported),
            ("p256", json!({"crv": "P-384"}), "x", KeyFault::Size(256)),
            ("p256", json!({"alg": "ES384"}), "alg", KeyFault::Mismatched),
            ("p256", json!({"x": off_curve}), "x", KeyFault::NotOnCurve),
            ("p256", json!({"x": coordinate(32, 0), "y": coordinate(32, 0)}), "x", KeyFault::NotOnCurve),
            ("p256", json!({"x": prime}), "x", KeyFault::NotOnCurve),
            ("p256", json!({"y": coordinate(31, 1)}), "y", KeyFault::Size(248)),
            ("p384", json!({"x": coordinate(48, 1)}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"crv": "X25519"}), "crv", KeyFault::Unsupported),
            ("ed", json!({"x": coordinate(33, 1)}), "x", KeyFault::Size(264)),
            ("ed", json!({"x": identity}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"x": coordinate(32, 0)}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"x": order_two}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"x": order_eight_positive}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"x": order_eight_negative}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"x": not_canonical}), "x", KeyFault::NotOnCurve),
            ("ed", json!({"kty": "oct", "k": ""}), "k", KeyFault::Size(0)),
            ("ed", json!({"kty": "oct"}), "k", KeyFault::Missing),
        ];
        for (kid, changes, member, fault) in cases {
            assert_eq!(changed(kid, changes.clone()).unwrap_err(), KeyError { member, fault }, "{kid} {changes}");
        }
    }

    #[test]
    fn honours_what_a_key_says_it_is_for() {
        let any = changed("rsa", json!({"use": null, "key_ops": ["verify", "sign"]})).unwrap();
        assert!(any.allows(Algorithm::Rs256) && any.allows(Algorithm::Ps512) && !any.allows(Algorithm::Hs256));
        let one = changed("rsa", json!({"alg": "PS256"})).unwrap();
        assert!(one.allows(Algorithm::Ps256) && !one.allows(Algorithm::Rs256));
        for name in ["EdDSA", "Ed25519"] {
            assert!(changed("ed", json!({"alg": name})).unwrap().allows(Algorithm::EdDsa));
        }
    }

    #[test]
    fn leaves_out_unusable_keys_and_keeps_the_rest() {
        let good = &vectors::KEYS[9..vectors::KEYS.len() - 2];
        let set = format!(
            r#"{{"keys":[{{"kty":"oct","k":"c2VjcmV0"}},{{"kty":"AKP"}},7,{{"kty":"RSA","kid":"a","kid":"b"}},{{"x":{{"y":{{"z":[[[1]]]}}}}}},{good}],"extra":1}}"#
        );
        let remote = Jwks::parse(set.as_bytes(), Origin::Remote).unwrap();
        let skipped: Vec<String> = remote.skipped.iter().map(|(at, error)| format!("keys[{at}].{error}")).collect();
        assert_eq!(
            skipped,
            [
                "keys[0].k: a shared secret in a fetched key set is public",
                "keys[1].kty: not supported for verifying signatures",
                "keys[2].keys: expected an object",
                "keys[3].keys: two members of one name",
                "keys[4].keys: nested too deep",
            ]
        );
        assert_eq!(remote.keys.keys().len(), 4);
        assert_eq!(Jwks::parse(set.as_bytes(), Origin::Inline).unwrap().keys.keys().len(), 5);
    }

    #[test]
    fn refuses_a_text_that_is_no_key_set() {
        let many = format!(r#"{{"keys":[{}1]}}"#, "1,".repeat(MAX_KEYS));
        let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(MAX_KEY_SET_BYTES));
        let cases = [
            ("<html>", JwksError::Json(JsonError::Syntax)),
            (r#"{"keys":[],"keys":[]}"#, JwksError::Json(JsonError::DuplicateMember)),
            ("[]", JwksError::Json(JsonError::NotAnObject)),
            ("{}", JwksError::NoKeys),
            (r#"{"keys":{}}"#, JwksError::NoKeys),
            (&many, JwksError::TooManyKeys),
            (&long, JwksError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(Jwks::parse(text.as_bytes(), Origin::Remote).unwrap_err(), error);
        }
    }

    #[test]
    fn tells_nothing_of_the_material_when_printed() {
        let key = parse_key(br#"{"kty":"oct","kid":"a","k":"c2VjcmV0"}"#, Origin::Inline).unwrap();
        assert_eq!(format!("{key:?}"), r#"VerifyingKey { kid: Some("a"), type: Secret, .. }"#);
        assert!(matches!(key.material(), Material::Secret(secret) if format!("{secret:?}") == "Secret(..)"));
    }
}
