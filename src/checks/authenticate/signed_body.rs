//! The body that a caller signed: nothing of it goes on before it is seen to be that one.

use std::rc::Rc;

use crate::check::{Arrival, Await, BodyArrival, Check, Env, Failure, Step};
use crate::denial::{AuthReason, BodyRejection, Denial, ServiceReason};
use crate::exchange::{Exchange, SignedBody};
use crate::signature::{SIGNATURE, digest};

/// Compares the body with what was signed of it. Who is not who the signature says is nobody: a wrong body takes the
/// caller's identity away, and where it is too late for that, the request is refused whatever the mode.
pub struct CheckSignedBody {
    /// Bytes of a body that can be held.
    pub limit: usize,
    /// Who calls was told before the body came, so that it cannot be taken back.
    pub head_goes_first: bool,
    /// `WWW-Authenticate`.
    pub challenge: Rc<str>,
}

impl Check for CheckSignedBody {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let Some(signed) = exchange.signed_body else { return Step::Pass };
        if exchange.ends_with_head {
            return self.judge(signed, b"", exchange);
        }
        // What goes through a tunnel has no end and no digest.
        if exchange.is_tunnel() {
            return self.refuse(ServiceReason::UnsignedBody, exchange);
        }
        let limit = if signed == SignedBody::Nothing { 0 } else { self.limit };
        Step::Await(Await::Body { limit })
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, _env: &mut Env<'_>) -> Step {
        match self.arrived(arrival, exchange) {
            Step::Deny(denial) if self.head_goes_first => Step::Refuse(denial),
            step => step,
        }
    }

    fn may_await_body(&self, exchange: &Exchange) -> bool {
        exchange.head.contains(SIGNATURE)
    }
}

impl CheckSignedBody {
    fn arrived(&self, arrival: Arrival<'_>, exchange: &mut Exchange) -> Step {
        match (exchange.signed_body, arrival) {
            (Some(signed), Arrival::Body(BodyArrival::Whole(body))) => self.judge(signed, body, exchange),
            (Some(SignedBody::Nothing), Arrival::Body(BodyArrival::OverLimit(_))) => {
                self.refuse(ServiceReason::UnsignedBody, exchange)
            }
            (Some(SignedBody::Digest(_)), Arrival::Body(BodyArrival::OverLimit(_))) => {
                exchange.caller = None;
                Step::Deny(Denial::Body(BodyRejection::TooLarge))
            }
            _ => Step::Fail(Failure::UnexpectedArrival),
        }
    }

    fn judge(&self, signed: SignedBody, body: &[u8], exchange: &mut Exchange) -> Step {
        match signed {
            SignedBody::Nothing if body.is_empty() => Step::Pass,
            SignedBody::Nothing => self.refuse(ServiceReason::UnsignedBody, exchange),
            SignedBody::Digest(expected) if digest::of(body) == expected => Step::Pass,
            SignedBody::Digest(_) => self.refuse(ServiceReason::WrongBody, exchange),
        }
    }

    fn refuse(&self, reason: ServiceReason, exchange: &mut Exchange) -> Step {
        exchange.caller = None;
        let reason = AuthReason::Service(reason);
        Step::Deny(Denial::Unauthenticated { reason, challenge: self.challenge.clone() })
    }
}
