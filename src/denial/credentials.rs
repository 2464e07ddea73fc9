//! Why credentials were refused: the published closed list, and what a client may read of it.

use crate::jose::reason::Reason;

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

    pub(super) const fn as_str(self) -> &'static str {
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

    pub(super) const fn detail(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_in_the_order_of_their_types() {
        for (at, reason) in AuthReason::all().enumerate() {
            assert_eq!(reason.index(), at, "{reason:?}");
        }
        assert_eq!(AuthReason::all().count(), AuthReason::COUNT);
    }

    #[test]
    fn service_failures_tell_a_client_the_same() {
        let detail = |reason| AuthReason::Service(reason).detail();
        assert_eq!(detail(ServiceReason::UnknownService), detail(ServiceReason::BadServiceSignature));
    }
}
