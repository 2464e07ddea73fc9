//! Why a token was refused: the closed list that events and metrics publish.

/// One reason for refusing a token; the names are a public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No token where one is required.
    Missing,
    /// Not a compact JWS, or a registered claim of the wrong shape, or a required one absent.
    Malformed,
    /// The algorithm is unknown, or not one that the provider and the key allow.
    UnsupportedAlgorithm,
    /// No provider for this `iss`.
    UnknownIssuer,
    /// No key of the provider has this `kid` or fits this algorithm.
    UnknownKey,
    /// The signature is not one of the provider's keys.
    BadSignature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// Valid for longer than the provider's `max_lifetime`.
    TooLongLived,
    /// `aud` names none of the provider's audiences.
    WrongAudience,
    /// The type claim is not the required one.
    WrongType,
    /// The subject claim is absent, empty or not a string or integer.
    NoSubject,
    /// Revoked by logout or by the feed.
    Revoked,
    /// The account is inactive.
    Inactive,
    /// The account does not exist.
    UnknownUser,
    /// Bound to another certificate, or to none.
    Unbound,
    /// Different tokens in two places of one request.
    Ambiguous,
    /// Keys or an account could not be obtained.
    Unavailable,
}

impl Reason {
    /// Every reason, in the published order.
    pub const ALL: [Self; 18] = [
        Self::Missing,
        Self::Malformed,
        Self::UnsupportedAlgorithm,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::TooLongLived,
        Self::WrongAudience,
        Self::WrongType,
        Self::NoSubject,
        Self::Revoked,
        Self::Inactive,
        Self::UnknownUser,
        Self::Unbound,
        Self::Ambiguous,
        Self::Unavailable,
    ];

    /// The published name, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::TooLongLived => "too_long_lived",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::NoSubject => "no_subject",
            Self::Revoked => "revoked",
            Self::Inactive => "inactive",
            Self::UnknownUser => "unknown_user",
            Self::Unbound => "unbound",
            Self::Ambiguous => "ambiguous",
            Self::Unavailable => "unavailable",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes_each_name_once_and_in_order() {
        let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(
            names.join(", "),
            "missing, malformed, unsupported_algorithm, unknown_issuer, unknown_key, bad_signature, expired, \
             not_yet_valid, too_long_lived, wrong_audience, wrong_type, no_subject, revoked, inactive, unknown_user, \
             unbound, ambiguous, unavailable"
        );
    }
}
