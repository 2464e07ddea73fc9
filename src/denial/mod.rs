//! Every way to be refused: its status, reason code, event and label. The only place for replies.
//!
//! What a client may see and what an event may say are two things: [`Denial::detail`] is for the client,
//! [`Denial::reason`] and [`Denial::rule`] are for the operator.

mod cause;
mod credentials;
mod refusal;
mod reply;

use std::rc::Rc;

pub use cause::{BodyRejection, CrossSite, Detection, Place, ResponseRejection};
pub use credentials::{AuthReason, CertificateReason, LoginReason, ServiceReason};
pub use refusal::{AdminRefusal, TokenRefusal};
pub use reply::{HeaderLine, LocalReply, fixed, made};

use crate::canonical::Rejection;
use crate::event::EventType;
use crate::schema::Violation;

/// One refusal.
#[derive(Clone, Debug, PartialEq)]
pub enum Denial {
    /// 400: the head has no canonical form.
    Malformed(Rejection),
    /// 403: the address is shut out.
    AddressBlocked,
    /// 403: no route matches and `unmatched` says deny.
    Unmatched,
    /// 308: plain HTTP where HTTPS is required.
    HttpsRequired {
        /// The same request over HTTPS.
        location: String,
    },
    /// 401.
    Unauthenticated {
        /// Why.
        reason: AuthReason,
        /// `WWW-Authenticate` of the route.
        challenge: Rc<str>,
    },
    /// 403: a client certificate is needed, and there is none that counts.
    Certificate(CertificateReason),
    /// 429 before any cryptography: too many credentials that were not seen to be good.
    UnverifiedCredentials {
        /// Seconds after which a try has a chance, at least 1.
        retry_after: u64,
    },
    /// 403 by an entry of `allow` or `deny`.
    Forbidden {
        /// Which entry, as the configuration would name it.
        rule: Rc<str>,
        /// `WWW-Authenticate` where the caller's token lacks nothing but scopes.
        challenge: Option<Rc<str>>,
    },
    /// 403: a cookie is its only credential, and no page of ours sent it.
    CrossSite(CrossSite),
    /// 429 by a limit.
    RateLimited {
        /// Name of the limit.
        limit: Rc<str>,
        /// Seconds after which a client that comes alone is admitted, at least 1.
        retry_after: u64,
    },
    /// 403: an injection.
    Injection(Box<Detection>),
    /// 400 or 413: the body.
    Body(BodyRejection),
    /// 422: the body is not what the route's schema says.
    Invalid(Box<[Violation]>),
    /// 502: the upstream's response.
    Response(ResponseRejection),
    /// 503: a part that the decision needs could not do its work.
    Unavailable {
        /// Which part.
        what: &'static str,
    },
    /// 400, 404 or 405: an administrator's mistake, no matter of security.
    Admin(AdminRefusal),
    /// 400 or 405 of the endpoints that log in, refresh and log out, no matter of security either.
    TokenRequest(TokenRefusal),
}

/// The closed label set of `blocked_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockReason {
    /// 401, here or at the upstream; 403 without a client certificate that counts.
    InvalidCredentials,
    /// 403 by a rule, here or at the upstream.
    Forbidden,
    /// 429, here or at the upstream.
    RateLimit,
    /// 400: path, host or head.
    MalformedRequest,
    /// 403: the address is shut out.
    BlockedAddress,
    /// 403: an injection.
    Injection,
    /// 400, 413, 422: the body.
    Body,
    /// 502 or 503: a dependency or a part of our own could not decide.
    Unavailable,
}

impl BlockReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: &'static [Self] = &[
        Self::InvalidCredentials,
        Self::Forbidden,
        Self::RateLimit,
        Self::MalformedRequest,
        Self::BlockedAddress,
        Self::Injection,
        Self::Body,
        Self::Unavailable,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::Forbidden => "forbidden",
            Self::RateLimit => "rate_limit",
            Self::MalformedRequest => "malformed_request",
            Self::BlockedAddress => "blocked_address",
            Self::Injection => "injection",
            Self::Body => "body",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Denial {
    /// HTTP status of the reply.
    pub fn status(&self) -> u16 {
        match self {
            Self::HttpsRequired { .. } => 308,
            Self::Malformed(_) | Self::Body(BodyRejection::Malformed(_)) => 400,
            Self::Unauthenticated { .. } => 401,
            Self::AddressBlocked | Self::Unmatched | Self::Forbidden { .. } | Self::CrossSite(_) => 403,
            Self::Certificate(_) | Self::Injection(_) => 403,
            Self::Body(BodyRejection::Encoded | BodyRejection::NotJson) => 415,
            Self::Body(BodyRejection::TooLarge | BodyRejection::TooComplex(_)) => 413,
            Self::Invalid(_) => 422,
            Self::UnverifiedCredentials { .. } | Self::RateLimited { .. } => 429,
            Self::Response(_) => 502,
            Self::Unavailable { .. } => 503,
            Self::Admin(refusal) => refusal.status(),
            Self::TokenRequest(refusal) => refusal.status(),
        }
    }

    /// What the client is told. Never says more than a client may know.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "The request is malformed",
            Self::AddressBlocked => "Access from this address is blocked",
            Self::Unmatched | Self::Forbidden { .. } => "You may not do this",
            Self::CrossSite(_) => "The request does not come from a page that may send it",
            Self::HttpsRequired { .. } => "Use HTTPS",
            Self::Unauthenticated { reason, .. } => reason.detail(),
            Self::Certificate(reason) => AuthReason::Certificate(*reason).detail(),
            Self::UnverifiedCredentials { .. } | Self::RateLimited { .. } => "Too many requests",
            Self::Injection(_) => "The request was refused",
            Self::Body(BodyRejection::TooLarge) => "The body is too large",
            Self::Body(BodyRejection::TooComplex(_)) => "The body is too complex",
            Self::Body(BodyRejection::Encoded) => "The body must not be compressed",
            Self::Body(BodyRejection::NotJson) => "The body must be JSON",
            Self::Body(BodyRejection::Malformed(_)) => "The body is malformed",
            Self::Invalid(_) => "The body is not what is expected",
            Self::Response(_) => "The response cannot be shown",
            Self::Unavailable { .. } => "The request cannot be decided at the moment",
            Self::Admin(refusal) => refusal.detail(),
            Self::TokenRequest(refusal) => refusal.detail(),
        }
    }

    /// The reason code for events and `%RESPONSE_CODE_DETAILS%`, out of a closed list.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(rejection) => rejection.as_str(),
            Self::AddressBlocked => "blocked_address",
            Self::Unmatched => "no_route",
            Self::HttpsRequired { .. } => "https_required",
            Self::Unauthenticated { reason, .. } => reason.as_str(),
            Self::Certificate(reason) => reason.as_str(),
            Self::UnverifiedCredentials { .. } => "unverified_credentials",
            Self::Forbidden { .. } => "forbidden",
            Self::CrossSite(why) => why.as_str(),
            Self::RateLimited { .. } => "rate_limit",
            Self::Injection(_) => "injection",
            Self::Body(BodyRejection::TooLarge) => "body_too_large",
            Self::Body(BodyRejection::Encoded) => "body_encoded",
            Self::Body(BodyRejection::NotJson) => "body_not_json",
            Self::Invalid(_) => "body_invalid",
            Self::Body(BodyRejection::Malformed(what) | BodyRejection::TooComplex(what)) => what,
            Self::Response(rejection) => rejection.as_str(),
            Self::Unavailable { what } => what,
            Self::Admin(_) => "admin",
            Self::TokenRequest(_) => "token_request",
        }
    }

    /// Why credentials were refused, where that is what it says.
    pub fn auth_reason(&self) -> Option<AuthReason> {
        match self {
            Self::Unauthenticated { reason, .. } => Some(*reason),
            Self::Certificate(reason) => Some(AuthReason::Certificate(*reason)),
            _ => None,
        }
    }

    /// The rule that spoke, for events.
    pub fn rule(&self) -> &str {
        match self {
            Self::Forbidden { rule, .. } => rule,
            Self::Unmatched => "unmatched",
            Self::CrossSite(_) => "headers.csrf",
            Self::Injection(detection) => &detection.rule,
            Self::Invalid(violations) => violations.first().map_or("", |violation| violation.keyword),
            _ => "",
        }
    }

    /// The event that reports it; a redirect to HTTPS and an administrator's mistake are none.
    pub fn event(&self) -> Option<EventType> {
        match self {
            Self::HttpsRequired { .. } | Self::Admin(_) | Self::TokenRequest(_) => None,
            Self::Malformed(_) | Self::Injection(_) | Self::Body(_) | Self::Invalid(_) => {
                Some(EventType::SuspiciousRequest)
            }
            Self::AddressBlocked | Self::Unmatched | Self::Forbidden { .. } | Self::CrossSite(_) => {
                Some(EventType::AccessDenied)
            }
            Self::Unauthenticated { reason: AuthReason::Service(ServiceReason::Replayed), .. } => {
                Some(EventType::Replay)
            }
            Self::Unauthenticated { .. } | Self::Certificate(_) => Some(EventType::AuthFailure),
            Self::UnverifiedCredentials { .. } | Self::RateLimited { .. } => Some(EventType::RateLimited),
            Self::Response(_) | Self::Unavailable { .. } => Some(EventType::Degraded),
        }
    }

    /// The label under which the refused request is counted; what is no event is not refused.
    pub fn block_reason(&self) -> Option<BlockReason> {
        match self {
            Self::HttpsRequired { .. } | Self::Admin(_) | Self::TokenRequest(_) => None,
            Self::Malformed(_) => Some(BlockReason::MalformedRequest),
            Self::AddressBlocked => Some(BlockReason::BlockedAddress),
            Self::Unmatched | Self::Forbidden { .. } | Self::CrossSite(_) => Some(BlockReason::Forbidden),
            Self::Unauthenticated { .. } | Self::Certificate(_) => Some(BlockReason::InvalidCredentials),
            Self::UnverifiedCredentials { .. } | Self::RateLimited { .. } => Some(BlockReason::RateLimit),
            Self::Injection(_) => Some(BlockReason::Injection),
            Self::Body(_) | Self::Invalid(_) => Some(BlockReason::Body),
            Self::Response(_) | Self::Unavailable { .. } => Some(BlockReason::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_the_order_of_their_type() {
        for (at, reason) in BlockReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
