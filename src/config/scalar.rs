//! The small values that settings are made of: durations, sizes, rates, names and networks, each written as one text.

#[cfg(feature = "schema")]
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::setting::{self, Blank, FromText, Setting};
use crate::tree::Fault;

/// The longest duration: a hundred years of 365 days, so that sums of times never overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What happens to what a check refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not looked at.
    Off,
    /// Looked at, logged and counted, then let pass.
    Monitor,
    /// Refused.
    #[default]
    Enforce,
}

/// Let pass or refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let pass.
    Allow,
    /// Refuse.
    #[default]
    Deny,
}

/// A value written as one text of a certain form.
trait Text: Sized {
    /// The form, in words, with an example.
    const FORM: &'static str;
    /// The form as a regular expression (ECMA-262), for the JSON Schema.
    #[cfg_attr(not(feature = "schema"), allow(dead_code))]
    const PATTERN: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

/// The fault of a text of another form.
fn malformed(form: &str) -> Fault {
    Fault::new(format!("expected {form}"))
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl Setting for $name {
            fn read(value: &Value) -> Result<Self, Fault> {
                Self::of(setting::text(value, Self::FORM)?)
            }
        }

        impl FromText for $name {
            fn of(text: &str) -> Result<Self, Fault> {
                Self::parse(text).ok_or_else(|| malformed(Self::FORM))
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $name::PATTERN, "description": $name::FORM })
            }
        }
    )*};
}

text! { DurationText RateText HeaderName Network HostPattern Method PathTemplate Name }

/// A span of time: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`; more than zero, at most a hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

impl DurationText {
    /// `seconds` seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Text for DurationText {
    const FORM: &'static str = "a duration: a whole number with ms, s, m, h or d, such as 300s";
    const PATTERN: &'static str = "^[0-9]{1,18}(ms|s|m|h|d)$";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        let span = match unit {
            "ms" => Duration::from_millis(number),
            _ => Duration::from_secs(number.checked_mul(seconds_of(unit)?)?),
        };
        (!span.is_zero() && span <= LONGEST).then_some(Self(span))
    }
}

/// So many per window: `100/hour`, `20/s`, `100/15m`, `600/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateText {
    /// Admissions within one window; at least one.
    pub limit: u32,
    /// The window; a second to 366 days.
    pub window: Duration,
}

impl RateText {
    /// `limit` within `seconds` seconds.
    pub const fn per(limit: u32, seconds: u64) -> Self {
        Self { limit, window: Duration::from_secs(seconds) }
    }
}

impl Blank for RateText {
    fn blank() -> Self {
        Self::per(1, 1)
    }
}

impl Text for RateText {
    const FORM: &'static str = "a rate: a count of at least 1, a slash and a window, such as 100/hour, 20/s or 100/15m";
    const PATTERN: &'static str =
        "^[1-9][0-9]{0,9}/([0-9]{0,8}(s|m|h|d)|sec|second|min|minute|hour|day|seconds|minutes|hours|days)$";

    fn parse(text: &str) -> Option<Self> {
        let (limit, window) = text.split_once('/')?;
        let (limit, rest) = split_number(limit)?;
        let limit = u32::try_from(limit).ok().filter(|limit| *limit > 0 && rest.is_empty())?;
        let (count, unit) = match split_number(window) {
            Some((count, unit)) => (count, seconds_of(unit)?),
            None => (1, seconds_of(window).or_else(|| seconds_of_word(window))?),
        };
        let seconds = count.checked_mul(unit)?;
        (1..=366 * 86_400).contains(&seconds).then_some(Self::per(limit, seconds))
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits).filter(|_| digits <= 18)?;
    Some((number.parse().ok()?, rest))
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    }
}

fn seconds_of_word(word: &str) -> Option<u64> {
    match word {
        "sec" | "second" => Some(1),
        "min" | "minute" => Some(60),
        "hour" => Some(3600),
        "day" => Some(86_400),
        _ => None,
    }
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`, also `kB` and `MB` of powers of ten; at most 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u32);

impl ByteSize {
    const LARGEST: u64 = 1 << 30;
    const FORM: &'static str = "a size of at most 1GiB, such as 65536, 64KiB or 1MiB";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        let scale = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        Self::of(number.checked_mul(scale)?)
    }

    fn of(bytes: u64) -> Option<Self> {
        u32::try_from(bytes).ok().filter(|_| bytes <= Self::LARGEST).map(Self)
    }
}

impl Setting for ByteSize {
    fn read(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::String(text) => Self::parse(text).ok_or_else(|| malformed(Self::FORM)),
            Value::Number(number) => {
                let bytes = number.as_u64().and_then(Self::of);
                bytes.ok_or_else(|| setting::out_of_range(number, Self::FORM))
            }
            other => Err(setting::refused(other, Self::FORM)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": Self::FORM,
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": Self::LARGEST },
                { "type": "string", "pattern": "^[0-9]{1,18}(B|kB|KB|KiB|MB|MiB|GiB)?$" },
            ],
        })
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Setting for Count<MIN, MAX> {
    fn read(value: &Value) -> Result<Self, Fault> {
        count(value, MIN, MAX).map(Self)
    }
}

fn count(value: &Value, min: u32, max: u32) -> Result<u32, Fault> {
    let expected = || format!("a whole number from {min} to {max}");
    let Value::Number(number) = value else { return Err(setting::refused(value, &expected())) };
    let count = number.as_u64().and_then(|number| u32::try_from(number).ok());
    let count = count.filter(|count| (min..=max).contains(count));
    count.ok_or_else(|| setting::out_of_range(number, &expected()))
}

#[cfg(feature = "schema")]
impl<const MIN: u32, const MAX: u32> schemars::JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A share of the whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Setting for Share {
    fn read(value: &Value) -> Result<Self, Fault> {
        const FORM: &str = "a share from 0 to 1";
        let Value::Number(number) = value else { return Err(setting::refused(value, FORM)) };
        let share = number.as_f64().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| setting::out_of_range(number, FORM))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// The name of a header field (RFC 9110, section 5.1), in lower case; at most 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl Blank for HeaderName {
    fn blank() -> Self {
        Self(String::new())
    }
}

impl Text for HeaderName {
    const FORM: &'static str = "the name of a header";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";

    fn parse(text: &str) -> Option<Self> {
        is_token(text, 128).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str, longest: usize) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(tchar)
}

/// A request method in upper case, such as `GET`; at most 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// The method as it stands in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Method {
    const FORM: &'static str = "a method in upper case, such as GET";
    const PATTERN: &'static str = "^[A-Z][A-Z0-9_-]{0,31}$";

    fn parse(text: &str) -> Option<Self> {
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        (starts && text.len() <= 32 && text.bytes().all(upper)).then(|| Self(text.to_owned()))
    }
}

/// An address or a network: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

impl Text for Network {
    const FORM: &'static str = "an address or network, such as 10.0.0.0/8 or ::1";
    const PATTERN: &'static str = "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$";

    fn parse(text: &str) -> Option<Self> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from));
        network.ok().map(|network: ipnet::IpNet| Self(network.trunc()))
    }
}

/// A host name without a port, in lower case: `admin.example.com`, or `*.example.com` for every name below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// The pattern in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl HostPattern {
    /// Whether this is the name of one host, or an IPv6 address in brackets.
    pub(super) fn is_host(text: &str) -> bool {
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => text.len() <= 253 && text.split('.').all(label),
        }
    }
}

impl Text for HostPattern {
    const FORM: &'static str = "a host without a port, such as admin.example.com or *.example.com";
    const PATTERN: &'static str = "^(\\*\\.)?[0-9A-Za-z_-]+(\\.[0-9A-Za-z_-]+)*$|^\\[[0-9A-Fa-f:.]+\\]$";

    fn parse(text: &str) -> Option<Self> {
        let host = text.strip_prefix("*.").unwrap_or(text);
        let good = Self::is_host(host) && (host.len() == text.len() || !host.starts_with('['));
        good.then(|| Self(text.to_ascii_lowercase()))
    }
}

/// A path of a route: starts with `/`; `{name}` and `*` stand for one segment, a final `/**` for all below.
/// The route table compiles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(String);

impl PathTemplate {
    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn known(path: &'static str) -> Self {
        Self(path.to_owned())
    }
}

impl Text for PathTemplate {
    const FORM: &'static str = "a path that starts with /, such as /api/v1/users/{id} or /admin/**";
    const PATTERN: &'static str = "^/[^?# ]{0,1023}$";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte > b' ' && byte != 0x7f && byte != b'?' && byte != b'#';
        let good = text.starts_with('/') && text.len() <= 1024 && text.bytes().all(plain);
        good.then(|| Self(text.to_owned()))
    }
}

/// A name that the operator gives: letters, digits, `_`, `-`, `.`; at most 128 bytes. Safe in metrics, events and paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Blank for Name {
    fn blank() -> Self {
        Self(String::new())
    }
}

impl Text for Name {
    const FORM: &'static str = "a name of letters, digits, _, - and .";
    const PATTERN: &'static str = "^[0-9A-Za-z_.-]{1,128}$";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rates_with_every_unit() {
        let cases = [
            ("100/hour", Some((100, 3600))),
            ("20/s", Some((20, 1))),
            ("100/15m", Some((100, 900))),
            ("600/m", Some((600, 60))),
            ("1/day", Some((1, 86_400))),
            ("4294967295/1h", Some((u32::MAX, 3600))),
            ("4294967296/1h", None),
            ("0/s", None),
            ("10/0s", None),
            ("10/367d", None),
            ("10/99999999999999999d", None),
            ("10", None),
            ("/s", None),
            ("10 / s", None),
            ("1.5/s", None),
            ("-1/s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(RateText::parse(text), expected.map(|(limit, seconds)| RateText::per(limit, seconds)), "{text}");
        }
    }

    #[test]
    fn reads_durations_with_every_unit_and_never_overflows() {
        let cases = [
            ("20ms", Some(Duration::from_millis(20))),
            ("300s", Some(Duration::from_secs(300))),
            ("15m", Some(Duration::from_secs(900))),
            ("24h", Some(Duration::from_secs(86_400))),
            ("7d", Some(Duration::from_secs(604_800))),
            ("36500d", Some(LONGEST)),
            ("36501d", None),
            ("999999999999999999d", None),
            ("9999999999999999999s", None),
            ("0s", None),
            ("5", None),
            ("5 s", None),
            ("1h30m", None),
            ("", None),
            ("\u{661}s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(DurationText::parse(text), expected.map(DurationText), "{text}");
        }
    }

    #[test]
    fn reads_sizes_up_to_a_gibibyte() {
        let cases = [("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1MB", 1_000_000), ("1GiB", 1 << 30)];
        for (text, expected) in cases {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(expected)), "{text}");
        }
        for text in ["2GiB", "1073741825", "1 MiB", "MiB", "1mib", "999999999999999999MiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_a_network_of_one_and_host_bits_are_dropped() {
        let text = |text: &str| Network::parse(text).map(|network| network.0.to_string());
        assert_eq!(text("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(text("::1").as_deref(), Some("::1/128"));
        assert_eq!(text("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(text("10.0.0.0/33"), None);
    }

    #[test]
    fn names_of_headers_and_hosts_are_lower_cased() {
        assert_eq!(HeaderName::parse("X-Beta").map(|name| name.as_str().to_owned()).as_deref(), Some("x-beta"));
        assert_eq!(
            HostPattern::parse("*.Example.COM").map(|host| host.as_str().to_owned()).as_deref(),
            Some("*.example.com")
        );
        for text in ["", "a b", "a:b", "a\r\nb", ":path"] {
            assert!(HeaderName::parse(text).is_none(), "{text:?}");
        }
        for text in ["", "a..b", "example.com:80", "*", "a*.b", "[::1"] {
            assert!(HostPattern::parse(text).is_none(), "{text:?}");
        }
    }
}
