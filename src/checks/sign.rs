//! Signs the requests that leave (`docs/signatures.md`), in the name of the service that this proxy stands beside.
//!
//! The last check of every route, so that what it signs is what leaves; where the head leaves before the body, the last before
//! the body, of which the first form signs nothing. A request that it cannot sign does not leave, whatever
//! the mode.

use std::rc::Rc;

use crate::check::{Arrival, Await, BodyArrival, CalloutReply, Check, Env, Failure, Step};
use crate::denial::{BodyRejection, Denial};
use crate::exchange::{Errand, Exchange, HeaderEdit};
use crate::secrets::{Derived, SecretSlot};
use crate::signature::request::SignedRequest;
use crate::signature::{self, Key, V2_MARK, digest, format_timestamp, hex};

/// Signs every request.
pub struct SignRequests {
    service: Rc<str>,
    token: Rc<SecretSlot>,
    key: Derived<Option<Key>>,
    form: Form,
}

/// The form of the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Name, timestamp and token.
    V1,
    /// The whole request; its body is held.
    V2 {
        /// Bytes of a body that can be held.
        limit: usize,
    },
}

impl SignRequests {
    /// Signs in the name of `service`, which shows `token`, with `key`.
    pub fn new(service: Rc<str>, token: Rc<SecretSlot>, key: Rc<SecretSlot>, form: Form) -> Self {
        let key = Derived::new(vec![key], |slots| {
            slots.first().and_then(|slot| slot.signing()).and_then(|key| Key::new(key.reveal()))
        });
        Self { service, token, key, form }
    }

    /// Goes on with the secrets that there are; asks for one that is not.
    fn proceed(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        if let Some(missing) = self.slots().find(|slot| slot.is_missing()) {
            let Some(callout) = missing.ask(env.now) else { return without(missing, exchange) };
            exchange.authentication.errand = Some(Errand::Secret(missing.number()));
            return Step::Await(Await::Callout(callout));
        }
        match self.form {
            Form::V1 => self.sign_v1(exchange, env),
            Form::V2 { .. } if exchange.ends_with_head => self.sign_v2(b"", exchange, env),
            // What goes through a tunnel has no end and no digest.
            Form::V2 { .. } if exchange.is_tunnel() => Step::Refuse(Denial::Body(BodyRejection::Malformed("tunnel"))),
            Form::V2 { limit } => Step::Await(Await::Body { limit }),
        }
    }

    /// Takes the answer to what [`Self::proceed`] asked for. One that brings nothing ends the wait.
    fn secret_arrived(&self, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let asked = exchange.authentication.errand.take();
        let asked = self.slots().find(|slot| asked == Some(Errand::Secret(slot.number())) && slot.is_fetched());
        let Some(slot) = asked else { return unsigned(Failure::UnexpectedArrival) };
        slot.answered(reply, env);
        if slot.is_missing() {
            return without(slot, exchange);
        }
        self.proceed(exchange, env)
    }

    fn slots(&self) -> impl Iterator<Item = &Rc<SecretSlot>> {
        std::iter::once(&self.token).chain(self.key.slots())
    }

    fn sign_v1(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let key = self.key.current();
        let (Some(key), Some(token)) = (&*key, self.token.signing()) else { return unsigned(Failure::Secret) };
        let timestamp = format_timestamp(env.now);
        let code = hex(&key.v1(&self.service, &timestamp, token.reveal()));
        self.write(exchange, timestamp, code)
    }

    fn sign_v2(&self, body: &[u8], exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let key = self.key.current();
        let Some(key) = &*key else { return unsigned(Failure::Secret) };
        let Some(random) = env.host.random_block() else { return unsigned(Failure::Random) };
        let body = exchange.rewritten_body.as_deref().unwrap_or(body);
        let digest = if body.is_empty() { String::new() } else { digest::format(&digest::of(body)) };
        let (timestamp, nonce) = (format_timestamp(env.now), hex(&random));
        let target = exchange.target.path_and_query();
        let path = exchange.target.path();
        let request = SignedRequest {
            name: &self.service,
            timestamp: &timestamp,
            nonce: &nonce,
            method: exchange.head.method().unwrap_or_default(),
            path,
            query: target.as_bytes().get(path.len()..).unwrap_or_default(),
            digest: &digest,
        };
        let code = format!("{V2_MARK}{}", hex(&key.v2(&request)));
        set(exchange, signature::NONCE, nonce.into_bytes());
        if !digest.is_empty() {
            set(exchange, signature::CONTENT_DIGEST, digest.into_bytes());
        }
        self.write(exchange, timestamp, code)
    }

    fn write(&self, exchange: &mut Exchange, timestamp: String, code: String) -> Step {
        let Some(token) = self.token.signing() else { return unsigned(Failure::Secret) };
        let Some(token) = token.as_header_text() else { return unsigned(Failure::Secret) };
        set(exchange, signature::TOKEN, token.as_bytes().to_vec());
        set(exchange, signature::NAME, self.service.as_bytes().to_vec());
        set(exchange, signature::TIMESTAMP, timestamp.into_bytes());
        set(exchange, signature::SIGNATURE, code.into_bytes());
        Step::Pass
    }
}

impl Check for SignRequests {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        self.proceed(exchange, env)
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        match arrival {
            Arrival::Reply(reply) => self.secret_arrived(reply, exchange, env),
            Arrival::Body(BodyArrival::Whole(body)) => self.sign_v2(body, exchange, env),
            Arrival::Body(BodyArrival::OverLimit(_)) => Step::Refuse(Denial::Body(BodyRejection::TooLarge)),
        }
    }

    fn asks_for_client(&self) -> bool {
        false
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        matches!(self.form, Form::V2 { .. })
    }
}

fn without(slot: &SecretSlot, exchange: &mut Exchange) -> Step {
    exchange.lacking = Some(slot.settings());
    unsigned(Failure::Secret)
}

fn unsigned(failure: Failure) -> Step {
    Step::Refuse(Denial::Unavailable { what: failure.as_str() })
}

fn set(exchange: &mut Exchange, name: &'static str, value: Vec<u8>) {
    exchange.request_edits.push(HeaderEdit::Set(Rc::from(name), value));
}
