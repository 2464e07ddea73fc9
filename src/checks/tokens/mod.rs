//! Log in, refresh and log out at the proxy: three endpoints that are answered here.
//!
//! Each takes `POST` with a JSON body. What they hand out is signed with keys of the configuration and is what the JWT
//! providers of other routes verify; `sid` ties the tokens of one login together, so that logging out ends all of them.

mod account;
mod issuer;
mod login;
mod logout;
mod refresh;

use std::rc::Rc;

use serde::Deserialize;

use crate::check::{Arrival, Await, BodyArrival, Callout, CalloutReply, Check, Env, Failure, Step};
use crate::checks::authenticate::secret_arrived;
use crate::checks::limit::AddressBudget;
use crate::denial::{AuthReason, BodyRejection, Denial, LocalReply, TokenRefusal, fixed};
use crate::exchange::{Exchange, Issuance};

pub use issuer::{Issuer, Keys};
pub use login::Login;
pub use logout::Logout;
pub use refresh::{PLACEHOLDER, Refresh};

/// The longest body of a request, in bytes: a token has at most as many.
const MAX_BODY_BYTES: usize = 32 * 1024;

/// What the event says where the service that knows the accounts did not answer, or answered nonsense.
const NO_ANSWER: Failure = Failure::Dependency("identity_service_unavailable");

/// One endpoint.
pub struct TokenEndpoint {
    /// Who signs.
    pub issuer: Rc<Issuer>,
    /// What it does.
    pub service: Rc<dyn TokenService>,
    /// How many bad credentials an address may show.
    pub unverified: Option<Rc<AddressBudget>>,
    /// `WWW-Authenticate`.
    pub challenge: Rc<str>,
}

/// The form of a request to an endpoint, judged before the injection filter does: what is no login is told so.
pub struct TokenForm(pub Rc<dyn TokenService>);

/// What an endpoint does once the keys are there.
pub trait TokenService {
    /// Whether the body is one that it takes.
    ///
    /// # Errors
    /// What it takes instead.
    fn takes(&self, body: &[u8]) -> Result<(), TokenRefusal>;

    /// Decides about the whole body, or asks.
    fn asked(&self, body: &[u8], issuer: &Issuer, exchange: &mut Exchange, env: &mut Env<'_>) -> Outcome;

    /// Whom it asks, by the path of its settings, for events. One that never asks keeps the default.
    fn asks(&self) -> &'static str {
        ""
    }

    /// Goes on with the answer. A service that never asks keeps the default.
    fn answered(&self, _: &CalloutReply, _: &Issuer, _: Issuance, _: &mut Env<'_>) -> Outcome {
        Outcome::Fail(Failure::UnexpectedArrival)
    }
}

/// What became of a request to an endpoint.
#[derive(Debug)]
pub enum Outcome {
    /// It gets this document.
    Granted(String),
    /// It is done; there is nothing to say.
    Done,
    /// The credentials are bad.
    Refused(AuthReason),
    /// The request is not what the endpoint takes.
    NotTaken(TokenRefusal),
    /// Nothing can be said before this is answered; the exchange keeps what it is about.
    Ask(Callout, Issuance),
    /// It could not be done.
    Fail(Failure),
}

impl Check for TokenForm {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if exchange.head.method() != Some(b"POST") {
            return Step::Deny(Denial::TokenRequest(TokenRefusal::MethodNotAllowed));
        }
        Step::Await(Await::Body { limit: MAX_BODY_BYTES })
    }

    fn resume(&self, _exchange: &mut Exchange, arrival: Arrival<'_>, _env: &mut Env<'_>) -> Step {
        match arrival {
            Arrival::Body(BodyArrival::OverLimit(_)) => Step::Deny(Denial::Body(BodyRejection::TooLarge)),
            Arrival::Body(BodyArrival::Whole(body)) => match self.0.takes(body) {
                Ok(()) => Step::Pass,
                Err(refusal) => Step::Deny(Denial::TokenRequest(refusal)),
            },
            Arrival::Reply(_) => Step::Fail(Failure::UnexpectedArrival),
        }
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        true
    }
}

impl Check for TokenEndpoint {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        match self.unverified.as_ref().map_or(Ok(None), |budget| budget.spent(exchange.client(), env)) {
            Ok(None) => self.await_body(exchange, env),
            Ok(Some(retry_after)) => Step::Deny(Denial::UnverifiedCredentials { retry_after }),
            Err(failure) => Step::Fail(failure),
        }
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        let outcome = match (arrival, std::mem::take(&mut exchange.issuance)) {
            (Arrival::Reply(reply), Issuance::Secret(number)) => {
                secret_arrived(number, reply, self.issuer.keys.slots().iter(), env);
                return self.await_body(exchange, env);
            }
            (Arrival::Body(BodyArrival::OverLimit(_)), _) => return Step::Deny(Denial::Body(BodyRejection::TooLarge)),
            (Arrival::Body(BodyArrival::Whole(body)), _) => self.service.asked(body, &self.issuer, exchange, env),
            (Arrival::Reply(_), Issuance::None) => Outcome::Fail(Failure::UnexpectedArrival),
            (Arrival::Reply(reply), asked) => self.service.answered(reply, &self.issuer, asked, env),
        };
        self.conclude(outcome, exchange, env)
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        true
    }
}

impl TokenEndpoint {
    /// Waits for the keys first: whoever sends credentials should not have sent them in vain.
    fn await_body(&self, exchange: &mut Exchange, env: &Env<'_>) -> Step {
        let Some(slot) = self.issuer.keys.missing() else {
            return Step::Await(Await::Body { limit: MAX_BODY_BYTES });
        };
        match slot.ask(env.now) {
            Some(callout) => {
                exchange.issuance = Issuance::Secret(slot.number());
                Step::Await(Await::Callout(callout))
            }
            None => {
                exchange.lacking = Some(slot.settings());
                Step::Fail(Failure::Secret)
            }
        }
    }

    fn conclude(&self, outcome: Outcome, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        if let (Some(budget), false) = (&self.unverified, matches!(outcome, Outcome::Ask(..))) {
            budget.judged(matches!(outcome, Outcome::Refused(_)), exchange, env);
        }
        match outcome {
            Outcome::Granted(document) => Step::Answer(reply(200, document)),
            Outcome::Done => Step::Answer(reply(204, String::new())),
            Outcome::Refused(reason) => {
                Step::Deny(Denial::Unauthenticated { reason, challenge: self.challenge.clone() })
            }
            Outcome::NotTaken(refusal) => Step::Deny(Denial::TokenRequest(refusal)),
            Outcome::Ask(callout, about) => self.ask(callout, about, exchange, env),
            Outcome::Fail(failure) => {
                exchange.lacking = Some(Rc::from(self.service.asks())).filter(|_| failure == NO_ANSWER);
                Step::Fail(failure)
            }
        }
    }

    /// Asks, unless the address has no credentials left to try: as many may have waited for their bodies as it sends.
    fn ask(&self, mut callout: Callout, about: Issuance, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        if let Some(Err(refusal)) = self.unverified.as_ref().map(|budget| budget.charge_ahead(exchange, env)) {
            callout.wipe();
            return refusal;
        }
        exchange.issuance = about;
        Step::Await(Await::Callout(callout))
    }
}

/// The members that an endpoint takes out of a body that is one JSON object. A list would be taken for its members too.
fn members<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Option<T> {
    let object = body.trim_ascii_start().starts_with(b"{");
    object.then(|| serde_json::from_slice(body).ok()).flatten()
}

/// RFC 6749 section 5.1: what carries tokens is stored by nobody.
fn reply(status: u16, body: String) -> LocalReply {
    let mut headers = vec![fixed("cache-control", "no-store")];
    if !body.is_empty() {
        headers.push(fixed("content-type", "application/json"));
    }
    LocalReply { status, headers, body, grpc_status: 0, details: "tokens" }
}
