//! Service-to-service signatures (`docs/signatures.md`): version 1 over name, timestamp and token, version 2 over the
//! whole request.
//!
//! An unknown service, a wrong token and a wrong signature cost the same and say the same. Where a signature counts
//! once, it is recorded when it was seen to be good, before anybody learns whose it is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::check::{CalloutReply, Env, Failure, ReplayFault};
use crate::checks::authenticate::{Attempt, Credential, Told, await_secret, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::denial::{AuthReason, ServiceReason};
use crate::exchange::{Errand, Exchange, Identity, Method, SignedBody};
use crate::head::Head;
use crate::jose::reason::Reason;
use crate::secrets::{Derived, SecretSlot, SecretValue};
use crate::signature::request::{SignedRequest, is_nonce};
use crate::signature::{self, Key, Mac, digest, is_one_of, parse_timestamp, unhex};
use crate::table::replay::Recorded;
use crate::time::Timestamp;

/// Callers that sign with a shared key.
pub struct ServiceSignatures {
    keys: Derived<Vec<Key>>,
    tokens: HashMap<String, Derived<Vec<Digested>>>,
    terms: Terms,
    told: Rc<Told>,
    /// How many bad credentials an address may show.
    unverified: Option<Rc<AddressBudget>>,
}

/// What counts as a signature.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How far its timestamp may be from now.
    pub max_clock_skew: Duration,
    /// `None`: version 1 does not count.
    pub v1: Option<Uses>,
    /// `None`: version 2 does not count.
    pub v2: Option<Uses>,
}

/// How often one signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// Whenever it comes, until it is too old.
    Many,
    /// The first time.
    Once,
}

/// SHA-256 of a service's token: compared in constant time whatever the lengths.
type Digested = [u8; 32];

#[derive(Clone, Copy)]
struct Signature<'h> {
    name: &'h str,
    timestamp: &'h str,
    token: &'h [u8],
    code: &'h [u8],
    form: Form<'h>,
}

#[derive(Clone, Copy)]
enum Form<'h> {
    V1,
    V2(SignedRequest<'h>),
}

/// A signature that is good, unless it was seen before.
struct Good {
    mac: Mac,
    signed_at: Timestamp,
    uses: Uses,
    body: Option<SignedBody>,
}

impl ServiceSignatures {
    /// Signatures by any of `keys` for the services in `tokens`.
    pub fn new(
        keys: Vec<Rc<SecretSlot>>,
        tokens: impl Iterator<Item = (String, Rc<SecretSlot>)>,
        terms: Terms,
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
        Self { keys, tokens, terms, told, unverified }
    }

    fn verify(&self, signature: &Signature<'_>, now: Timestamp) -> Result<Good, ServiceReason> {
        let uses = match signature.form {
            Form::V1 => self.terms.v1,
            Form::V2(_) => self.terms.v2,
        };
        let uses = uses.ok_or(ServiceReason::UnsupportedSignature)?;
        let signed_at = parse_timestamp(signature.timestamp).ok_or(ServiceReason::InvalidTimestamp)?;
        let distance = if signed_at > now { signed_at.since(now) } else { now.since(signed_at) };
        if distance > self.terms.max_clock_skew {
            return Err(ServiceReason::TimestampTooOld);
        }
        let body = match &signature.form {
            Form::V1 => None,
            Form::V2(request) => Some(signed_body(request)?),
        };
        // What is no code is compared like one that is wrong.
        let mac = unhex(signature.code);
        let known = self.tokens.get(signature.name);
        let expected = known.map_or_else(|| Rc::new(vec![Digested::default()]), Derived::current);
        let token: Digested = Sha256::digest(signature.token).into();
        let right = expected.iter().fold(Choice::from(0), |any, expected| any | token.ct_eq(expected));
        let right = right & self.made(signature, &mac.unwrap_or_default()) & Choice::from(u8::from(mac.is_some()));
        match (known, mac, bool::from(right)) {
            (Some(_), Some(mac), true) => Ok(Good { mac, signed_at, uses, body }),
            (Some(_), ..) => Err(ServiceReason::BadServiceSignature),
            (None, ..) => Err(ServiceReason::UnknownService),
        }
    }

    /// Waits for a secret, or says that it is not to be had. A code that no key made is wrong whatever the secret is, and
    /// charged where nobody will look again.
    fn unjudged(&self, slot: &SecretSlot, signature: &Signature<'_>, client: IpAddr, env: &mut Env<'_>) -> Attempt {
        let attempt = await_secret(slot, env.now);
        let mac = unhex(signature.code);
        let is_made = bool::from(self.made(signature, &mac.unwrap_or_default())) && mac.is_some();
        let is_forged = self.keys.missing().is_none() && !is_made;
        if let (Some(budget), Attempt::Undecided { .. }, true) = (&self.unverified, &attempt, is_forged) {
            budget.charge(client, env);
        }
        attempt
    }

    /// Whether any key made the signature; every key is tried.
    fn made(&self, signature: &Signature<'_>, mac: &Mac) -> Choice {
        let keys = self.keys.current();
        let codes = keys.iter().map(|key| match &signature.form {
            Form::V1 => key.v1(signature.name, signature.timestamp, signature.token),
            Form::V2(request) => key.v2(request),
        });
        is_one_of(mac, codes)
    }

    /// A secret that has not arrived and without which a signature of this service cannot be called bad. While another's
    /// token is missing no service's can, known or not: the answer would tell which are known.
    fn missing(&self, service: &str) -> Option<&Rc<SecretSlot>> {
        let own = || self.tokens.get(service)?.missing();
        let others = || self.tokens.values().find_map(Derived::missing);
        self.keys.missing().or_else(own).or_else(others)
    }
}

/// The values of all of these secrets that are to be accepted.
fn accepted(slots: &[Rc<SecretSlot>]) -> impl Iterator<Item = SecretValue> {
    slots.iter().flat_map(|slot| slot.accepted())
}

impl Credential for ServiceSignatures {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let signature = match read(exchange) {
            Ok(Some(signature)) => signature,
            Ok(None) => return Attempt::Absent,
            Err(reason) => return Attempt::Refused(reason),
        };
        if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client(), env) {
            return stopped;
        }
        let good = match self.verify(&signature, env.now) {
            Ok(good) => good,
            Err(reason) => {
                let judged = matches!(reason, ServiceReason::BadServiceSignature | ServiceReason::UnknownService);
                return match self.missing(signature.name).filter(|_| judged) {
                    Some(slot) => self.unjudged(slot, &signature, exchange.client(), env),
                    None => Attempt::Refused(AuthReason::Service(reason)),
                };
            }
        };
        if let Some(refused) = seen(&good, env) {
            return refused;
        }
        let mut identity = Identity::new(Method::Service, Rc::from("service"), signature.name.to_owned());
        identity.headers = self.told.headers(&identity);
        exchange.signed_body = good.body;
        Attempt::Verified(Rc::new(identity))
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let Errand::Secret(number) = errand else { return Attempt::Fail(Failure::UnexpectedArrival) };
        let tokens = self.tokens.values().flat_map(|token| token.slots());
        secret_arrived(number, reply, self.keys.slots().iter().chain(tokens), env);
        self.attempt(exchange, env)
    }
}

/// Records a signature that counts once; what is said where it does not count any more, or that cannot be told.
fn seen(good: &Good, env: &mut Env<'_>) -> Option<Attempt> {
    if good.uses == Uses::Many {
        return None;
    }
    let refused = |reason| Some(Attempt::Refused(AuthReason::Service(reason)));
    match env.worker.replay.record(env.host.store(), &good.mac, good.signed_at, env.now) {
        Ok(Recorded::New) => None,
        Ok(Recorded::Seen) => refused(ServiceReason::Replayed),
        Ok(Recorded::Forgotten) => refused(ServiceReason::TimestampTooOld),
        Ok(Recorded::Full) => Some(Attempt::Fail(Failure::Replay(ReplayFault::Full))),
        Err(_) => Some(Attempt::Fail(Failure::Replay(ReplayFault::Unavailable))),
    }
}

/// What a request of version 2 may have as its body; a reason where it is no such request.
fn signed_body(request: &SignedRequest<'_>) -> Result<SignedBody, ServiceReason> {
    if !is_nonce(request.nonce) {
        return Err(ServiceReason::InvalidNonce);
    }
    if !request.is_unambiguous() {
        return Err(ServiceReason::BadServiceSignature);
    }
    match request.digest {
        "" => Ok(SignedBody::Nothing),
        value => digest::parse(value).map(SignedBody::Digest).ok_or(ServiceReason::InvalidDigest),
    }
}

/// The signature of a request, or `None` when one of its four headers is missing: then the method does not apply.
fn read(exchange: &Exchange) -> Result<Option<Signature<'_>>, AuthReason> {
    let head = &exchange.head;
    let [token, name, timestamp, code] = signature::HEADERS;
    let (Some(token), Some(name), Some(timestamp), Some(code)) =
        (field(head, token)?, field(head, name)?, field(head, timestamp)?, field(head, code)?)
    else {
        return Ok(None);
    };
    // A name with a colon would make `name:timestamp:token` ambiguous.
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains(':'));
    let name = name.ok_or(AuthReason::Service(ServiceReason::UnknownService))?;
    let timestamp = std::str::from_utf8(timestamp).map_err(|_| AuthReason::Service(ServiceReason::InvalidTimestamp))?;
    let Some(code) = code.strip_prefix(signature::V2_MARK.as_bytes()) else {
        return Ok(Some(Signature { name, timestamp, token, code, form: Form::V1 }));
    };
    let text = |name, reason| {
        let value = field(head, name)?.unwrap_or_default();
        std::str::from_utf8(value).map_err(|_| AuthReason::Service(reason))
    };
    let request = SignedRequest {
        name,
        timestamp,
        nonce: text(signature::NONCE, ServiceReason::InvalidNonce)?,
        method: head.method().unwrap_or_default(),
        path: exchange.target.path(),
        query: query(head),
        digest: text(signature::CONTENT_DIGEST, ServiceReason::InvalidDigest)?,
    };
    Ok(Some(Signature { name, timestamp, token, code, form: Form::V2(request) }))
}

fn field<'h>(head: &'h Head, name: &str) -> Result<Option<&'h [u8]>, AuthReason> {
    head.single(name).map_err(|_| AuthReason::Token(Reason::Ambiguous))
}

/// The query as it was sent, from its `?` on: whatever else was taken out of it since.
fn query(head: &Head) -> &[u8] {
    let target = head.path().unwrap_or_default();
    let start = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    target.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn services() -> ServiceSignatures {
        let fixed = |value: &str| SecretSlot::fixed("s", SecretValue::new(value.into()).unwrap());
        let tokens = [("order-service".to_owned(), fixed("tok-order"))];
        let keys = ["new-key", "old-key"].map(fixed).into();
        let terms = Terms { max_clock_skew: Duration::from_secs(300), v1: Some(Uses::Many), v2: Some(Uses::Once) };
        ServiceSignatures::new(keys, tokens.into_iter(), terms, Rc::default(), None)
    }

    fn sign(key: &[u8], name: &str, timestamp: &str, token: &str) -> String {
        signature::hex(&Key::new(key).unwrap().v1(name, timestamp, token.as_bytes()))
    }

    fn verdict(name: &str, timestamp: &str, token: &str, mac: &str) -> Result<(), ServiceReason> {
        let (token, code) = (token.as_bytes(), mac.as_bytes());
        let signature = Signature { name, timestamp, token, code, form: Form::V1 };
        services().verify(&signature, NOW).map(|good| assert_eq!((good.uses, good.body), (Uses::Many, None)))
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
        let exchange = |pairs: &[(&str, &str)]| Exchange::new(Head::from_pairs(pairs.iter().copied()), NOW);
        assert!(matches!(read(&exchange(&whole)), Ok(Some(_))));
        for missing in 0..4 {
            let rest: Vec<_> =
                whole.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
            assert!(matches!(read(&exchange(&rest)), Ok(None)));
        }
        let twice: Vec<_> = whole.into_iter().chain([("x-service-name", "m")]).collect();
        assert!(matches!(read(&exchange(&twice)), Err(AuthReason::Token(Reason::Ambiguous))));
        let colon = whole.map(|(name, value)| (name, if value == "n" { "a:b" } else { value }));
        assert!(read(&exchange(&colon)).is_err());
    }
}
