//! Who is calling: the credentials that a route accepts, asked in their order.
//!
//! A credential that is present decides; one that is absent leaves the word to the next. What was not verified never
//! becomes an identity, not even in monitor mode.

pub mod jwt;
pub mod place;
pub mod service;

use std::net::IpAddr;
use std::rc::Rc;

use crate::check::{Check, Env, Failure, Step};
use crate::checks::limit::AddressBudget;
use crate::denial::{AuthReason, Denial};
use crate::exchange::{Exchange, Identity};
use crate::jose::reason::Reason;

/// One kind of credentials.
pub trait Credential {
    /// Looks for credentials of this kind and verifies them.
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt;

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
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The first kind that is present must be good.
    Any,
    /// Every kind must be present and good; the first names the caller.
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
        let mut credentials = self.credentials.iter();
        let step = self.decide(&mut credentials, exchange, env);
        // What was not looked at is not passed on as if it had been.
        credentials.for_each(|credential| credential.withhold(exchange));
        step
    }
}

impl Authenticate {
    /// Takes as many of `credentials` as the decision needs.
    fn decide<'c>(
        &self,
        credentials: &mut impl Iterator<Item = &'c Rc<dyn Credential>>,
        exchange: &mut Exchange,
        env: &mut Env<'_>,
    ) -> Step {
        let mut caller = None;
        for credential in credentials {
            match (credential.attempt(exchange, env), self.requirement) {
                (Attempt::Verified(identity), Requirement::All) => caller = caller.or(Some(identity)),
                (Attempt::Verified(identity), _) => {
                    exchange.caller = Some(identity);
                    return Step::Pass;
                }
                (Attempt::Absent, Requirement::All) => return self.refuse(AuthReason::Token(Reason::Missing)),
                (Attempt::Absent, _) => {}
                (Attempt::Refused(reason), _) => {
                    if let Some(budget) = &self.unverified {
                        budget.charge(exchange.client, env);
                    }
                    return self.refuse(reason);
                }
                (Attempt::Busy { retry_after }, _) => {
                    return Step::Deny(Denial::UnverifiedCredentials { retry_after });
                }
                (Attempt::Fail(failure), _) => return Step::Fail(failure),
            }
        }
        match (self.requirement, caller) {
            (Requirement::All, Some(caller)) => {
                exchange.caller = Some(caller);
                Step::Pass
            }
            (Requirement::Optional, _) => Step::Pass,
            _ => self.refuse(AuthReason::Token(Reason::Missing)),
        }
    }

    fn refuse(&self, reason: AuthReason) -> Step {
        Step::Deny(Denial::Unauthenticated { reason, challenge: self.challenge.clone() })
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
