//! The parts together: every algorithm, every known trick, the host and the budget.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::algorithm::{Algorithm, AlgorithmSet};
use super::budget::PureBudget;
use super::compact::Compact;
use super::json::Object;
use super::jwk::{Jwks, Origin, parse_key};
use super::key::{Secret, VerifyingKey};
use super::key_set::KeySet;
use super::reason::Reason;
use super::token::Token;
use super::verify::{HostVerifier, Means, NoHost, VerifyError, verify};
use super::{sign, vectors};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn all() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

fn public_keys() -> KeySet {
    Jwks::parse(vectors::KEYS.as_bytes(), Origin::Remote).unwrap().keys
}

fn secret() -> KeySet {
    KeySet::new(vec![VerifyingKey::from_secret(None, Secret::new(vectors::SECRET.as_bytes()).unwrap())])
}

fn keys_for(algorithm: &str) -> KeySet {
    if algorithm.starts_with("HS") { secret() } else { public_keys() }
}

fn vector(algorithm: &str) -> &'static str {
    vectors::TOKENS.iter().find(|(name, _)| *name == algorithm).unwrap().1
}

fn verify_text(token: &str, keys: &KeySet) -> Result<(), VerifyError> {
    verify_on(token, keys, &NoHost, &mut PureBudget::new(1000, 1000))
}

fn verify_on(token: &str, keys: &KeySet, host: &dyn HostVerifier, budget: &mut PureBudget) -> Result<(), VerifyError> {
    let jws = Compact::parse(token.as_bytes()).unwrap();
    verify(&jws, keys, all(), &mut Means { host, budget: Some(budget), now: NOW }).map(drop)
}

/// The reason for which a token is refused with all keys of the vectors, or `None` when it is accepted.
fn refusal(token: &str, keys: &KeySet) -> Option<Reason> {
    let token = match Token::parse(token.as_bytes()) {
        Ok(token) => token,
        Err(error) => return Some(error.reason()),
    };
    let mut budget = PureBudget::new(1000, 1000);
    match token.verify(keys, all(), &mut Means { host: &NoHost, budget: Some(&mut budget), now: NOW }) {
        Ok(_) => None,
        Err(error) => error.reason(),
    }
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A token with this header and payload, signed with the shared secret whatever the header says.
fn signed(header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    let secret = Secret::new(vectors::SECRET.as_bytes()).unwrap();
    let code = secret.authenticate(Algorithm::Hs256.hash(), input.as_bytes());
    format!("{input}.{}", encode(code))
}

/// A token of the vectors under another header: its signature is no longer right.
fn with_header(algorithm: &str, header: &str) -> String {
    format!("{}.{}", encode(header), vector(algorithm).split_once('.').unwrap().1)
}

#[test]
fn verifies_the_examples_of_the_rfcs() {
    for (key, token) in [
        vectors::RFC7515_A1,
        vectors::RFC7515_A2,
        vectors::RFC7515_A3,
        vectors::RFC7520_4_2,
        vectors::RFC7520_4_4,
        vectors::RFC8037_A4,
    ] {
        let keys = KeySet::new(vec![parse_key(key.as_bytes(), Origin::Inline).unwrap()]);
        assert_eq!(verify_text(token, &keys), Ok(()), "{token}");
    }
}

#[test]
fn verifies_every_algorithm_and_no_altered_byte() {
    for (name, token) in vectors::TOKENS {
        let keys = keys_for(name);
        assert_eq!(verify_text(token, &keys), Ok(()), "{name}");
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut altered = signature.clone();
            altered[position] ^= 1;
            let altered = format!("{input}.{}", encode(altered));
            assert_eq!(verify_text(&altered, &keys), Err(VerifyError::BadSignature), "{name} {position}");
        }
        for length in [1, signature.len() - 1] {
            let cut = format!("{input}.{}", encode(&signature[..length]));
            assert_eq!(verify_text(&cut, &keys), Err(VerifyError::BadSignature), "{name} {length}");
        }
        let longer = [&signature[..], &[0]].concat();
        assert_eq!(
            verify_text(&format!("{input}.{}", encode(longer)), &keys),
            Err(VerifyError::BadSignature),
            "{name}"
        );
    }
}

#[test]
fn verifies_only_by_the_algorithm_that_signed() {
    for (name, _) in vectors::TOKENS {
        for other in Algorithm::ALL.into_iter().filter(|other| other.as_str() != name) {
            let renamed = with_header(name, &format!(r#"{{"alg":"{other}"}}"#));
            for keys in [public_keys(), secret()] {
                assert!(verify_text(&renamed, &keys).is_err(), "{name} as {other}");
            }
        }
    }
}

#[test]
fn allows_only_the_algorithms_of_the_provider() {
    let token = vector("RS256");
    let jws = Compact::parse(token.as_bytes()).unwrap();
    let mut budget = PureBudget::new(10, 10);
    let mut means = Means { host: &NoHost, budget: Some(&mut budget), now: NOW };
    let allowed = [Algorithm::Hs256, Algorithm::Ps256].into_iter().collect();
    let verified = verify(&jws, &public_keys(), allowed, &mut means).map(drop);
    assert_eq!(verified, Err(VerifyError::UnsupportedAlgorithm));
}

#[test]
fn refuses_every_known_trick() {
    let payload = r#"{"sub":"admin"}"#;
    let good = signed(r#"{"alg":"HS256"}"#, payload);
    let (header, rest) = good.split_once('.').unwrap();
    let signature = good.rsplit_once('.').unwrap().1;
    let p256 = |r: &str, s: &str| format!("{}.{}.{}", encode(r#"{"alg":"ES256"}"#), encode(payload), encode(hex(r, s)));
    let (zero, one) = ("00", "01");
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let above = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552";
    let none = |name: &str| format!("{}.{}.{signature}", encode(format!(r#"{{"alg":"{name}"}}"#)), encode(payload));
    let deep = format!(r#"{{"sub":{}1{}}}"#, "[".repeat(4000), "]".repeat(4000));
    let cases = [
        ("alg none", none("none"), Reason::UnsupportedAlgorithm),
        ("alg None", none("None"), Reason::UnsupportedAlgorithm),
        ("alg NONE", none("NONE"), Reason::UnsupportedAlgorithm),
        ("alg nOnE", none("nOnE"), Reason::UnsupportedAlgorithm),
        ("alg empty", none(""), Reason::UnsupportedAlgorithm),
        ("alg none, no signature", format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(payload)), Reason::Malformed),
        ("alg hs256", none("hs256"), Reason::UnsupportedAlgorithm),
        ("alg with a NUL", none("HS256\\u0000"), Reason::UnsupportedAlgorithm),
        ("HMAC keyed with the public key", vectors::HMAC_BY_PUBLIC_KEY.to_owned(), Reason::BadSignature),
        (
            "RSA signature called HS256",
            format!("{header}.{}", vector("RS256").split_once('.').unwrap().1),
            Reason::BadSignature,
        ),
        ("kid as a path", signed(r#"{"alg":"RS256","kid":"../../../dev/null"}"#, payload), Reason::UnknownKey),
        ("kid as SQL", signed(r#"{"alg":"ES256","kid":"' OR 1=1 --"}"#, payload), Reason::UnknownKey),
        ("kid of another key", signed(r#"{"alg":"ES256","kid":"rsa"}"#, payload), Reason::UnknownKey),
        ("kid not a string", signed(r#"{"alg":"HS256","kid":["rsa"]}"#, payload), Reason::Malformed),
        ("key in the token", signed(r#"{"alg":"ES256","jwk":{"kty":"oct"}}"#, payload), Reason::BadSignature),
        ("two algs", signed(r#"{"alg":"HS256","alg":"none"}"#, payload), Reason::Malformed),
        ("two subjects", signed(r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"admin"}"#), Reason::Malformed),
        (
            "two subjects, one escaped",
            signed(r#"{"alg":"HS256"}"#, r#"{"sub":"a","\u0073ub":"admin"}"#),
            Reason::Malformed,
        ),
        ("crit", signed(r#"{"alg":"HS256","crit":["exp"]}"#, payload), Reason::Malformed),
        ("b64 (RFC 7797)", signed(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, payload), Reason::Malformed),
        ("deep JSON", signed(r#"{"alg":"HS256"}"#, &deep), Reason::Malformed),
        ("huge", signed(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"{}"}}"#, "a".repeat(20_000))), Reason::Malformed),
        ("not claims", signed(r#"{"alg":"HS256"}"#, "[]"), Reason::Malformed),
        ("nested token", signed(r#"{"alg":"HS256","cty":"JWT"}"#, &good), Reason::Malformed),
        ("r zero", p256(zero, one), Reason::BadSignature),
        ("s zero", p256(one, zero), Reason::BadSignature),
        ("both zero", p256(zero, zero), Reason::BadSignature),
        ("r the order", p256(order, one), Reason::BadSignature),
        ("s the order", p256(one, order), Reason::BadSignature),
        ("r above the order", p256(above, one), Reason::BadSignature),
        ("ECDSA in DER", vectors::ES256_DER.to_owned(), Reason::BadSignature),
        ("wrong curve", with_header("ES256", r#"{"alg":"ES384","kid":"p256"}"#), Reason::UnknownKey),
        ("PSS with the modulus added", vectors::PSS_PLUS_MODULUS.to_owned(), Reason::BadSignature),
        ("PSS with a short salt", vectors::PSS_SHORT_SALT.to_owned(), Reason::BadSignature),
        ("Ed25519 with the order added", vectors::EDDSA_PLUS_ORDER.to_owned(), Reason::BadSignature),
        (
            "Ed25519 zero",
            format!("{}.{}.{}", encode(r#"{"alg":"EdDSA"}"#), encode(payload), encode([0; 64])),
            Reason::BadSignature,
        ),
        (
            "RSA zero",
            format!("{}.{}.{}", encode(r#"{"alg":"RS256"}"#), encode(payload), encode([0; 256])),
            Reason::BadSignature,
        ),
        (
            "RSA all ones",
            format!("{}.{}.{}", encode(r#"{"alg":"PS256"}"#), encode(payload), encode([0xff; 256])),
            Reason::BadSignature,
        ),
        ("stray bits", format!("{}{}", &good[..good.len() - 1], next(&good)), Reason::Malformed),
        ("padding", format!("{good}="), Reason::Malformed),
        ("percent-coded padding", format!("{good}%3D"), Reason::Malformed),
        ("standard alphabet", good.replacen('.', "+.", 1), Reason::Malformed),
        ("space before", format!(" {good}"), Reason::Malformed),
        ("newline after", format!("{good}\n"), Reason::Malformed),
        ("space inside", good.replacen('.', " .", 1), Reason::Malformed),
        ("NUL after", format!("{good}\0"), Reason::Malformed),
        ("trailing dot", format!("{good}."), Reason::Malformed),
        ("leading dot", format!(".{good}"), Reason::Malformed),
        ("five parts", format!("{good}.AAAA.AAAA"), Reason::Malformed),
        ("no header", format!(".{rest}"), Reason::Malformed),
        ("no payload", format!("{header}..{signature}"), Reason::Malformed),
        ("no signature", format!("{}.", good.rsplit_once('.').unwrap().0), Reason::Malformed),
        ("empty", String::new(), Reason::Malformed),
        (
            "JSON serialisation",
            format!(r#"{{"protected":"{header}","payload":"e30","signature":"{signature}"}}"#),
            Reason::Malformed,
        ),
        ("prefix left on", format!("Bearer {good}"), Reason::Malformed),
    ];
    let mut keys = Jwks::parse(vectors::KEYS.as_bytes(), Origin::Remote).unwrap().keys.into_keys();
    keys.extend(secret().into_keys());
    let keys = KeySet::new(keys);
    assert_eq!(refusal(&good, &keys), None);
    for (trick, token, reason) in cases {
        assert_eq!(refusal(&token, &keys), Some(reason), "{trick}");
    }
}

#[test]
fn accepts_either_half_of_the_order_as_jose_does() {
    assert_eq!(verify_text(vectors::ES256_HIGH_S, &public_keys()), Ok(()));
}

#[test]
fn never_takes_a_public_key_for_a_secret() {
    assert_eq!(verify_text(vectors::HMAC_BY_PUBLIC_KEY, &public_keys()), Err(VerifyError::UnknownKey));
}

#[test]
fn verifies_with_each_secret_while_rotating() {
    let secrets = [b"old".as_slice(), vectors::SECRET.as_bytes(), b"new"];
    let keys = secrets.map(|bytes| VerifyingKey::from_secret(None, Secret::new(bytes).unwrap()));
    assert_eq!(verify_text(vector("HS512"), &KeySet::new(keys.into())), Ok(()));
}

#[test]
fn asks_for_newer_keys_when_the_token_names_an_unknown_one() {
    let unnamed = vectors::KEYS.replace(r#""kid":"p256","#, "");
    let keys = Jwks::parse(unnamed.as_bytes(), Origin::Remote).unwrap().keys;
    assert_eq!(verify_text(vector("ES256"), &keys), Ok(()));
    let other = with_header("ES256", r#"{"alg":"ES256","kid":"other"}"#);
    let forged = with_header("ES256", r#"{"alg":"ES256","kid":"p256"}"#);
    assert_eq!(verify_text(&forged, &keys), Err(VerifyError::UnknownKey));
    assert_eq!(verify_text(&forged, &public_keys()), Err(VerifyError::BadSignature));
    assert_eq!(verify_text(&other, &public_keys()), Err(VerifyError::UnknownKey));
    let forged = with_header("HS512", r#"{"alg":"HS512","kid":"p256"}"#);
    assert_eq!(verify_text(&forged, &secret()), Err(VerifyError::BadSignature));
}

/// A host that answers `verdict` and keeps what it was asked.
struct Recorder {
    verdict: Option<bool>,
    asked: RefCell<Vec<(String, usize, Vec<u8>)>>,
}

impl HostVerifier for Recorder {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        assert!(vectors::TOKENS.iter().any(|(_, token)| token.as_bytes().starts_with(text)));
        self.asked.borrow_mut().push((hash.to_owned(), spki_der.len(), signature.to_vec()));
        self.verdict
    }
}

#[test]
fn leaves_verification_to_a_host_that_can() {
    for (name, hash, spki_bytes) in [
        ("RS256", "sha256", 294),
        ("RS384", "sha384", 294),
        ("RS512", "sha512", 294),
        ("ES256", "sha256", 91),
        ("ES384", "sha384", 120),
    ] {
        for (verdict, expected) in [(true, Ok(())), (false, Err(VerifyError::BadSignature))] {
            let host = Recorder { verdict: Some(verdict), asked: RefCell::default() };
            assert_eq!(verify_on(vector(name), &public_keys(), &host, &mut PureBudget::new(0, 0)), expected, "{name}");
            let asked = host.asked.into_inner();
            let [(asked_hash, asked_spki, signature)] = &asked[..] else { panic!("{name}: {asked:?}") };
            assert_eq!((asked_hash.as_str(), *asked_spki), (hash, spki_bytes), "{name}");
            if name.starts_with("ES") {
                let der = p384::ecdsa::DerSignature::from_bytes(signature);
                assert!(name == "ES256" && signature[0] == 0x30 || der.is_ok(), "{name}");
            }
        }
    }
}

/// A host that takes every signature for good.
struct Gullible;

impl HostVerifier for Gullible {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        Some(true)
    }
}

#[test]
fn never_asks_the_host_about_a_signature_out_of_range() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let below = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
    let bad = Err(VerifyError::BadSignature);
    let cases = [
        ("ES256", hex("01", below), Ok(())),
        ("ES256", hex("00", "01"), bad),
        ("ES256", hex("01", "00"), bad),
        ("ES256", hex(order, "01"), bad),
        ("ES256", hex("01", order), bad),
        ("ES256", vec![1; 63], bad),
        ("ES256", vec![1; 65], bad),
        ("ES384", vec![1; 96], Ok(())),
        ("ES384", vec![0xff; 96], bad),
        ("ES384", vec![0; 96], bad),
        ("ES384", vec![1; 64], bad),
        ("RS256", vec![1; 256], Ok(())),
        ("RS256", vec![0xff; 256], bad),
        ("RS256", vec![1; 255], bad),
        ("RS256", vec![1; 257], bad),
    ];
    for (name, signature, expected) in cases {
        let token = format!("{}.{}", vector(name).rsplit_once('.').unwrap().0, encode(&signature));
        let verdict = verify_on(&token, &public_keys(), &Gullible, &mut PureBudget::new(0, 0));
        assert_eq!(verdict, expected, "{name} {signature:?}");
    }
}

#[test]
fn spends_the_budget_only_on_pure_verification_and_then_says_busy() {
    for (name, cost) in [("RS256", 1), ("PS256", 1), ("ES256", 1), ("EdDSA", 1), ("ES384", 5)] {
        let mut budget = PureBudget::new(0, cost);
        let lame = Recorder { verdict: None, asked: RefCell::default() };
        assert_eq!(verify_on(vector(name), &public_keys(), &lame, &mut budget), Ok(()), "{name}");
        assert_eq!(verify_on(vector(name), &public_keys(), &lame, &mut budget), Err(VerifyError::Busy), "{name}");
    }
    let mut nothing = PureBudget::new(0, 0);
    assert_eq!(verify_on(vector("HS256"), &secret(), &NoHost, &mut nothing), Ok(()));
    for name in ["PS256", "EdDSA"] {
        let able = Recorder { verdict: Some(true), asked: RefCell::default() };
        assert_eq!(verify_on(vector(name), &public_keys(), &able, &mut nothing), Err(VerifyError::Busy), "{name}");
    }
}

#[test]
fn a_build_without_verification_of_its_own_knows_nothing_of_what_the_host_does_not_verify() {
    let unable = |host: &dyn HostVerifier, name: &str, keys: &KeySet| {
        let jws = Compact::parse(vector(name).as_bytes()).unwrap();
        verify(&jws, keys, all(), &mut Means { host, budget: None, now: NOW }).map(drop)
    };
    let able = Recorder { verdict: Some(true), asked: RefCell::default() };
    for name in ["RS256", "RS384", "RS512", "ES256", "ES384"] {
        assert_eq!(unable(&NoHost, name, &public_keys()), Err(VerifyError::NoVerifier), "{name}");
        assert_eq!(unable(&able, name, &public_keys()), Ok(()), "{name}");
    }
    for name in ["PS256", "EdDSA"] {
        assert_eq!(unable(&able, name, &public_keys()), Err(VerifyError::NoVerifier), "{name}");
    }
    assert_eq!(unable(&NoHost, "HS256", &secret()), Ok(()));
}

#[test]
fn opens_the_claims_of_proven_tokens_only() {
    let token = Token::parse(vector("ES256").as_bytes()).unwrap();
    assert_eq!(token.unverified_issuer(), Some("https://issuer.example"));
    let mut budget = PureBudget::new(10, 10);
    let mut means = Means { host: &NoHost, budget: Some(&mut budget), now: NOW };
    let claims = token.verify(&public_keys(), Algorithm::Es256.into(), &mut means).unwrap();
    assert_eq!(claims.expires().unwrap().as_secs(), 4_102_444_800);
}

/// Two numbers in hexadecimal, each filled up to 32 bytes.
fn hex(r: &str, s: &str) -> Vec<u8> {
    [r, s]
        .iter()
        .flat_map(|number| {
            let digits = format!("{number:0>64}");
            (0..32).map(move |at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

/// The character after the last one of `text` in the alphabet: it differs in stray bits only.
fn next(text: &str) -> char {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(text.chars().last().unwrap()).unwrap();
    alphabet.chars().nth(at + 1).unwrap()
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c.]{0,3}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_panics_whatever_the_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Token::parse(&bytes);
        let _ = Object::parse(&bytes, 8);
        let _ = Jwks::parse(&bytes, Origin::Inline);
        let text = format!("{}.{}.{}", encode(r#"{"alg":"HS256"}"#), encode(&bytes), encode(&bytes));
        let _ = Token::parse(text.as_bytes());
    }

    #[test]
    fn accepts_no_token_with_one_character_changed(at in 0_usize..150, with in "[A-Za-z0-9_.=+/-]") {
        let claims = br#"{"iss":"https://issuer.example","sub":"somebody","roles":["user"],"exp":4102444800}"#;
        let secret_key = Secret::new(vectors::SECRET.as_bytes()).unwrap();
        let token = sign::sign(Algorithm::Hs256, &secret_key, None, claims).unwrap();
        let mut altered = token.clone();
        let at = at.min(token.len() - 1);
        altered.replace_range(at..at + 1, &with);
        prop_assert_eq!(refusal(&altered, &secret()).is_none(), altered == token);
    }

    #[test]
    fn reads_json_as_the_parser_underneath_does(value in json()) {
        let text = format!(r#"{{"value":{value}}}"#);
        let parsed = Object::parse(text.as_bytes(), 8).unwrap();
        prop_assert_eq!(back(parsed.member("value").unwrap()), value);
    }
}

fn back(value: &super::json::Json) -> serde_json::Value {
    use super::json::Json;
    match value {
        Json::Null => serde_json::Value::Null,
        Json::Bool(flag) => (*flag).into(),
        Json::Number(number) => number.clone().into(),
        Json::String(text) => text.as_ref().into(),
        Json::Array(elements) => elements.iter().map(back).collect(),
        Json::Object(object) => {
            serde_json::Value::Object(object.members().map(|(name, value)| (name.to_owned(), back(value))).collect())
        }
    }
}
