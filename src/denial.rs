//! Every way to be refused: status, problem document (RFC 9457), headers, reason code. The only place for replies.
//!
//! What a client may see and what an event may say are two things: [`Denial::detail`] is for the client,
//! [`Denial::reason`] and [`Denial::rule`] are for the operator.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Serialize;

use crate::canonical::Rejection;
use crate::event::EventType;
use crate::jose::reason::Reason;
use crate::schema::Violation;

/// Why credentials were refused: the published closed list of tokens, those of service signatures and certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthReason {
    /// A token, or none at all.
    Token(Reason),
    /// A service signature.
    Service(ServiceReason),
    /// A client certificate.
    Certificate(CertificateReason),
    /// Username and password.
    Login(LoginReason),
    /// The upstream answered 401.
    Upstream,
}

/// Why a login was refused: the client cannot tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginReason {
    /// Username or password are wrong, says the service that knows them.
    BadLogin,
    /// They are right, and the account is inactive.
    InactiveAccount,
}

impl LoginReason {
    const ALL: [Self; 2] = [Self::BadLogin, Self::InactiveAccount];
}

/// Why a service signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceReason {
    /// The timestamp is not a decimal number of seconds.
    InvalidTimestamp,
    /// The timestamp is further away than the allowed skew.
    TimestampTooOld,
    /// Unknown service, wrong token or wrong signature: the client cannot tell which.
    UnknownService,
    /// The signature does not match.
    BadServiceSignature,
    /// The form of the signature is none that counts here.
    UnsupportedSignature,
    /// Version 2: the nonce is missing, too short, too long, or of other characters.
    InvalidNonce,
    /// Version 2: the digest is not in the one form that counts.
    InvalidDigest,
    /// Version 2: there is a body, and no digest of it was signed.
    UnsignedBody,
    /// Version 2: the body is not the one whose digest was signed.
    WrongBody,
    /// The signature was seen before.
    Replayed,
}

impl ServiceReason {
    const ALL: [Self; 10] = [
        Self::InvalidTimestamp,
        Self::TimestampTooOld,
        Self::UnknownService,
        Self::BadServiceSignature,
        Self::UnsupportedSignature,
        Self::InvalidNonce,
        Self::InvalidDigest,
        Self::UnsignedBody,
        Self::WrongBody,
        Self::Replayed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::UnknownService => "unknown_service",
            Self::BadServiceSignature => "bad_service_signature",
            Self::UnsupportedSignature => "unsupported_signature",
            Self::InvalidNonce => "invalid_nonce",
            Self::InvalidDigest => "invalid_digest",
            Self::UnsignedBody => "unsigned_body",
            Self::WrongBody => "wrong_body",
            Self::Replayed => "replayed",
        }
    }
}

/// Why there is no client certificate that counts: the client cannot tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateReason {
    /// None came.
    Missing,
    /// One was presented, and nobody is known to have verified it.
    Unverified,
    /// It names nobody, or the header that forwards it cannot be read.
    Malformed,
    /// Its holder belongs to none of the trust domains.
    UntrustedDomain,
}

impl CertificateReason {
    const ALL: [Self; 4] = [Self::Missing, Self::Unverified, Self::Malformed, Self::UntrustedDomain];

    /// The published code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "no_certificate",
            Self::Unverified => "unverified_certificate",
            Self::Malformed => "malformed_certificate",
            Self::UntrustedDomain => "untrusted_domain",
        }
    }
}

impl AuthReason {
    /// How many reasons there are.
    pub const COUNT: usize =
        Reason::ALL.len() + ServiceReason::ALL.len() + CertificateReason::ALL.len() + LoginReason::ALL.len() + 1;

    /// Every reason, in the order of [`AuthReason::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        let tokens = Reason::ALL.iter().copied().map(Self::Token);
        let services = ServiceReason::ALL.into_iter().map(Self::Service);
        let certificates = CertificateReason::ALL.into_iter().map(Self::Certificate);
        let logins = LoginReason::ALL.into_iter().map(Self::Login);
        tokens.chain(services).chain(certificates).chain(logins).chain([Self::Upstream])
    }

    /// The place in [`AuthReason::all`].
    pub fn index(self) -> usize {
        match self {
            Self::Token(reason) => reason as usize,
            Self::Service(reason) => Reason::ALL.len() + reason as usize,
            Self::Certificate(reason) => Reason::ALL.len() + ServiceReason::ALL.len() + reason as usize,
            Self::Login(reason) => Self::COUNT - 1 - LoginReason::ALL.len() + reason as usize,
            Self::Upstream => Self::COUNT - 1,
        }
    }

    /// The published code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token(reason) => reason.as_str(),
            Self::Service(reason) => reason.as_str(),
            Self::Certificate(reason) => reason.as_str(),
            Self::Login(LoginReason::BadLogin) => "bad_login",
            Self::Login(LoginReason::InactiveAccount) => "inactive_account",
            Self::Upstream => "upstream_401",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Token(Reason::Missing) => "Authentication required",
            Self::Token(Reason::Expired) => "Token has expired",
            Self::Token(Reason::NoSubject) => "Invalid token payload",
            Self::Token(Reason::UnknownUser) => "User not found",
            Self::Token(Reason::Inactive) => "User account is inactive",
            Self::Token(Reason::Ambiguous) => "Ambiguous credentials",
            Self::Token(Reason::Unavailable) => "Credentials cannot be verified at the moment",
            Self::Token(_) => "Invalid token",
            Self::Service(ServiceReason::InvalidTimestamp) => "Invalid timestamp",
            Self::Service(ServiceReason::TimestampTooOld) => "Request timestamp too old",
            Self::Service(ServiceReason::UnsupportedSignature) => "Unsupported signature",
            Self::Service(ServiceReason::InvalidNonce) => "Invalid nonce",
            Self::Service(ServiceReason::InvalidDigest) => "Invalid content digest",
            Self::Service(ServiceReason::UnsignedBody) => "The body is not signed",
            Self::Service(ServiceReason::WrongBody) => "The body is not the one that was signed",
            Self::Service(ServiceReason::Replayed) => "Request was seen before",
            Self::Service(_) => "Invalid service credentials",
            Self::Certificate(_) => "Invalid client certificate",
            Self::Login(_) => "Invalid credentials",
            Self::Upstream => "Unauthorized",
        }
    }
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

/// Where an offending value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A segment of the path.
    Path,
    /// The query string.
    Query,
    /// A header other than `Cookie`.
    Header,
    /// A cookie.
    Cookie,
    /// The body.
    Body,
}

impl Place {
    /// The word that events and the configuration use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Body => "body",
        }
    }
}

/// An injection and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The rule, ours or the operator's.
    pub rule: Cow<'static, str>,
    /// The class of the rule; `custom` for the operator's patterns.
    pub class: &'static str,
    /// How sure the rule is: 1 to 10.
    pub score: u8,
    /// Where.
    pub place: Place,
    /// The parameter's name, bounded, lossily decoded. Never its value.
    pub parameter: String,
    /// A bounded part of the value, when the operator asked for one.
    pub excerpt: String,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRejection {
    /// 413.
    TooLarge,
    /// 400: not what its content type says.
    Malformed(&'static str),
    /// 415: compressed, so that it cannot be looked at.
    Encoded,
    /// 415: no JSON where the fields of JSON are looked at.
    NotJson,
    /// 413: nested too deep, too many entries or parts, or too long a string.
    TooComplex(&'static str),
}

/// Why a response cannot be let out: 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseRejection {
    /// Its body is longer than what can be held.
    TooLarge,
    /// It is compressed.
    Encoded,
    /// It is not what can be read.
    Malformed,
    /// The upstream switched to another protocol.
    Upgraded,
}

impl ResponseRejection {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "response_too_large",
            Self::Encoded => "response_encoded",
            Self::Malformed => "response_malformed",
            Self::Upgraded => "response_upgraded",
        }
    }
}

/// Why the endpoint of the blocks does not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal {
    /// 404: there is no such resource.
    NotFound,
    /// 404: the address is not blocked.
    NotBlocked,
    /// 405, with what is allowed.
    MethodNotAllowed(&'static str),
    /// 400: no address.
    NoAddress,
    /// 400: the query asks for no page.
    NoPage,
}

impl AdminRefusal {
    const fn status(self) -> u16 {
        match self {
            Self::NotFound | Self::NotBlocked => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::NoAddress | Self::NoPage => 400,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "There is no such resource",
            Self::NotBlocked => "The address is not blocked",
            Self::MethodNotAllowed(_) => "The method is not allowed here",
            Self::NoAddress => "Expected an IPv4 or IPv6 address",
            Self::NoPage => "Expected from=NUMBER and limit=NUMBER, at most 1000",
        }
    }
}

/// Why an endpoint of tokens does not do what it was asked to: a client's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// 400: no username and password.
    CredentialsRequired,
    /// 400: no refresh token.
    RefreshTokenRequired,
    /// 400: no token that says which login ends.
    TokenRequired,
    /// 405: it takes POST.
    MethodNotAllowed,
}

impl TokenRefusal {
    const fn status(self) -> u16 {
        match self {
            Self::CredentialsRequired | Self::RefreshTokenRequired | Self::TokenRequired => 400,
            Self::MethodNotAllowed => 405,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::CredentialsRequired => "Username and password required",
            Self::RefreshTokenRequired => "Refresh token required",
            Self::TokenRequired => "Token required",
            Self::MethodNotAllowed => "The method is not allowed here",
        }
    }
}

/// Why a request is not taken for one of our own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// The browser says that another site had it sent.
    Site,
    /// Its origin is another.
    Origin,
    /// Nothing says where it comes from.
    Unproven,
}

impl CrossSite {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Site => "cross_site",
            Self::Origin => "cross_origin",
            Self::Unproven => "no_origin",
        }
    }
}

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

/// A response header: name and value, most of them fixed.
pub type HeaderLine = (Cow<'static, str>, Cow<'static, str>);

/// What goes to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Headers beyond the content type.
    pub headers: Vec<HeaderLine>,
    /// The problem document.
    pub body: String,
    /// The matching gRPC status, for gRPC callers.
    pub grpc_status: u8,
    /// For `%RESPONSE_CODE_DETAILS%`: the reason code.
    pub details: &'static str,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
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
            Self::Forbidden { rule } => rule,
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

    /// The whole reply. `request_id` may be empty.
    pub fn reply(&self, request_id: &str) -> LocalReply {
        self.reply_with("", request_id)
    }

    /// The whole reply, whose document says what went wrong in a member `error` as well: what clients of a login read.
    pub fn reply_with_error(&self, request_id: &str) -> LocalReply {
        self.reply_with(self.detail(), request_id)
    }

    fn reply_with(&self, error: &str, request_id: &str) -> LocalReply {
        let status = self.status();
        let errors = if let Self::Invalid(violations) = self { &**violations } else { &[] };
        let problem = Problem { error, title: title(status), status, detail: self.detail(), request_id, errors };
        let mut headers = vec![fixed("content-type", "application/problem+json")];
        match self {
            Self::HttpsRequired { location } => headers.push(made("location", location.clone())),
            Self::Unauthenticated { reason, challenge } => {
                headers.push(made("www-authenticate", challenge_for(*reason, challenge)));
            }
            Self::UnverifiedCredentials { retry_after } | Self::RateLimited { retry_after, .. } => {
                headers.push(made("retry-after", retry_after.to_string()));
            }
            Self::Unavailable { .. } => headers.push(fixed("retry-after", UNAVAILABLE_SECONDS)),
            Self::TokenRequest(TokenRefusal::MethodNotAllowed) => headers.push(fixed("allow", "POST")),
            Self::Admin(refusal) => {
                headers.push(fixed("cache-control", "no-store"));
                if let AdminRefusal::MethodNotAllowed(allowed) = refusal {
                    headers.push(fixed("allow", allowed));
                }
            }
            _ => {}
        }
        let body = serde_json::to_string(&problem).unwrap_or_default();
        LocalReply { status, headers, body, grpc_status: grpc_status(status), details: self.reason() }
    }
}

/// When to come again after a 503: what failed is tried again every few seconds.
const UNAVAILABLE_SECONDS: &str = "5";

/// A header that is the same in every response.
pub const fn fixed(name: &'static str, value: &'static str) -> HeaderLine {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

/// A header whose value is made for this response.
pub const fn made(name: &'static str, value: String) -> HeaderLine {
    (Cow::Borrowed(name), Cow::Owned(value))
}

/// RFC 6750 section 3: no error code where no credentials came, `invalid_token` where they were refused.
fn challenge_for(reason: AuthReason, challenge: &str) -> String {
    match reason {
        AuthReason::Token(Reason::Missing | Reason::Unavailable) => challenge.to_owned(),
        AuthReason::Token(_) if challenge.starts_with("Bearer") => {
            format!("{challenge}, error=\"invalid_token\", error_description=\"{}\"", reason.detail())
        }
        _ => challenge.to_owned(),
    }
}

const fn title(status: u16) -> &'static str {
    match status {
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        _ => "Service Unavailable",
    }
}

/// The gRPC status for an HTTP status: Envoy's and gRPC's mapping, with 400 as INVALID_ARGUMENT and 413 and 429 as
/// RESOURCE_EXHAUSTED, which say more than INTERNAL and UNAVAILABLE do.
const fn grpc_status(http: u16) -> u8 {
    match http {
        400 | 415 | 422 => 3,
        401 => 16,
        403 => 7,
        404 | 405 => 12,
        413 | 429 => 8,
        308 | 502 | 503 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_in_the_order_of_their_types() {
        for (at, reason) in BlockReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        for (at, reason) in AuthReason::all().enumerate() {
            assert_eq!(reason.index(), at, "{reason:?}");
        }
        assert_eq!(AuthReason::all().count(), AuthReason::COUNT);
    }

    #[test]
    fn a_missing_token_is_challenged_without_an_error_code_and_a_bad_one_with() {
        let challenge: Rc<str> = Rc::from("Bearer realm=\"s\"");
        let reply = |reason| {
            let denial = Denial::Unauthenticated { reason: AuthReason::Token(reason), challenge: challenge.clone() };
            denial.reply("id-1").headers.into_iter().find(|(name, _)| name == "www-authenticate").unwrap().1
        };
        assert_eq!(reply(Reason::Missing), "Bearer realm=\"s\"");
        let expired = "Bearer realm=\"s\", error=\"invalid_token\", error_description=\"Token has expired\"";
        assert_eq!(reply(Reason::Expired), expired);
    }

    #[test]
    fn a_reply_is_a_problem_document_and_names_the_request() {
        let denial = Denial::RateLimited { limit: Rc::from("per_user"), retry_after: 7 };
        let reply = denial.reply("id-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["title"], "Too Many Requests");
        assert_eq!(body["status"], 429);
        assert_eq!(body["request_id"], "id-1");
        assert!(reply.headers.iter().any(|(name, value)| name == "retry-after" && value == "7"));
        assert_eq!(reply.grpc_status, 8);
    }

    #[test]
    fn service_failures_tell_a_client_the_same() {
        let detail = |reason| AuthReason::Service(reason).detail();
        assert_eq!(detail(ServiceReason::UnknownService), detail(ServiceReason::BadServiceSignature));
    }
}
