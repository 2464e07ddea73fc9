//! The canonical host of a request: `:authority` or `Host` (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::{borrow::Cow, fmt, net::Ipv6Addr};

use crate::head::{Ambiguous, Head};

/// A host without port: lower-case, without the root's trailing dot; IPv6 in brackets and shortest form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalHost<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
    as_sent: bool,
}

/// Why a host is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Neither `:authority` nor `Host`, or an empty one.
    Missing,
    /// More than one `:authority` or `Host`.
    Repeated,
    /// `:authority` and `Host` name different hosts or ports.
    Contradiction,
    /// `user@host`.
    UserInfo,
    /// A character that no host name holds: space, control, `%`, not ASCII, ...
    Character,
    /// Two dots together, or one in front.
    EmptyLabel,
    /// A label over 63 bytes or a name over 255.
    TooLong,
    /// Brackets around what is no IPv6 address, a zone in it, or an IPv6 address without brackets.
    Ipv6,
    /// What follows the colon is no port number.
    Port,
}

const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;

impl<'a> CanonicalHost<'a> {
    /// The host that a request names. Where both `:authority` and `Host` arrive they must agree.
    ///
    /// # Errors
    /// [`HostError`], each answered with 400.
    pub fn of(head: &'a Head) -> Result<Self, HostError> {
        let single = |name: &'static str| head.single(name).map_err(|Ambiguous| HostError::Repeated);
        match (single(":authority")?, single("host")?) {
            (Some(authority), None) => Self::parse(authority),
            (None, Some(host)) => Self::parse(host),
            (None, None) => Err(HostError::Missing),
            (Some(authority), Some(host)) => {
                let (canonical, other) = (Self::parse(authority)?, Self::parse(host)?);
                if (&canonical.name, canonical.port) != (&other.name, other.port) {
                    return Err(HostError::Contradiction);
                }
                Ok(Self { as_sent: canonical.as_sent && other.as_sent, ..canonical })
            }
        }
    }

    /// The canonical form of one authority, `host` or `host:port`. Borrows when only the port has to go.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(authority: &'a [u8]) -> Result<Self, HostError> {
        // A port adds six bytes, the root one.
        if authority.len() > MAX_NAME + 7 {
            return Err(HostError::TooLong);
        }
        let authority = std::str::from_utf8(authority).map_err(|_| HostError::Character)?;
        if authority.contains('@') {
            return Err(HostError::UserInfo);
        }
        if authority.starts_with('[') {
            return Self::ipv6(authority);
        }
        let (name, port) = match authority.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return Err(HostError::Ipv6),
            Some((name, digits)) => (name, Some(Port::parse(digits)?)),
            None => (authority, None),
        };
        let plain = name.strip_suffix('.').unwrap_or(name);
        check_name(plain)?;
        let as_sent = plain.len() == name.len() && port.as_ref().is_none_or(|port| port.as_sent);
        let (name, as_sent) = match plain.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => (Cow::Owned(plain.to_ascii_lowercase()), false),
            false => (Cow::Borrowed(plain), as_sent),
        };
        Ok(Self { name, port: port.map(|port| port.number), as_sent })
    }

    /// The host, as rules compare it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if the request named one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether the request spells it this way, the port included.
    pub fn is_as_sent(&self) -> bool {
        self.as_sent
    }

    /// The host with its port, if the request named one.
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.name().to_owned(), |port| format!("{}:{port}", self.name))
    }

    fn ipv6(authority: &'a str) -> Result<Self, HostError> {
        let literal = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (address, rest) = literal.ok_or(HostError::Ipv6)?;
        let address: Ipv6Addr = address.parse().map_err(|_| HostError::Ipv6)?;
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(Port::parse(digits)?),
            None if rest.is_empty() => None,
            None => return Err(HostError::Port),
        };
        let name = format!("[{address}]");
        let as_sent = authority.starts_with(&name) && port.as_ref().is_none_or(|port| port.as_sent);
        Ok(Self { name: Cow::Owned(name), port: port.map(|port| port.number), as_sent })
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "the host is missing",
            Self::Repeated => "the host is repeated",
            Self::Contradiction => "the request names two hosts",
            Self::UserInfo => "the host has user information",
            Self::Character => "the host has an invalid character",
            Self::EmptyLabel => "the host has an empty label",
            Self::TooLong => "the host is too long",
            Self::Ipv6 => "the host is an invalid IPv6 address",
            Self::Port => "the host has an invalid port",
        })
    }
}

impl std::error::Error for HostError {}

struct Port {
    number: u16,
    as_sent: bool,
}

impl Port {
    /// At most five digits, as `65535` has.
    fn parse(digits: &str) -> Result<Self, HostError> {
        let plain = !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok()).flatten().ok_or(HostError::Port)?;
        Ok(Self { number, as_sent: digits == "0" || !digits.starts_with('0') })
    }
}

/// Letters, digits, `-` and, since internal names have it, `_`.
fn check_name(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Missing);
    }
    if name.len() > MAX_NAME {
        return Err(HostError::TooLong);
    }
    let mut label = 0;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return Err(HostError::EmptyLabel),
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            _ => return Err(HostError::Character),
        }
        if label > MAX_LABEL {
            return Err(HostError::TooLong);
        }
    }
    if label == 0 { Err(HostError::EmptyLabel) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(authority: &str) -> Result<(String, Option<u16>), HostError> {
        CanonicalHost::parse(authority.as_bytes()).map(|host| (host.name().to_owned(), host.port()))
    }

    #[test]
    fn brings_equivalent_spellings_to_one_form() {
        for (sent, name, port) in [
            ("example.com", "example.com", None),
            ("EXAMPLE.com.", "example.com", None),
            ("Example.Com.:8443", "example.com", Some(8443)),
            ("my_service-1:80", "my_service-1", Some(80)),
            ("127.0.0.1:0", "127.0.0.1", Some(0)),
            ("[2001:DB8:0:0::1]:443", "[2001:db8::1]", Some(443)),
            ("[::1]", "[::1]", None),
        ] {
            assert_eq!(parse(sent), Ok((name.to_owned(), port)), "{sent}");
        }
        assert!(matches!(CanonicalHost::parse(b"a.b:80").unwrap().name, Cow::Borrowed("a.b")));
    }

    #[test]
    fn knows_whether_it_was_sent_in_its_one_form() {
        for (sent, form) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com:8443"),
            ("a:0", "a:0"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("Example.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:8443", "example.com:8443"),
            ("a:0080", "a:80"),
            ("a:00", "a:0"),
            ("[0::1]", "[::1]"),
            ("[::1]:081", "[::1]:81"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            let host = CanonicalHost::parse(sent.as_bytes()).unwrap();
            assert_eq!((&*host.authority(), host.is_as_sent()), (form, sent == form), "{sent}");
        }
        let both = |authority: &str, host: &str| {
            let head = Head::from_pairs([(":authority", authority), ("host", host)]);
            CanonicalHost::of(&head).map(|host| host.is_as_sent())
        };
        assert_eq!([both("a", "a"), both("a", "a."), both("A", "a")], [Ok(true), Ok(false), Ok(false)]);
    }

    #[test]
    fn refuses_hosts_that_servers_read_differently() {
        use HostError::*;
        for (sent, expected) in [
            ("", Missing),
            (".", Missing),
            (":80", Missing),
            ("user@example.com", UserInfo),
            ("good.com@evil.com:80", UserInfo),
            ("a b", Character),
            ("a\tb", Character),
            ("a\0b", Character),
            ("a/b", Character),
            ("a,b", Character),
            ("a%2eb", Character),
            ("münchen.de", Character),
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("a..", EmptyLabel),
            ("::1", Ipv6),
            ("a:1:2", Ipv6),
            ("[::1", Ipv6),
            ("[fe80::1%25eth0]", Ipv6),
            ("[v1.x]", Ipv6),
            ("[]", Ipv6),
            ("[::1]x", Port),
            ("[::1]:", Port),
            ("a:", Port),
            ("a:+80", Port),
            ("a:65536", Port),
            ("a:000080", Port),
        ] {
            assert_eq!(parse(sent), Err(expected), "{sent}");
        }
        assert_eq!(CanonicalHost::parse(b"\xff"), Err(Character));
        let long = |labels: usize| vec!["a".repeat(50); labels].join(".");
        assert!(parse(&long(5)).is_ok());
        assert_eq!(parse(&long(6)), Err(TooLong));
        assert!(parse(&"a".repeat(63)).is_ok());
        assert_eq!(parse(&"a".repeat(64)), Err(TooLong));
        assert_eq!(parse(&"a.".repeat(128)).map(|host| host.0.len()), Ok(255));
        assert_eq!(parse(&("a.".repeat(128) + ":65535")).map(|host| host.1), Ok(Some(65535)));
        assert_eq!(parse(&format!("{}a", "a.".repeat(128))), Err(TooLong));
    }

    #[test]
    fn host_and_authority_must_agree() {
        let of = |pairs: &[(&str, &str)]| {
            CanonicalHost::of(&Head::from_pairs(pairs.iter().copied())).map(|host| host.name().to_owned())
        };
        assert_eq!(of(&[(":authority", "A.b"), ("host", "a.B.")]).as_deref(), Ok("a.b"));
        assert_eq!(of(&[("host", "a")]).as_deref(), Ok("a"));
        assert_eq!(of(&[(":authority", "a"), ("host", "b")]), Err(HostError::Contradiction));
        assert_eq!(of(&[(":authority", "a"), ("host", "a:81")]), Err(HostError::Contradiction));
        assert_eq!(of(&[("host", "a"), ("host", "a")]), Err(HostError::Repeated));
        assert_eq!(of(&[]), Err(HostError::Missing));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn is_idempotent(sent in "[a-cA-C0-9.:@_\\[\\]%é -]{0,12}") {
            if let Ok(host) = CanonicalHost::parse(sent.as_bytes()) {
                let again = CanonicalHost::parse(host.name().as_bytes()).unwrap();
                prop_assert_eq!(again.name(), host.name());
            }
        }
    }
}
