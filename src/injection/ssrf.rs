//! Server-side request forgery: URLs and hosts that lead a server to itself, its network or its cloud's metadata.
//!
//! A host is read as WHATWG URL reads it: IPv4 in one to four parts, each decimal, octal or hexadecimal; IPv6 with IPv4
//! inside; circled digits and the full stops of other scripts as the ASCII they become.

use super::bytes::{at, cut, from};
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where the host of a URL begins, after two slashes of any kind.
pub(super) const TRIGGERS: [Trigger; 1] = [Trigger::new(Bytes::of(b"/\\"), b"/\\", Bytes::of(b"/\\ \0\"'<>").not())];

/// The longest host that is read.
const MAX_HOST: usize = 253;

/// Whom a server would ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Metadata,
    Loopback,
    Private,
}

/// Reports the host behind the second slash, at `i` of `view`.
#[inline(never)]
pub(super) fn read(view: &[u8], i: usize, findings: &mut Findings) {
    let whole = view.get(..i.saturating_sub(1)).is_some_and(is_scheme);
    match host(from(view, i + 1)).as_deref().and_then(target) {
        Some(Target::Metadata) => findings.report(Rule::SsrfMetadata),
        Some(Target::Loopback) if whole => findings.report(Rule::SsrfLoopback),
        Some(Target::Private) if whole => findings.report(Rule::SsrfPrivate),
        _ => {}
    }
}

/// Reports a value that is a host by itself, perhaps with a port and a path.
pub(super) fn whole(view: &[u8], findings: &mut Findings) {
    if may_be_host(view) && host(view).as_deref().and_then(target) == Some(Target::Metadata) {
        findings.report(Rule::SsrfMetadata);
    }
}

/// Whether a value could be a host of [`Target::Metadata`] by itself: no space in it, and a dot or a colon.
pub(super) fn may_be_host(view: &[u8]) -> bool {
    let head = cut(view, 0, MAX_HOST);
    let begins = at(view, 0).is_ascii_digit()
        || at(view, 0) >= 0x80
        || matches!(at(view, 0) | 0x20, b'm' | b'i')
        || at(view, 0) == b'[';
    begins
        && head.iter().any(|byte| matches!(byte, b'.' | b':') || *byte >= 0x80)
        && !head.iter().any(|&byte| byte <= b' ')
}

/// `http:` and the like, or nothing: what stands before the slashes of a value that is a URL.
fn is_scheme(before: &[u8]) -> bool {
    let before = before.trim_ascii_start();
    let before = before.strip_prefix(b"url:").or_else(|| before.strip_prefix(b"jar:")).unwrap_or(before);
    // Parsers pass over slashes that are too many.
    let slashes = before.iter().rev().take_while(|&&byte| byte == b'/').count();
    let before = cut(before, 0, before.len() - slashes);
    match before.strip_suffix(b":") {
        Some(scheme) => {
            scheme.len() <= 16
                && scheme.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        }
        None => before.is_empty(),
    }
}

/// The host at the beginning of `rest`, in lower-case ASCII as far as it has one, without user, port and brackets.
fn host(rest: &[u8]) -> Option<String> {
    let ends =
        |byte: &u8| *byte <= b' ' || matches!(byte, b'/' | b'\\' | b'?' | b'#' | b'!' | b'"' | b'\'' | b'<' | b'>');
    let authority = cut(rest, 0, MAX_HOST);
    let authority = cut(authority, 0, authority.iter().position(ends).unwrap_or(authority.len()));
    let named = authority.rsplit(|&byte| byte == b'@').next().unwrap_or_default();
    let text = std::str::from_utf8(named).ok()?;
    let text = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None if text.bytes().filter(|&byte| byte == b':').count() > 1 => text,
        None => text.split(':').next().unwrap_or_default(),
    };
    Some(text.chars().map(as_ascii).collect())
}

/// What IDNA's mapping makes of the characters that hosts are disguised with.
fn as_ascii(c: char) -> char {
    let digit = match c {
        '\u{2460}'..='\u{2468}' => c as u32 - 0x2460 + 1,
        '\u{24EA}' => 0,
        '\u{FF10}'..='\u{FF19}' => c as u32 - 0xFF10,
        '\u{00B9}' => 1,
        '\u{00B2}' | '\u{00B3}' => c as u32 - 0xB0,
        '\u{3002}' | '\u{FF0E}' | '\u{FF61}' => return '.',
        '\u{24D0}'..='\u{24E9}' => return char::from_u32(c as u32 - 0x24D0 + 0x61).unwrap_or(c),
        _ => return c.to_ascii_lowercase(),
    };
    char::from_digit(digit, 10).unwrap_or(c)
}

fn target(host: &str) -> Option<Target> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if matches!(
        host,
        "metadata.google.internal"
            | "metadata.goog"
            | "metadata.tencentyun.com"
            | "metadata"
            | "instance-data"
            | "instance-data.ec2.internal"
    ) {
        return Some(Target::Metadata);
    }
    let itself = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "host.docker.internal"];
    if itself.contains(&host) || host.ends_with(".localhost") {
        return Some(Target::Loopback);
    }
    if matches!(host, "kubernetes.default.svc" | "kubernetes.default.svc.cluster.local") {
        return Some(Target::Private);
    }
    // Names that resolve to the address they begin with, and addresses cut short by a stranger name.
    let address = resolved_by_name(host).unwrap_or(host);
    let v4 = ipv4(address).or_else(|| embedded(address.parse().ok()?));
    match v4 {
        Some(address) => target_v4(address),
        // `fe80::1%25eth0`
        None => target_v6(address.split('%').next()?.parse().ok()?),
    }
}

/// The address in `169.254.169.254.nip.io` and its like.
fn resolved_by_name(host: &str) -> Option<&str> {
    ["nip.io", "xip.io", "sslip.io"].into_iter().find_map(|name| host.strip_suffix(name)?.strip_suffix('.'))
}

fn target_v4(address: Ipv4Addr) -> Option<Target> {
    match address.octets() {
        // AWS, Azure, Google, Oracle and others; AWS's containers and time; Alibaba; Oracle's old one.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [169, 254, 169, 253]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192] => Some(Target::Metadata),
        [127, ..] | [0, 0, 0, 0] => Some(Target::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..] => Some(Target::Private),
        _ => None,
    }
}

fn target_v6(address: Ipv6Addr) -> Option<Target> {
    match address.segments() {
        // AWS: instances, containers' credentials; Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Some(Target::Metadata),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Target::Loopback),
        [0xfc00..=0xfdff, ..] | [0xfe80..=0xfebf, ..] => Some(Target::Private),
        _ => None,
    }
}

/// The IPv4 address in an IPv6 address: mapped, compatible, NAT64 or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from_halves = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from_halves(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(from_halves(high, low)),
        [0x2002, high, low, ..] => Some(from_halves(high, low)),
        _ => None,
    }
}

/// WHATWG URL, "IPv4 parser": one to four numbers, of which the last fills what is left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = [0u64; 4];
    let mut count = 0usize;
    for part in text.split('.') {
        *parts.get_mut(count)? = number(part)?;
        count += 1;
    }
    let last = count.checked_sub(1)?;
    let mut address = *parts.get(last)?;
    if address >> (8 * (4 - last)) != 0 {
        return None;
    }
    for (place, part) in parts.iter().take(last).enumerate() {
        address |= u64::from(u8::try_from(*part).ok()?) << (24 - 8 * place);
    }
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

/// WHATWG URL, "IPv4 number parser".
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [] => return None,
        [b'0', b'x', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Class, ClassSet, scan};
    use super::*;
    use proptest::prelude::*;

    fn found(value: &str) -> Option<&'static str> {
        scan(value.as_bytes(), ClassSet::NONE.with(Class::Ssrf)).map(|finding| finding.rule)
    }

    #[test]
    fn finds_metadata_addresses_in_every_spelling() {
        for value in [
            "http://169.254.169.254/latest/meta-data/",
            "169.254.169.254",
            "169.254.169.254:80/x",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0xA9.0xFE.0xA9.0xFE/",
            "http://0251.0376.0251.0376",
            "http://025177524776/",
            "http://169.254.43518/",
            "http://169.16689662/",
            "http://0251.254.0xa9.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://METADATA.google.internal./",
            "metadata.google.internal",
            "http://a:b@169.254.169.254/",
            "http://example.com@169.254.169.254/",
            "http://169.254.169.254.nip.io/",
            "http://169.254.169.254./",
            "http:\\\\169.254.169.254\\x",
            "//169.254.169.254/",
            "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
            "http://169。254。169。254/",
            "http://１６９.254.169.254/",
            "http%3A%2F%2F169.254.169.254%2F",
            "http://100.100.100.200/latest",
            "http://192.0.0.192/",
            "http://metadata.tencentyun.com/latest/meta-data/",
            "metadata.tencentyun.com",
            "http://169.254.170.2/v2",
            "see http://169.254.169.254/ there",
        ] {
            assert_eq!(found(value), Some("ssrf-metadata"), "{value}");
        }
    }

    #[test]
    fn finds_urls_of_the_server_itself_and_of_its_network() {
        for (value, rule) in [
            ("http://localhost:8080/admin", "ssrf-loopback"),
            ("http://127.0.0.1/", "ssrf-loopback"),
            ("http://127.1/", "ssrf-loopback"),
            ("http://0/", "ssrf-loopback"),
            ("http://[::1]:22/", "ssrf-loopback"),
            ("http://0x7f000001/", "ssrf-loopback"),
            ("http:///127.0.0.1/", "ssrf-loopback"),
            ("jar:http://127.0.0.1!/", "ssrf-loopback"),
            ("http://localhost.localdomain/", "ssrf-loopback"),
            ("http://ip6-localhost/", "ssrf-loopback"),
            ("http://host.docker.internal:8080/", "ssrf-loopback"),
            ("https://kubernetes.default.svc/api", "ssrf-private"),
            ("http://[fe80::1%25eth0]/", "ssrf-private"),
            ("gopher://127.0.0.1:6379/_x", "ssrf-loopback"),
            ("http://10.0.0.1/", "ssrf-private"),
            ("https://192.168.1.1/", "ssrf-private"),
            ("http://[fe80::1]/", "ssrf-private"),
        ] {
            assert_eq!(found(value), Some(rule), "{value}");
        }
    }

    #[test]
    fn other_hosts_numbers_and_prose_raise_nothing() {
        for value in [
            "https://example.com/a/b",
            "http://8.8.8.8/",
            "https://example.com/?u=//cdn.example.com/x",
            "127.0.0.1",
            "10.0.0.1",
            "1.2.3",
            "12:30",
            "see http://localhost:3000 for details",
            "a // b",
            "metadata",
            "instance-data",
            "2852039166",
            "C:\\\\x",
            "http://[::2]/",
            "https://169.254.169.254.example.com/",
            "https://metadata.example.com/",
            "path//to//file",
            "/a///127.0.0.1",
            "http://999.999.999.999/",
            "m.example.com",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn reads_an_address_as_the_standard_library_does(address in any::<u32>()) {
            let address = Ipv4Addr::from(address);
            prop_assert_eq!(ipv4(&address.to_string()), Some(address));
            prop_assert_eq!(ipv4(&u32::from(address).to_string()), Some(address));
            prop_assert_eq!(ipv4(&format!("0x{:x}", u32::from(address))), Some(address));
            prop_assert_eq!(ipv4(&format!("0{:o}", u32::from(address))), Some(address));
        }
    }
}
