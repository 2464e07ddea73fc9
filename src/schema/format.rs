//! The formats that `format` asserts, each by the grammar of its standard.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 5321 `Mailbox`.
    Email,
    /// RFC 3986 `URI`.
    Uri,
    /// RFC 4122, as text.
    Uuid,
    /// RFC 3339 `date-time`.
    DateTime,
    /// RFC 3339 `full-date`.
    Date,
    /// RFC 3339 `full-time`.
    Time,
    /// Dotted quad.
    Ipv4,
    /// RFC 4291, without a zone.
    Ipv6,
    /// RFC 1123.
    Hostname,
    /// ASCII letters, digits, `_` and `-`, 1 to 150 of them.
    Username,
    /// At least one upper-case letter, lower-case letter, digit and one of `@$!%*?&`.
    Password,
}

impl Format {
    /// Every format, by its name.
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("email", Self::Email),
        ("uri", Self::Uri),
        ("uuid", Self::Uuid),
        ("date-time", Self::DateTime),
        ("date", Self::Date),
        ("time", Self::Time),
        ("ipv4", Self::Ipv4),
        ("ipv6", Self::Ipv6),
        ("hostname", Self::Hostname),
        ("username", Self::Username),
        ("password", Self::Password),
    ];

    /// The format of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Whether `text` has it.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Email => is_mailbox(text),
            Self::Uri => is_uri(text),
            Self::Uuid => is_uuid(text),
            Self::DateTime => is_date_time(text),
            Self::Date => is_date(text.as_bytes()),
            Self::Time => is_time(text.as_bytes()),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Hostname => is_hostname(text),
            Self::Username => is_username(text),
            Self::Password => is_strong(text),
        }
    }
}

const MOST_OF_A_USERNAME: usize = 150;

fn is_username(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MOST_OF_A_USERNAME).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_strong(text: &str) -> bool {
    let has = |wanted: fn(u8) -> bool| text.bytes().any(wanted);
    has(|byte| byte.is_ascii_uppercase())
        && has(|byte| byte.is_ascii_lowercase())
        && has(|byte| byte.is_ascii_digit())
        && has(|byte| matches!(byte, b'@' | b'$' | b'!' | b'%' | b'*' | b'?' | b'&'))
}

fn is_uuid(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_hexdigit();
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { hex(byte) })
}

/// Labels of letters, digits and inner hyphens, at most 63 long, at most 253 together. Hyphens at the third and fourth
/// place belong to A-labels alone (RFC 5891 section 4.2.3.1).
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let reserved = bytes.get(2..4) == Some(b"--");
        let encoded = bytes.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xn--")) && bytes.len() > 4;
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(inner)
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
            && (!reserved || encoded)
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// RFC 5321 section 4.1.2: a local part of atoms or a quoted string, and a domain or an address literal.
fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    (1..=64).contains(&local.len()) && text.len() <= 254 && is_local_part(local) && is_domain(domain)
}

fn is_local_part(local: &str) -> bool {
    if let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let mut escaped = false;
        let inside = quoted.bytes().all(|byte| {
            let after_backslash = std::mem::take(&mut escaped);
            escaped = byte == b'\\' && !after_backslash;
            matches!(byte, b' '..=b'~') && (after_backslash || byte != b'"')
        });
        return inside && !escaped;
    }
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
}

fn is_domain(domain: &str) -> bool {
    match domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => match literal.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        },
        None => is_hostname(domain),
    }
}

/// RFC 3339 section 5.6, and its limits of days and leap seconds.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.get(..10), bytes.get(10), bytes.get(11..)) {
        (Some(date), Some(b'T' | b't'), Some(time)) => is_date(date) && is_time(time),
        _ => false,
    }
}

fn is_date(date: &[u8]) -> bool {
    let &[a, b, c, d, b'-', e, f, b'-', g, h] = date else { return false };
    let (Some(year), Some(month), Some(day)) = (number(&[a, b, c, d]), number(&[e, f]), number(&[g, h])) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_time(time: &[u8]) -> bool {
    let Some((&[a, b, b':', c, d, b':', e, f], rest)) = time.split_first_chunk::<8>() else { return false };
    let (Some(hour), Some(minute), Some(second)) = (number(&[a, b]), number(&[c, d]), number(&[e, f])) else {
        return false;
    };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        None => rest,
    };
    let Some(offset) = minutes_of_offset(rest) else { return false };
    let in_day = |minutes: i32| minutes.rem_euclid(24 * 60);
    let local = i32::try_from(hour * 60 + minute).unwrap_or_default();
    // A leap second is the last of a day in UTC.
    hour <= 23 && minute <= 59 && (second <= 59 || second == 60 && in_day(local - offset) == 23 * 60 + 59)
}

fn minutes_of_offset(offset: &[u8]) -> Option<i32> {
    match offset {
        b"Z" | b"z" => Some(0),
        &[sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let (hours, minutes) = (number(&[a, b])?, number(&[c, d])?);
            let total = i32::try_from(hours * 60 + minutes).ok().filter(|_| hours <= 23 && minutes <= 59)?;
            Some(if sign == b'-' { -total } else { total })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0')))
}

/// RFC 3986 section 3: scheme, and each part of its own characters.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !named || !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return false;
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => match rest.find('/') {
            Some(at) => rest.split_at_checked(at).unwrap_or_default(),
            None => (rest, ""),
        },
        None => ("", hierarchy),
    };
    is_authority(authority)
        && consists_of(path, b":@/")
        && consists_of(query, b":@/?")
        && consists_of(fragment, b":@/?")
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (name, port) = match host.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, port)) if is_address(address) => ("", port),
            _ => return false,
        },
        None => match host.find(':') {
            Some(at) => host.split_at_checked(at).unwrap_or_default(),
            None => (host, ""),
        },
    };
    let port = port.strip_prefix(':').unwrap_or(if port.is_empty() { "" } else { "x" });
    consists_of(user, b":") && consists_of(name, b"") && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Between brackets: an IPv6 address, or `v`, a version, a dot and whatever that version says.
fn is_address(literal: &str) -> bool {
    let future = literal.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'));
    future.is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && !address.contains('%')
            && consists_of(address, b":")
    }) || literal.parse::<Ipv6Addr>().is_ok()
}

/// Unreserved characters, sub-delimiters, percent-encoded bytes and `also`.
fn consists_of(part: &str, also: &[u8]) -> bool {
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => {
                bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || also.contains(&byte),
        };
        if !allowed {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_takes_its_own_and_nothing_else() {
        let long = "a".repeat(150);
        let longer = "a".repeat(151);
        let cases: &[(Format, &[&str], &[&str])] = &[
            (Format::Username, &["a", "J_o-3", &long], &["", "a b", "jö", "a.b", "a\n", &longer]),
            (
                Format::Password,
                &["Passw0rd!", "aA1@", "ü Aa1?"],
                &["", "password1!", "PASSWORD1!", "Password!", "Password1", "Passwörd1#"],
            ),
            (
                Format::Email,
                &[
                    "joe@example.com",
                    "te~st@example.com",
                    "\"joe \\\" b\"@example.com",
                    "a@[127.0.0.1]",
                    "a@[IPv6:::1]",
                ],
                &[
                    "2962",
                    "@",
                    "@example.com",
                    "joe@",
                    "joe bloggs@example.com",
                    ".test@example.com",
                    "te..st@example.com",
                    "joe@exa mple.com",
                    "joe@example.com\r\nBcc: x@y",
                    "joe@invalid=domain.com",
                    "a@[127.0.0.300]",
                    "\"joe\"x\"@example.com",
                    "\"joe\\\"@example.com",
                ],
            ),
            (
                Format::Uuid,
                &["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"],
                &["", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08aa98-11ea-b4aa73b441d16380----", "{}"],
            ),
            (
                Format::DateTime,
                &["1963-06-19T08:30:06.283185Z", "1998-12-31T15:59:60.123-08:00", "2020-02-29t00:00:00z"],
                &[
                    "1998-12-31T23:59:61Z",
                    "1998-12-31T23:58:60Z",
                    "1990-02-31T15:59:59.123-08:00",
                    "1990-12-31T15:59:59-24:00",
                    "2021-02-29T00:00:00Z",
                    "1963-06-19 08:30:06Z",
                    "1963-06-19T08:30:06",
                    "1963-06-19T08:30:06.Z",
                    "1963-06-1৪T00:00:00Z",
                ],
            ),
            (
                Format::Ipv4,
                &["192.168.0.1"],
                &["127.0.0.0.1", "256.1.1.1", "127.0", "0x7f000001", "087.10.0.1", "1.2.3.4/24"],
            ),
            (
                Format::Ipv6,
                &["::1", "::ffff:192.168.0.1", "1:2:3:4:5:6:7:8"],
                &["12345::", "1::2::3", "fe80::a%eth1", ":2:3:4"],
            ),
            (
                Format::Hostname,
                &["www.example.com", "a", "xn--4gbwdl.xn--wgbh1c", "a-1.b"],
                &["", "-a", "a-", "a..b", "a_b", "a.", "XN--", "ab--c", "ⅵ.com", &format!("{}.com", "a".repeat(64))],
            ),
            (
                Format::Uri,
                &[
                    "http://foo.bar/?baz=qux#quux",
                    "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com",
                    "ldap://[2001:db8::7]/c=GB?objectClass?one",
                    "mailto:John.Doe@example.com",
                    "urn:oasis:names",
                    "http://[v1.a:b]/",
                ],
                &[
                    "//foo.bar/?baz=qux",
                    "/abc",
                    "abc",
                    "http:// shouldfail.com",
                    ":// should fail",
                    "bar,baz:foo",
                    "https://[@example.org/test.txt",
                    "https://example.org/foobar\\.txt",
                    "https://example.org/%zz",
                    "http://a:b:c/",
                    "http://[::1]x/",
                    "1http://a",
                    "javascript:alert(\"x\")",
                ],
            ),
        ];
        for (format, good, bad) in cases {
            for text in *good {
                assert!(format.accepts(text), "{format:?} {text}");
            }
            for text in *bad {
                assert!(!format.accepts(text), "{format:?} {text}");
            }
        }
    }
}
