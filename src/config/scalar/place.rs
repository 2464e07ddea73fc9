//! Where a request comes from and goes to: networks, hosts and paths.

use std::net::IpAddr;

use super::Text;

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
    pub(crate) fn is_host(text: &str) -> bool {
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

    pub(crate) fn known(path: &'static str) -> Self {
        Self(path.to_owned())
    }
}

impl Text for PathTemplate {
    const FORM: &'static str = "a path that starts with /, such as /api/v1/users/{id} or /admin/**";
    const PATTERN: &'static str = "^/[^?#\\x00-\\x20\\x7f]{0,1023}$";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte > b' ' && byte != 0x7f && byte != b'?' && byte != b'#';
        let good = text.starts_with('/') && text.len() <= 1024 && text.bytes().all(plain);
        good.then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_and_host_bits_are_dropped() {
        let text = |text: &str| Network::parse(text).map(|network| network.0.to_string());
        assert_eq!(text("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(text("::1").as_deref(), Some("::1/128"));
        assert_eq!(text("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(text("10.0.0.0/33"), None);
    }

    #[test]
    fn names_of_hosts_are_lower_cased() {
        let host = HostPattern::parse("*.Example.COM");
        assert_eq!(host.as_ref().map(HostPattern::as_str), Some("*.example.com"));
        for text in ["", "a..b", "example.com:80", "*", "a*.b", "[::1"] {
            assert!(HostPattern::parse(text).is_none(), "{text:?}");
        }
    }
}
