//! SPIFFE IDs (SPIFFE-ID standard, sections 2.1 to 2.4) and the patterns that rules match them with.

use std::fmt;

/// The longest ID, in bytes (section 2.3).
pub const MAX_ID: usize = 2048;

/// The longest trust domain, in bytes (section 2.3, the host of RFC 3986).
pub const MAX_TRUST_DOMAIN: usize = 255;

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID in its one form: `spiffe://trust-domain/path`, lower-case up to the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: Box<str>,
    /// Where the trust domain ends.
    domain_end: usize,
}

/// Why a text is no SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpiffeError {
    /// More than [`MAX_ID`] bytes, or [`MAX_TRUST_DOMAIN`] in the trust domain.
    TooLong,
    /// It does not begin with `spiffe://`.
    Scheme,
    /// Empty, or something other than lower-case letters, digits, `.`, `-` and `_`: a port or a user, for example.
    TrustDomain,
    /// An empty segment or one of dots, or something other than letters, digits, `.`, `-` and `_`.
    Path,
}

impl SpiffeId {
    /// Reads an ID. Nothing is repaired: other spellings of an ID (upper case, escapes, a final slash) are none.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(text: &[u8]) -> Result<Self, SpiffeError> {
        if text.len() > MAX_ID {
            return Err(SpiffeError::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| SpiffeError::Path)?;
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        trust_domain(domain)?;
        if path.is_some_and(|path| !path.split('/').all(is_segment)) {
            return Err(SpiffeError::Path);
        }
        Ok(Self { text: Box::from(text), domain_end: SCHEME.len() + domain.len() })
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..self.domain_end).unwrap_or_default()
    }
}

/// Whether `text` is the name of a trust domain.
///
/// # Errors
/// [`SpiffeError::TooLong`] or [`SpiffeError::TrustDomain`].
pub fn trust_domain(text: &str) -> Result<(), SpiffeError> {
    if text.len() > MAX_TRUST_DOMAIN {
        return Err(SpiffeError::TooLong);
    }
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if text.is_empty() || !text.bytes().all(good) { Err(SpiffeError::TrustDomain) } else { Ok(()) }
}

/// Whether a URI has the scheme of SPIFFE IDs, in any spelling (RFC 3986 section 3.1).
pub fn is_meant(uri: &[u8]) -> bool {
    uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"spiffe:"))
}

fn is_segment(segment: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(good)
}

/// One ID, or all that begin in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This one.
    Exactly(SpiffeId),
    /// All that begin so; the trust domain is whole, or any.
    StartsWith(Box<str>),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// What stands before the `*`, or all of it, is no SPIFFE ID.
    Id(SpiffeError),
    /// The `*` stands within the trust domain: `spiffe://cluster.local*` is `spiffe://cluster.local.example.org` too.
    OpenTrustDomain,
}

impl Pattern {
    /// Reads `spiffe://domain/path`, `spiffe://domain/pa*`, `spiffe://domain/*` or `spiffe://*`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(start) = text.strip_suffix('*') else {
            return SpiffeId::parse(text.as_bytes()).map(Self::Exactly).map_err(PatternError::Id);
        };
        if start != SCHEME {
            // Whatever may follow: one more letter tells whether it can be the start of an ID.
            let longer = SpiffeId::parse(format!("{start}x").as_bytes()).map_err(PatternError::Id)?;
            if longer.domain_end >= start.len() {
                return Err(PatternError::OpenTrustDomain);
            }
        }
        Ok(Self::StartsWith(Box::from(start)))
    }

    /// Whether `id` is meant.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Exactly(one) => one == id,
            Self::StartsWith(start) => id.text.starts_with(&**start),
        }
    }
}

impl fmt::Display for SpiffeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => "expected at most 2048 bytes, 255 of them in the trust domain",
            Self::Scheme => "expected spiffe://...",
            Self::TrustDomain => "expected a trust domain of lower-case letters, digits, ., - and _",
            Self::Path => "expected segments of letters, digits, ., - and _, without a final slash",
        })
    }
}

impl std::error::Error for SpiffeError {}

impl fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(error) => error.fmt(formatter),
            Self::OpenTrustDomain => formatter.write_str("expected a whole trust domain before the *"),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SPIFFE-ID sections 2.1 to 2.3.
    #[test]
    fn reads_what_the_standard_allows_and_nothing_else() {
        for (text, domain) in [
            ("spiffe://cluster.local/ns/microservices/sa/order-service", "cluster.local"),
            ("spiffe://example.org", "example.org"),
            ("spiffe://a_b-c.1/X.y_z-9/...", "a_b-c.1"),
            ("spiffe://10.0.0.1/a", "10.0.0.1"),
        ] {
            let id = SpiffeId::parse(text.as_bytes()).unwrap();
            assert_eq!((id.as_str(), id.trust_domain()), (text, domain));
        }
        use SpiffeError::{Path, Scheme, TooLong, TrustDomain};
        let long = format!("spiffe://a/{}", "x".repeat(MAX_ID));
        let long_domain = format!("spiffe://{}/a", "x".repeat(256));
        for (text, error) in [
            ("", Scheme),
            ("https://a/b", Scheme),
            ("SPIFFE://a/b", Scheme),
            ("spiffe:/a/b", Scheme),
            (" spiffe://a/b", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///b", TrustDomain),
            ("spiffe://A/b", TrustDomain),
            ("spiffe://a:80/b", TrustDomain),
            ("spiffe://u@a/b", TrustDomain),
            ("spiffe://[::1]/b", TrustDomain),
            ("spiffe://a%2e/b", TrustDomain),
            ("spiffe://a?b", TrustDomain),
            ("spiffe://ä/b", TrustDomain),
            ("spiffe://a/", Path),
            ("spiffe://a//b", Path),
            ("spiffe://a/b/", Path),
            ("spiffe://a/./b", Path),
            ("spiffe://a/..", Path),
            ("spiffe://a/b%2fc", Path),
            ("spiffe://a/b?c", Path),
            ("spiffe://a/b#c", Path),
            ("spiffe://a/b c", Path),
            ("spiffe://a/b,spiffe://c", Path),
            ("spiffe://a/ü", Path),
            ("spiffe://a/b\0", Path),
            ("spiffe://a/*", Path),
            (&long, TooLong),
            (&long_domain, TooLong),
        ] {
            assert_eq!(SpiffeId::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(SpiffeId::parse(b"spiffe://a/\xff"), Err(Path));
        let longest = format!("spiffe://a/{}", "x".repeat(MAX_ID - 11));
        assert!(SpiffeId::parse(longest.as_bytes()).is_ok());
    }

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_pattern_is_one_id_or_a_beginning_within_a_whole_trust_domain() {
        for (pattern, meant, others) in [
            ("spiffe://a/b", &["spiffe://a/b"][..], &["spiffe://a/b/c", "spiffe://a", "spiffe://a/bc"][..]),
            ("spiffe://a/b*", &["spiffe://a/b", "spiffe://a/bc", "spiffe://a/b/c"], &["spiffe://a/c", "spiffe://b/b"]),
            ("spiffe://a/b/*", &["spiffe://a/b/c", "spiffe://a/b/c/d"], &["spiffe://a/b", "spiffe://a/bc"]),
            ("spiffe://a/*", &["spiffe://a/b"], &["spiffe://a", "spiffe://a.b/c"]),
            ("spiffe://a/.*", &["spiffe://a/.b"], &["spiffe://a/b"]),
            ("spiffe://*", &["spiffe://a", "spiffe://b/c"], &[]),
            ("spiffe://a", &["spiffe://a"], &["spiffe://a/b"]),
        ] {
            let compiled = Pattern::parse(pattern).unwrap();
            assert!(meant.iter().all(|text| compiled.matches(&id(text))), "{pattern}");
            assert!(!others.iter().any(|text| compiled.matches(&id(text))), "{pattern}");
        }
        for open in ["spiffe://a*", "spiffe://cluster.local*"] {
            assert_eq!(Pattern::parse(open), Err(PatternError::OpenTrustDomain), "{open}");
        }
        for bad in ["spiffe://A/*", "spiffe://a//*", "spiffe://a/b c*", "spiffe://a/", "spiffe://a/*/b", "spiffe:/*"] {
            assert!(matches!(Pattern::parse(bad), Err(PatternError::Id(_))), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The standard's rules, written as a regular expression would be.
        #[test]
        fn reads_what_a_naive_reader_reads(text in "(spiffe|SPIFFE|x)://[a-b.A:]{0,3}(/[a-bA.%*]{0,3}){0,3}") {
            let naive = || {
                let rest = text.strip_prefix("spiffe://")?;
                let mut parts = rest.split('/');
                let domain = parts.next()?;
                let segments: Vec<_> = parts.collect();
                let good_domain = !domain.is_empty() && domain.chars().all(|c| "ab.".contains(c));
                let good = |s: &&str| !["", ".", ".."].contains(s) && s.chars().all(|c| "abA.".contains(c));
                (good_domain && segments.iter().all(good)).then_some(domain)
            };
            let parsed = SpiffeId::parse(text.as_bytes()).ok();
            prop_assert_eq!(parsed.as_ref().map(SpiffeId::trust_domain), naive());
        }
    }
}
