//! Service-to-service signatures, version 1: a lower-case hexadecimal HMAC-SHA256 over `name:timestamp:token`.
//!
//! An unknown service, a wrong token and a wrong signature cost the same and say the same.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::check::{CalloutReply, Env, Failure};
use crate::checks::authenticate::{Attempt, Credential, Told, await_secret, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::denial::{AuthReason, ServiceReason};
use crate::exchange::{Errand, Exchange, Identity, Method};
use crate::head::Head;
use crate::jose::reason::Reason;
use crate::secrets::{Derived, SecretSlot, SecretValue};
use crate::time::Timestamp;

/// The headers of a signature. They go no further.
pub const HEADERS: [&str; 4] = ["x-service-token", "x-service-name", "x-timestamp", "x-signature"];

/// Callers that sign with a shared key.
pub struct ServiceSignatures {
    keys: Derived<Vec<Key>>,
    tokens: HashMap<String, Derived<Vec<Digested>>>,
    max_clock_skew: Duration,
    told: Rc<Told>,
    /// How many bad credentials an address may show.
    unverified: Option<Rc<AddressBudget>>,
}

/// The keyed state that stands for a key, overwritten when dropped.
struct Key(Hmac<Sha256>);

/// SHA-256 of a service's token: compared in constant time whatever the lengths.
type Digested = [u8; 32];

struct Signature<'h> {
    name: &'h str,
    timestamp: &'h str,
    token: &'h [u8],
    mac: &'h [u8],
}

impl ServiceSignatures {
    /// Signatures by any of `keys` for the services in `tokens`.
    pub fn new(
        keys: Vec<Rc<SecretSlot>>,
        tokens: impl Iterator<Item = (String, Rc<SecretSlot>)>,
        max_clock_skew: Duration,
        told: Rc<Told>,
        unverified: Option<Rc<AddressBudget>>,
    ) -> Self {
        let keys = Derived::new(keys, |slots| accepted(slots).filter_map(|key| Key::new(key.reveal())).collect());
        let digested = |slot| {
            Derived::new(vec![slot], |slots| {
                accepted(slots).map(|token| Sha256::digest(token.reveal()).into()).collect()
            })
        };
        let tokens = tokens.map(|(name, slot)| (name, digested(slot))).collect();
        Self { keys, tokens, max_clock_skew, told, unverified }
    }

    fn verify(&self, signature: &Signature<'_>, now: Timestamp) -> Result<(), ServiceReason> {
        let signed_at = parse_timestamp(signature.timestamp).ok_or(ServiceReason::InvalidTimestamp)?;
        let distance = if signed_at > now { signed_at.since(now) } else { now.since(signed_at) };
        if distance > self.max_clock_skew {
            return Err(ServiceReason::TimestampTooOld);
        }
        let known = self.tokens.get(signature.name);
        let expected = known.map_or_else(|| Rc::new(vec![Digested::default()]), Derived::current);
        let token: Digested = Sha256::digest(signature.token).into();
        let right = expected.iter().fold(Choice::from(0), |any, expected| any | token.ct_eq(expected));
        let right = right & self.signed(signature);
        match (known, bool::from(right)) {
            (Some(_), true) => Ok(()),
            (Some(_), false) => Err(ServiceReason::BadServiceSignature),
            (None, _) => Err(ServiceReason::UnknownService),
        }
    }

    /// Whether any key made the signature; every key is tried.
    fn signed(&self, signature: &Signature<'_>) -> Choice {
        self.keys.current().iter().fold(Choice::from(0), |any, key| {
            let mut mac = key.0.clone();
            for part in [signature.name.as_bytes(), b":", signature.timestamp.as_bytes(), b":", signature.token] {
                mac.update(part);
            }
            any | hex(&mac.finalize().into_bytes().into()).ct_eq(signature.mac)
        })
    }
}

impl ServiceSignatures {
    /// A secret that has not arrived and without which a signature of this service cannot be called bad.
    fn missing(&self, service: &str) -> Option<&Rc<SecretSlot>> {
        self.keys.missing().or_else(|| self.tokens.get(service)?.missing())
    }
}

/// The values of all of these secrets that are to be accepted.
fn accepted(slots: &[Rc<SecretSlot>]) -> impl Iterator<Item = SecretValue> {
    slots.iter().flat_map(|slot| slot.accepted())
}

impl Key {
    /// HMAC takes keys of any length.
    fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Ok(nothing) = Hmac::new_from_slice(&[]) {
            self.0 = nothing;
            std::hint::black_box(self);
        }
    }
}

impl Credential for ServiceSignatures {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let signature = match read(&exchange.head) {
            Ok(Some(signature)) => signature,
            Ok(None) => return Attempt::Absent,
            Err(reason) => return Attempt::Refused(reason),
        };
        if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client, env) {
            return stopped;
        }
        if let Err(reason) = self.verify(&signature, env.now) {
            let missing = self.missing(signature.name).filter(|_| reason == ServiceReason::BadServiceSignature);
            return match missing {
                Some(slot) => await_secret(slot, env.now),
                None => Attempt::Refused(AuthReason::Service(reason)),
            };
        }
        let mut identity = Identity::new(Method::Service, Rc::from("service"), signature.name.to_owned());
        identity.headers = self.told.headers(&identity);
        Attempt::Verified(Rc::new(identity))
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let Errand::Secret(number) = errand else { return Attempt::Fail(Failure::UnexpectedArrival) };
        let tokens = self.tokens.values().flat_map(|token| token.slots());
        secret_arrived(number, reply, self.keys.slots().iter().chain(tokens), env);
        self.attempt(exchange, env)
    }
}

/// The four headers, or `None` when one of them is missing: then the method does not apply.
fn read(head: &Head) -> Result<Option<Signature<'_>>, AuthReason> {
    let field = |name| head.single(name).map_err(|_| AuthReason::Token(Reason::Ambiguous));
    let [token, name, timestamp, mac] = HEADERS;
    let (Some(token), Some(name), Some(timestamp), Some(mac)) =
        (field(token)?, field(name)?, field(timestamp)?, field(mac)?)
    else {
        return Ok(None);
    };
    // A name with a colon would make `name:timestamp:token` ambiguous.
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains(':'));
    let name = name.ok_or(AuthReason::Service(ServiceReason::UnknownService))?;
    let timestamp = std::str::from_utf8(timestamp).map_err(|_| AuthReason::Service(ServiceReason::InvalidTimestamp))?;
    Ok(Some(Signature { name, timestamp, token, mac }))
}

/// Decimal seconds with an optional fraction; no exponent, sign, `inf` or `nan`.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || seconds.len() > 12 || fraction.len() > 30 {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos: u64, digit| nanos * 10 + u64::from(digit - b'0'));
    let whole = Timestamp::from_unix_seconds(seconds.parse().ok()?);
    Some(whole.after(Duration::from_nanos(nanos)))
}

fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut text = [0; 64];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn services() -> ServiceSignatures {
        let fixed = |value: &str| SecretSlot::fixed("s", SecretValue::new(value.into()).unwrap());
        let tokens = [("order-service".to_owned(), fixed("tok-order"))];
        let keys = ["new-key", "old-key"].map(fixed).into();
        ServiceSignatures::new(keys, tokens.into_iter(), Duration::from_secs(300), Rc::default(), None)
    }

    fn sign(key: &[u8], name: &str, timestamp: &str, token: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{name}:{timestamp}:{token}").as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn verdict(name: &str, timestamp: &str, token: &str, mac: &str) -> Result<(), ServiceReason> {
        let signature = Signature { name, timestamp, token: token.as_bytes(), mac: mac.as_bytes() };
        services().verify(&signature, NOW)
    }

    /// `hmac.new(b"new-key", b"order-service:1700000000.25:tok-order", sha256).hexdigest()` in Python.
    #[test]
    fn accepts_what_a_python_client_computes() {
        let mac = "d918149e4cd0a289332c087cbdcd8b5a16a0810ec1a1aacaf8147219c36362b1";
        assert_eq!(verdict("order-service", "1700000000.25", "tok-order", mac), Ok(()));
    }

    #[test]
    fn accepts_every_key_while_rotating_and_no_other() {
        for (key, expected) in
            [("new-key", Ok(())), ("old-key", Ok(())), ("x", Err(ServiceReason::BadServiceSignature))]
        {
            let mac = sign(key.as_bytes(), "order-service", "1700000000", "tok-order");
            assert_eq!(verdict("order-service", "1700000000", "tok-order", &mac), expected, "{key}");
        }
    }

    #[test]
    fn refuses_unknown_services_wrong_tokens_and_upper_case_signatures() {
        let at = "1700000000";
        let mac = sign(b"new-key", "stranger", at, "tok-order");
        assert_eq!(verdict("stranger", at, "tok-order", &mac), Err(ServiceReason::UnknownService));
        let mac = sign(b"new-key", "order-service", at, "other");
        assert_eq!(verdict("order-service", at, "other", &mac), Err(ServiceReason::BadServiceSignature));
        let mac = sign(b"new-key", "order-service", at, "tok-order").to_uppercase();
        assert_eq!(verdict("order-service", at, "tok-order", &mac), Err(ServiceReason::BadServiceSignature));
        assert_eq!(verdict("order-service", at, "tok-order", ""), Err(ServiceReason::BadServiceSignature));
    }

    #[test]
    fn a_timestamp_is_decimal_seconds_within_the_skew() {
        let verdict = |timestamp: &str| {
            verdict("order-service", timestamp, "tok-order", &sign(b"new-key", "order-service", timestamp, "tok-order"))
        };
        for good in ["1700000000", "1700000000.5", "1699999700", "1700000300", "01700000000"] {
            assert_eq!(verdict(good), Ok(()), "{good}");
        }
        for old in ["1699999699", "1699999699.999", "1700000300.000000001", "0", "999999999999"] {
            assert_eq!(verdict(old), Err(ServiceReason::TimestampTooOld), "{old}");
        }
        for invalid in
            ["", ".", "1.", ".5", "+1700000000", "-1", "1.7e9", "inf", "nan", "0x1", "1_700", " 1", "1700000000000000"]
        {
            assert_eq!(verdict(invalid), Err(ServiceReason::InvalidTimestamp), "{invalid}");
        }
    }

    #[test]
    fn all_four_headers_or_the_method_does_not_apply() {
        let whole = [("x-service-token", "t"), ("x-service-name", "n"), ("x-timestamp", "1"), ("x-signature", "s")];
        assert!(matches!(read(&Head::from_pairs(whole)), Ok(Some(_))));
        for missing in 0..4 {
            let rest = whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair);
            assert!(matches!(read(&Head::from_pairs(rest)), Ok(None)));
        }
        let twice = whole.into_iter().chain([("x-service-name", "m")]);
        assert!(matches!(read(&Head::from_pairs(twice)), Err(AuthReason::Token(Reason::Ambiguous))));
        let colon = whole.map(|(name, value)| (name, if value == "n" { "a:b" } else { value }));
        assert!(read(&Head::from_pairs(colon)).is_err());
    }
}
