//! What a provider demands of a token's claims (RFC 7519 section 4.1, RFC 8725 section 3). Pure: the clock is an argument.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::claims::{ClaimPath, Claims, NumericDate};
use super::reason::Reason;
use crate::time::Timestamp;

/// The clock skew where none is configured.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A provider's demands.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `iss` must be this. Without it, `iss` is not looked at.
    pub issuer: Option<Box<str>>,
    /// `aud` must name one of these. When empty, `aud` is not looked at.
    pub audiences: Vec<Box<str>>,
    /// Whether `exp` must be present.
    pub require_expiration: bool,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// The longest time from `iat` (from now, where it is absent) to `exp`; a token without `exp` exceeds it.
    pub max_lifetime: Option<Duration>,
    /// A claim and the value it must have.
    pub token_type: Option<(ClaimPath, Box<str>)>,
    /// The claim that names the caller.
    pub subject: ClaimPath,
    /// A claim that must be `true` where present.
    pub active: Option<ClaimPath>,
}

/// When a token may be used, clock skew included. Checked on every use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from: Timestamp,
    until: Option<Timestamp>,
}

/// What the rules found out about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The caller's name with this provider.
    pub subject: Box<str>,
    /// When the token may be used.
    pub validity: Validity,
}

impl Rules {
    /// Judges the claims of a verified token: issuer, time, type, lifetime, audience, activity, subject, in this
    /// order.
    ///
    /// # Errors
    /// The [`Reason`] of the first rule broken. A required `exp` that is absent is [`Reason::Malformed`].
    pub fn validate(&self, claims: &Claims, now: Timestamp) -> Result<Accepted, Reason> {
        if self.issuer.is_some() && self.issuer.as_deref() != claims.issuer() {
            return Err(Reason::UnknownIssuer);
        }
        let validity = self.validity(claims)?;
        validity.check(now)?;
        // What follows is demanded of tokens of this type: a refresh token lives longer and may have no audience.
        if self.token_type.as_ref().is_some_and(|(path, value)| claims.text(path).as_deref() != Some(value)) {
            return Err(Reason::WrongType);
        }
        self.check_lifetime(claims, now)?;
        if !self.audiences.is_empty() && !claims.audiences().any(|audience| self.expects(audience)) {
            return Err(Reason::WrongAudience);
        }
        let activity = self.active.as_ref().and_then(|path| claims.value(path));
        if activity.is_some_and(|value| value.as_bool() != Some(true)) {
            return Err(Reason::Inactive);
        }
        let subject = claims.text(&self.subject).filter(|text| !text.is_empty()).ok_or(Reason::NoSubject)?;
        Ok(Accepted { subject: subject.into(), validity })
    }

    fn validity(&self, claims: &Claims) -> Result<Validity, Reason> {
        if self.require_expiration && claims.expires().is_none() {
            return Err(Reason::Malformed);
        }
        // A token issued in the future was made by a clock or a hand that is wrong.
        let from = claims.not_before().max(claims.issued_at()).unwrap_or_default();
        Ok(Validity {
            from: moment(from).before(self.clock_skew),
            until: claims.expires().map(|expires| moment(expires).after(self.clock_skew)),
        })
    }

    fn check_lifetime(&self, claims: &Claims, now: Timestamp) -> Result<(), Reason> {
        let Some(longest) = self.max_lifetime else { return Ok(()) };
        let expires = claims.expires().ok_or(Reason::TooLongLived)?;
        let (start, longest) = match claims.issued_at() {
            Some(issued_at) => (issued_at, longest),
            // Our clock against the issuer's.
            None => (Duration::from_nanos(now.unix_nanos()), longest.saturating_add(self.clock_skew)),
        };
        if expires.saturating_sub(start) > longest {
            return Err(Reason::TooLongLived);
        }
        Ok(())
    }

    fn expects(&self, audience: &str) -> bool {
        self.audiences.iter().any(|expected| **expected == *audience)
    }
}

impl Validity {
    /// Whether the token may be used now.
    ///
    /// # Errors
    /// [`Reason::Expired`] from `exp` on, [`Reason::NotYetValid`] before `nbf` or `iat`, skew granted.
    pub fn check(self, now: Timestamp) -> Result<(), Reason> {
        if self.until.is_some_and(|until| now >= until) {
            return Err(Reason::Expired);
        }
        if now < self.from {
            return Err(Reason::NotYetValid);
        }
        Ok(())
    }

    /// The moment from which the token is expired; `None` for never.
    pub const fn until(self) -> Option<Timestamp> {
        self.until
    }
}

/// Whether a token is bound to the peer's certificate (RFC 8705 section 3), given by its SHA-256. A token without a
/// binding passes unless `required`.
///
/// # Errors
/// [`Reason::Unbound`].
pub fn check_binding(claims: &Claims, peer: Option<&[u8; 32]>, required: bool) -> Result<(), Reason> {
    match claims.certificate_digest() {
        Ok(None) if !required => Ok(()),
        Ok(Some(digest)) if peer.is_some_and(|peer| bool::from(peer.ct_eq(&digest))) => Ok(()),
        _ => Err(Reason::Unbound),
    }
}

/// Dates beyond what a timestamp holds (the year 2554) are its end.
fn moment(date: NumericDate) -> Timestamp {
    Timestamp::default().after(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            issuer: Some("https://auth.example.com".into()),
            audiences: vec!["api".into(), "other".into()],
            require_expiration: true,
            clock_skew: DEFAULT_CLOCK_SKEW,
            max_lifetime: Some(Duration::from_secs(3600)),
            token_type: Some((ClaimPath::new("type"), "access".into())),
            subject: ClaimPath::new("user_id"),
            active: Some(ClaimPath::new("is_active")),
        }
    }

    /// Valid claims with some replaced, or removed when `null`.
    fn claims(changes: &str) -> Claims {
        let mut members = serde_json::json!({
            "iss": "https://auth.example.com", "aud": "api", "iat": NOW, "exp": NOW + 900, "type": "access", "user_id": 7
        });
        for (name, value) in serde_json::from_str::<serde_json::Map<_, _>>(changes).unwrap() {
            if value.is_null() {
                members.as_object_mut().unwrap().remove(&name)
            } else {
                members.as_object_mut().unwrap().insert(name, value)
            };
        }
        Claims::parse(members.to_string().as_bytes()).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn judges_each_claim_by_the_rule_for_it() {
        let cases = [
            ("{}", Ok("7")),
            (r#"{"user_id":"u-1"}"#, Ok("u-1")),
            (r#"{"aud":["x","other"]}"#, Ok("7")),
            (r#"{"is_active":true}"#, Ok("7")),
            (r#"{"iss":"https://auth.example.com/"}"#, Err(Reason::UnknownIssuer)),
            (r#"{"iss":null}"#, Err(Reason::UnknownIssuer)),
            (r#"{"exp":null}"#, Err(Reason::Malformed)),
            (r#"{"aud":null}"#, Err(Reason::WrongAudience)),
            (r#"{"aud":[]}"#, Err(Reason::WrongAudience)),
            (r#"{"aud":"API"}"#, Err(Reason::WrongAudience)),
            (r#"{"aud":"api "}"#, Err(Reason::WrongAudience)),
            (r#"{"type":"refresh"}"#, Err(Reason::WrongType)),
            (r#"{"type":null}"#, Err(Reason::WrongType)),
            (r#"{"type":["access"]}"#, Err(Reason::WrongType)),
            (r#"{"is_active":false}"#, Err(Reason::Inactive)),
            (r#"{"is_active":"true"}"#, Err(Reason::Inactive)),
            (r#"{"user_id":null}"#, Err(Reason::NoSubject)),
            (r#"{"user_id":""}"#, Err(Reason::NoSubject)),
            (r#"{"user_id":{"a":1}}"#, Err(Reason::NoSubject)),
        ];
        for (changes, expected) in cases {
            let verdict = rules().validate(&claims(changes), at(NOW));
            assert_eq!(verdict.as_ref().map(|accepted| &*accepted.subject), expected.as_ref().map(|s| *s), "{changes}");
        }
    }

    #[test]
    fn grants_the_clock_skew_to_the_second_at_both_ends() {
        let token = claims(&format!(r#"{{"nbf":{},"exp":{}}}"#, NOW + 10, NOW + 900));
        let cases = [
            (NOW - 51, Err(Reason::NotYetValid)),
            (NOW - 50, Ok(())),
            (NOW + 959, Ok(())),
            (NOW + 960, Err(Reason::Expired)),
        ];
        for (now, expected) in cases {
            assert_eq!(rules().validate(&token, at(now)).map(|_| ()), expected, "{now}");
            assert_eq!(rules().validity(&token).unwrap().check(at(now)), expected, "{now}");
        }
    }

    #[test]
    fn refuses_a_token_from_the_future() {
        let from = |iat: u64| rules().validate(&claims(&format!(r#"{{"iat":{iat}}}"#)), at(NOW)).map(|_| ());
        assert_eq!(from(NOW + 60), Ok(()));
        assert_eq!(from(NOW + 61), Err(Reason::NotYetValid));
    }

    #[test]
    fn bounds_the_lifetime_from_issue_or_from_now() {
        let cases = [
            (format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 3600), Ok(())),
            (format!(r#"{{"iat":{NOW},"exp":{}.5}}"#, NOW + 3600), Err(Reason::TooLongLived)),
            (format!(r#"{{"iat":{},"exp":{}}}"#, NOW - 3000, NOW + 900), Err(Reason::TooLongLived)),
            (format!(r#"{{"iat":null,"exp":{}}}"#, NOW + 3660), Ok(())),
            (format!(r#"{{"iat":null,"exp":{}}}"#, NOW + 3661), Err(Reason::TooLongLived)),
            (r#"{"exp":253402300799}"#.to_owned(), Err(Reason::TooLongLived)),
        ];
        for (changes, expected) in cases {
            assert_eq!(rules().validate(&claims(&changes), at(NOW)).map(|_| ()), expected, "{changes}");
        }
    }

    #[test]
    fn tells_a_refresh_token_by_its_type_and_not_by_what_else_it_lacks() {
        let refresh = claims(&format!(r#"{{"type":"refresh","aud":null,"exp":{}}}"#, NOW + 604_800));
        assert_eq!(rules().validate(&refresh, at(NOW)), Err(Reason::WrongType));
    }

    #[test]
    fn takes_a_token_without_expiry_only_where_neither_expiry_nor_lifetime_is_demanded() {
        let token = claims(r#"{"exp":null}"#);
        let lifetime = Rules { require_expiration: false, ..rules() };
        assert_eq!(lifetime.validate(&token, at(NOW)), Err(Reason::TooLongLived));
        let neither = Rules { max_lifetime: None, ..lifetime };
        assert_eq!(neither.validate(&token, at(NOW)).unwrap().validity.until(), None);
    }

    #[test]
    fn accepts_a_token_with_neither_issuer_nor_audience_where_none_is_demanded() {
        let plain = Rules { issuer: None, audiences: Vec::new(), token_type: None, ..rules() };
        assert!(plain.validate(&claims(r#"{"iss":null,"aud":null,"type":null}"#), at(NOW)).is_ok());
    }

    #[test]
    fn never_expires_dates_that_lie_beyond_the_clock() {
        let rules = Rules { max_lifetime: None, ..rules() };
        let accepted = rules.validate(&claims(r#"{"exp":253402300799}"#), at(NOW)).unwrap();
        assert_eq!(accepted.validity.check(at(NOW * 2)), Ok(()));
    }

    #[test]
    fn holds_a_bound_token_to_its_certificate() {
        let digest = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
        let bound = claims(&format!(r#"{{"cnf":{{"x5t#S256":"{digest}"}}}}"#));
        assert_eq!(check_binding(&bound, Some(&[9; 32]), false), Ok(()));
        assert_eq!(check_binding(&bound, Some(&[8; 32]), false), Err(Reason::Unbound));
        assert_eq!(check_binding(&bound, None, false), Err(Reason::Unbound));
        assert_eq!(check_binding(&claims("{}"), Some(&[9; 32]), false), Ok(()));
        assert_eq!(check_binding(&claims("{}"), Some(&[9; 32]), true), Err(Reason::Unbound));
        assert_eq!(check_binding(&claims(r#"{"cnf":[]}"#), Some(&[9; 32]), false), Err(Reason::Unbound));
    }
}
