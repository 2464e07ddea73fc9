//! What the upstream must only see encrypted: fields of a JSON body, or all of it.

use std::rc::Rc;

use super::KeyRing;
use super::request::{BodyStep, is_encoded};
use crate::check::{Arrival, Await, BodyArrival, Check, Env, Failure, Step};
use crate::denial::{BodyRejection, Denial};
use crate::document::{Document, PathSet, Value};
use crate::exchange::Exchange;
use crate::fernet::Keys;

/// Encrypts fields. Of an array or object everything in it; of a number or truth value its text; `null` stays.
pub struct EncryptFields {
    /// Which.
    pub fields: PathSet,
    /// With what.
    pub keys: Rc<KeyRing>,
}

impl BodyStep for EncryptFields {
    fn apply(&self, document: &mut Document<'_>, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let keys = self.keys.current();
        let Some(keys) = keys.as_ref() else { return without_key(&self.keys, exchange) };
        for field in self.fields.places(document) {
            for place in document.scalars(field) {
                let plain = match document.value(place) {
                    Value::String(text) | Value::Number(text) => text,
                    Value::Bool(true) => "true",
                    Value::Bool(false) => "false",
                    Value::Null | Value::Array | Value::Object => continue,
                };
                let Some(token) = encrypt(keys, plain.as_bytes(), env) else { return NO_RANDOM };
                document.set_string(place, token);
            }
        }
        Step::Pass
    }

    fn reaches(&self, patch: &Document<'_>) -> bool {
        !self.fields.places(patch).is_empty()
    }

    fn changes(&self) -> bool {
        true
    }
}

/// Encrypts a whole body, whatever it is. An empty one stays empty.
pub struct EncryptWhole {
    /// With what.
    pub keys: Rc<KeyRing>,
    /// Bytes of a body that can be held.
    pub limit: usize,
}

impl Check for EncryptWhole {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if exchange.ends_with_head {
            return Step::Pass;
        }
        if exchange.is_tunnel() {
            return Step::Refuse(Denial::Body(BodyRejection::Malformed("upgrade")));
        }
        // The upstream would undo a coding that the token does not have.
        if is_encoded(exchange) {
            return Step::Refuse(Denial::Body(BodyRejection::Encoded));
        }
        Step::Await(Await::Body { limit: self.limit })
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        let sent = match arrival {
            Arrival::Body(BodyArrival::Whole(sent)) => sent,
            Arrival::Body(BodyArrival::OverLimit(_)) => return Step::Refuse(Denial::Body(BodyRejection::TooLarge)),
            Arrival::Reply(_) => return Step::Fail(Failure::UnexpectedArrival),
        };
        let plain = exchange.rewritten_body.as_deref().unwrap_or(sent);
        if plain.is_empty() {
            return Step::Pass;
        }
        let keys = self.keys.current();
        let Some(keys) = keys.as_ref() else { return without_key(&self.keys, exchange) };
        let Some(token) = encrypt(keys, plain, env) else { return NO_RANDOM };
        exchange.rewritten_body = Some(token.into_bytes());
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        true
    }
}

/// The secret of the key that encrypts has not arrived.
fn without_key(keys: &KeyRing, exchange: &mut Exchange) -> Step {
    exchange.lacking = keys.slots().first().map(|slot| slot.settings());
    Step::Refuse(Denial::Unavailable { what: Failure::Secret.as_str() })
}

const NO_RANDOM: Step = Step::Refuse(Denial::Unavailable { what: Failure::Random.as_str() });

/// `None`: the host has no random bytes.
fn encrypt(keys: &Keys, plain: &[u8], env: &Env<'_>) -> Option<String> {
    Some(keys.encrypt(plain, env.now, env.host.random_block()?))
}
