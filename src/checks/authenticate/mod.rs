//! Who is calling: the credentials that a route accepts, asked in their order.
//!
//! A credential that is present decides; one that is absent leaves the word to the next. What was not verified never
//! becomes an identity, not even in monitor mode.

pub mod account;
pub mod api_keys;
pub mod bearer;
pub mod identity;
pub mod jwt;
pub mod key_source;
pub mod mtls;
pub mod opaque;
pub mod place;
pub mod revocation_feed;
pub mod service;
pub mod signed_body;

use std::net::IpAddr;
use std::rc::Rc;

use crate::check::{Arrival, Await, Callout, CalloutReply, Check, Env, Failure, Step};
use crate::checks::limit::AddressBudget;
use crate::denial::{AuthReason, Denial};
use crate::exchange::{Errand, Exchange, Identity, Method, ShownBy};
use crate::jose::reason::Reason;
use crate::secrets::SecretSlot;
use crate::time::Timestamp;

use place::Place;

/// One kind of credentials.
pub trait Credential {
    /// Looks for credentials of this kind and verifies them.
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt;

    /// Goes on with the answer to the callout that an [`Attempt::Wait`] asked for. A kind that never waits keeps the
    /// default.
    fn arrived(&self, _errand: Errand, _reply: &CalloutReply, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Attempt {
        Attempt::Fail(Failure::UnexpectedArrival)
    }

    /// Takes credentials that nobody will look at out of what the upstream receives.
    fn withhold(&self, _exchange: &mut Exchange) {}
}

/// What became of one kind of credentials.
#[derive(Debug)]
pub enum Attempt {
    /// There are none of this kind.
    Absent,
    /// They are good.
    Verified(Rc<Identity>),
    /// They are bad.
    Refused(AuthReason),
    /// They were not looked at: too much cryptography was asked for already.
    Busy {
        /// Seconds after which a try has a chance.
        retry_after: u64,
    },
    /// They could not be judged.
    Fail(Failure),
    /// They could not be judged for want of something that was not to be had.
    Undecided {
        /// What, by the path of its settings.
        dependency: Rc<str>,
        /// What becomes of the exchange.
        then: Undecided,
    },
    /// They cannot be judged before this is answered.
    Wait(Errand, Callout),
}

/// What becomes of credentials that could not be judged for want of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// They are refused as [`Reason::Unavailable`].
    Refuse,
    /// They are good as far as could be told, and `on_error` is `allow`: the exchange goes on as nobody's.
    Anonymous {
        /// The reason code of the part that could not be told.
        without: &'static str,
    },
    /// A secret of our own is missing: nothing can be decided.
    Fail,
}

impl Attempt {
    /// Credentials that could not be judged for want of `dependency`, the path of its settings.
    pub fn undecided(dependency: impl Into<Rc<str>>, then: Undecided) -> Self {
        Self::Undecided { dependency: dependency.into(), then }
    }
}

/// How often one exchange may wait: for keys, twice where it joined a fetch that came too early, and an account, of two
/// kinds of credentials.
const MAX_WAITS: u8 = 6;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The first kind that is present must be good.
    Any,
    /// Every kind must be present and good; the first names the caller, a certificate only where nothing else does.
    All,
    /// None may be present; one that is must be good.
    Optional,
}

/// Authentication of one route.
pub struct Authenticate {
    /// What is asked for.
    pub requirement: Requirement,
    /// The kinds, in the operator's order.
    pub credentials: Vec<Rc<dyn Credential>>,
    /// How many bad credentials an address may show before nothing of it is verified any more.
    pub unverified: Option<Rc<AddressBudget>>,
    /// `WWW-Authenticate`.
    pub challenge: Rc<str>,
}

impl Check for Authenticate {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        self.proceed(None, exchange, env)
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        match arrival {
            Arrival::Reply(reply) => self.proceed(Some(reply), exchange, env),
            Arrival::Body(_) => Step::Fail(Failure::UnexpectedArrival),
        }
    }
}

impl Authenticate {
    /// Takes as many kinds of credentials as the decision needs. What was not looked at is not passed on as if it had
    /// been.
    fn proceed(&self, reply: Option<&CalloutReply>, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let step = self.decide(reply, exchange, env);
        if !matches!(step, Step::Await(_)) {
            for credential in self.credentials.iter().skip(exchange.authentication.at) {
                credential.withhold(exchange);
            }
        }
        step
    }

    fn decide(&self, mut reply: Option<&CalloutReply>, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        while let Some(credential) = self.credentials.get(exchange.authentication.at) {
            let attempt = match (reply.take(), exchange.authentication.errand.take()) {
                (Some(reply), Some(errand)) => credential.arrived(errand, reply, exchange, env),
                _ => credential.attempt(exchange, env),
            };
            if let Attempt::Wait(errand, callout) = attempt {
                return self.wait(errand, callout, exchange, env);
            }
            exchange.authentication.at += 1;
            if matches!(&attempt, Attempt::Verified(identity) if identity.method.is_shown_in_headers()) {
                exchange.shown_by = ShownBy::Maker;
            }
            if let Some(budget) = &self.unverified {
                budget.judged(is_bad(&attempt), exchange, env);
            }
            match (attempt, self.requirement) {
                (Attempt::Verified(identity), Requirement::All) => {
                    let caller = &mut exchange.authentication.caller;
                    // A certificate is the peer's; who calls is said by what comes over the connection.
                    if caller.as_ref().is_none_or(|known| known.method == Method::Mtls) {
                        *caller = Some(identity);
                    }
                }
                (Attempt::Verified(identity), _) => {
                    exchange.caller = Some(identity);
                    return Step::Pass;
                }
                (Attempt::Absent, Requirement::All) => return self.refuse(AuthReason::Token(Reason::Missing)),
                (Attempt::Absent, _) => {}
                (Attempt::Refused(reason), _) => return self.refuse(reason),
                (Attempt::Undecided { dependency, then }, _) => {
                    exchange.lacking = Some(dependency);
                    if let Some(step) = self.go_on_without(then, exchange) {
                        return step;
                    }
                }
                (Attempt::Busy { retry_after }, _) => {
                    return Step::Deny(Denial::UnverifiedCredentials { retry_after });
                }
                (Attempt::Fail(failure), _) => return Step::Fail(failure),
                (Attempt::Wait(..), _) => return Step::Fail(Failure::UnexpectedArrival),
            }
        }
        self.conclude(exchange)
    }

    /// What becomes of an exchange whose credentials could not be judged. `None`: the next kind of them has the word.
    fn go_on_without(&self, then: Undecided, exchange: &mut Exchange) -> Option<Step> {
        match then {
            Undecided::Refuse => return Some(self.refuse(AuthReason::Token(Reason::Unavailable))),
            Undecided::Fail => return Some(Step::Fail(Failure::Secret)),
            Undecided::Anonymous { without } => exchange.degraded = Some(without),
        }
        if self.requirement != Requirement::All {
            return Some(Step::Pass);
        }
        exchange.authentication.anonymous = true;
        None
    }

    /// What all kinds together mean, where none had the last word.
    fn conclude(&self, exchange: &mut Exchange) -> Step {
        let anonymous = exchange.authentication.anonymous;
        match (self.requirement, exchange.authentication.caller.take()) {
            (Requirement::All, _) if anonymous => Step::Pass,
            (Requirement::All, Some(caller)) => {
                exchange.caller = Some(caller);
                Step::Pass
            }
            (Requirement::Optional, _) => Step::Pass,
            _ => self.refuse(AuthReason::Token(Reason::Missing)),
        }
    }

    /// Waits for the answer, unless the exchange has waited often enough or its address has no credentials left to try.
    fn wait(&self, errand: Errand, callout: Callout, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        if exchange.authentication.waits == MAX_WAITS {
            return Step::Fail(Failure::TooManyCallouts);
        }
        if let Err(refusal) = self.charge_ahead(errand, exchange, env) {
            return refusal;
        }
        exchange.authentication.waits += 1;
        exchange.authentication.errand = Some(errand);
        Step::Await(Await::Callout(callout))
    }

    /// Charges what somebody else is asked about: an answer costs them something, whoever still waits for it.
    fn charge_ahead(&self, errand: Errand, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<(), Step> {
        let Some(budget) = &self.unverified else { return Ok(()) };
        match errand {
            // What the worker fetches for itself is asked for once, whoever needs it.
            Errand::KeySet | Errand::Secret(_) => Ok(()),
            Errand::Token => budget.charge_ahead(exchange, env),
            Errand::Account => {
                // The token is good, and most often was so before: its account is asked about although nothing is left.
                let _ = budget.charge_ahead(exchange, env);
                Ok(())
            }
        }
    }

    fn refuse(&self, reason: AuthReason) -> Step {
        Step::Deny(match reason {
            AuthReason::Certificate(reason) => Denial::Certificate(reason),
            reason => Denial::Unauthenticated { reason, challenge: self.challenge.clone() },
        })
    }
}

/// Whether credentials cost their address something. The listener did the work for a certificate, and nobody's credentials
/// are bad because we could not ask.
const fn is_bad(attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Refused(AuthReason::Certificate(_)) => false,
        Attempt::Refused(_) => true,
        _ => false,
    }
}

/// Waits for a secret that has not arrived, or says that it is not to be had at the moment.
pub fn await_secret(slot: &SecretSlot, now: Timestamp) -> Attempt {
    match slot.ask(now) {
        Some(callout) => Attempt::Wait(Errand::Secret(slot.number()), callout),
        None => Attempt::undecided(slot.settings(), Undecided::Fail),
    }
}

/// Gives the answer to the secret that [`await_secret`] waited for; it is one of `slots`.
pub fn secret_arrived<'s>(
    number: u16,
    reply: &CalloutReply,
    slots: impl Iterator<Item = &'s Rc<SecretSlot>>,
    env: &mut Env<'_>,
) {
    if let Some(slot) = slots.into_iter().find(|slot| slot.is_fetched() && slot.number() == number) {
        slot.answered(reply, env);
    }
}

/// What is said instead of verifying, where the address has shown too many bad credentials or that cannot be known.
fn stopped(budget: Option<&AddressBudget>, client: IpAddr, env: &mut Env<'_>) -> Option<Attempt> {
    match budget?.spent(client, env) {
        Ok(None) => None,
        Ok(Some(retry_after)) => Some(Attempt::Busy { retry_after }),
        Err(failure) => Some(Attempt::Fail(failure)),
    }
}

/// Takes out what a route does not look at: a service must not find a token that nobody verified and take it for one
/// that the proxy did.
pub struct Withhold {
    /// Where such tokens may stand.
    pub places: Vec<Place>,
}

impl Check for Withhold {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let places: Vec<&Place> = self.places.iter().collect();
        place::strip_all(&place::find(&places, exchange), exchange);
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

/// Which headers tell the upstream who is calling. `None`: it is not told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The subject.
    pub subject: Option<Rc<str>>,
    /// The role names, separated by commas.
    pub roles: Option<Rc<str>>,
    /// How the caller proved it.
    pub method: Option<Rc<str>>,
}

impl Told {
    /// The identity headers for a caller.
    pub fn headers(&self, identity: &Identity) -> Vec<(Rc<str>, String)> {
        let subject = self.subject.iter().map(|name| (name.clone(), identity.subject.clone()));
        let roles = self.roles.iter().map(|name| (name.clone(), identity.role_names.join(",")));
        let method = self.method.iter().map(|name| (name.clone(), identity.method.as_str().to_owned()));
        subject.chain(roles).chain(method).collect()
    }
}

/// Whether `value` can stand in a header as one element and is read as it was written: no control character, no list
/// separator, no space around it, which recipients drop (RFC 9110 section 5.5).
pub fn header_safe(value: &str) -> bool {
    value.trim() == value && !value.chars().any(|c| c.is_control() || c == ',' || c == ';')
}

#[cfg(test)]
mod tests;
