//! The client's address: what the proxy sees, and as much of `X-Forwarded-For` as trusted proxies vouch for.
//! Source: Envoy, "HTTP header manipulation", `x-forwarded-for` and `use_remote_address`.

use std::{
    fmt,
    net::{IpAddr, SocketAddrV4, SocketAddrV6},
};

use super::networks::Networks;
use crate::head::Head;

/// How many entries of `X-Forwarded-For` are looked at, from the right.
pub const MAX_HOPS: usize = 32;

/// The longest entry: a bracketed IPv6 address with an embedded IPv4 one, and a port.
const MAX_ENTRY: usize = 64;

/// The address that limits, blocks and rules take for the client's. IPv4-mapped IPv6 is IPv4; zones do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

/// The proxy's own view of the peer is not an address: a Unix socket, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPeer;

impl ClientAddress {
    /// The client of a request that reached the proxy from `source` (Envoy's `source.address`, `ip:port`).
    ///
    /// An entry of `X-Forwarded-For` is worth what the hop to its right is: it was written there. So the walk starts
    /// at `source`, goes on to the left while the address in hand is a trusted proxy's, and ends at the first that is
    /// not. Envoy's own appended entry repeats `source` and is walked past like any other trusted one; where Envoy
    /// was told to count hops itself, `source` lies further left and each entry after it must be trusted too.
    ///
    /// Without an untrusted address, or at one that cannot be read, or after [`MAX_HOPS`] entries, the client is the
    /// last trusted hop: an address that is vouched for. No other choice is safe: guessing further left takes what a
    /// client wrote, and refusing would let one broken proxy refuse everybody. A client cannot use this to be counted
    /// as the proxy: its own readable address was appended to the right of whatever it sent, and ends the walk first.
    ///
    /// # Errors
    /// [`UnknownPeer`] when `source` is no address.
    pub fn of(source: &[u8], head: &Head, trusted: &Networks) -> Result<Self, UnknownPeer> {
        let mut client = Self::parse(source).ok_or(UnknownPeer)?;
        if !trusted.contains(client.0) {
            return Ok(client);
        }
        let fields = head.all("x-forwarded-for").rev();
        let entries = fields.flat_map(|field| field.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        // An empty list element says nothing (RFC 9110 section 5.6.1), but it counts as one.
        for entry in entries.take(MAX_HOPS).filter(|entry| !entry.is_empty()) {
            let Some(hop) = Self::parse(entry) else { break };
            client = hop;
            if !trusted.contains(client.0) {
                break;
            }
        }
        Ok(client)
    }

    /// Reads `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.get(..text.len().min(MAX_ENTRY + 1))?).ok()?;
        if text.len() > MAX_ENTRY || text.contains('%') {
            return None;
        }
        let address = match (text.starts_with('['), text.bytes().filter(|byte| *byte == b':').take(2).count()) {
            (true, _) => match text.strip_suffix(']') {
                Some(text) => text.strip_prefix('[')?.parse().map(IpAddr::V6),
                None => text.parse::<SocketAddrV6>().map(|address| IpAddr::V6(*address.ip())),
            },
            (false, 0) => text.parse().map(IpAddr::V4),
            (false, 1) => text.parse::<SocketAddrV4>().map(|address| IpAddr::V4(*address.ip())),
            (false, _) => text.parse().map(IpAddr::V6),
        };
        address.ok().map(Self::from)
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

/// Whether the connection itself comes from a trusted proxy, whoever the client is.
///
/// `source` is the address of the connection where Envoy is told `use_remote_address` and counts no hops. Envoy then
/// repeats it as the last entry of `X-Forwarded-For`; where that is another address, `source` was read from the header
/// and both must be trusted.
pub fn comes_from_a_proxy(source: &[u8], head: &Head, trusted: &Networks) -> bool {
    let is_trusted = |address| ClientAddress::parse(address).is_some_and(|address| trusted.contains(address.0));
    let last = head.all("x-forwarded-for").next_back().and_then(|field| field.rsplit(|byte| *byte == b',').next());
    is_trusted(source) && last.is_none_or(|entry| is_trusted(entry.trim_ascii()))
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for UnknownPeer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the peer's address is unknown")
    }
}

impl std::error::Error for UnknownPeer {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(source: &str, forwarded: &[&str]) -> String {
        let trusted = Networks::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let head = Head::from_pairs(forwarded.iter().map(|value| ("x-forwarded-for", value)));
        ClientAddress::of(source.as_bytes(), &head, &trusted).unwrap().to_string()
    }

    #[test]
    fn a_direct_client_cannot_choose_its_address() {
        for forwarded in [&["10.9.9.9, 203.0.113.7"][..], &["10.9.9.9"], &["127.0.0.1", "203.0.113.7"], &[]] {
            assert_eq!(client("203.0.113.7:50000", forwarded), "203.0.113.7");
        }
    }

    #[test]
    fn walks_past_trusted_proxies_to_the_first_address_that_is_not() {
        for (forwarded, expected) in [
            (&["198.51.100.1, 10.0.0.1"][..], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1, 10.0.0.2, 10.0.0.1"], "198.51.100.1"),
            (&["1.1.1.1", "198.51.100.1,10.0.0.2", "10.0.0.1"], "198.51.100.1"),
            (&["198.51.100.1:1234 ,\t[fd00::1]:80, 10.0.0.1"], "198.51.100.1"),
            (&["2001:db8::1, 10.0.0.1"], "2001:db8::1"),
            (&["[2001:db8::1], 10.0.0.1"], "2001:db8::1"),
            (&["::ffff:198.51.100.1, ::ffff:10.0.0.2, 10.0.0.1"], "198.51.100.1"),
            // Envoy counted one hop itself: its peer, on the right, must be trusted as well.
            (&["198.51.100.1, 10.0.0.1, 192.0.2.9"], "192.0.2.9"),
            // Envoy appended nothing.
            (&["198.51.100.1"], "198.51.100.1"),
            (&["198.51.100.1, , 10.0.0.1"], "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1:50000", forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn ends_at_the_last_trusted_hop_when_nothing_untrusted_is_readable() {
        for (forwarded, expected) in [
            (&[][..], "10.0.0.1"),
            (&["10.0.0.3, 10.0.0.2, 10.0.0.1"], "10.0.0.3"),
            (&["198.51.100.1, unknown, 10.0.0.2, 10.0.0.1"], "10.0.0.2"),
            (&["198.51.100.1, fe80::1%eth0, 10.0.0.1"], "10.0.0.1"),
            (&["198.51.100.1, 010.0.0.2, 10.0.0.1"], "10.0.0.1"),
            (&["198.51.100.1, \u{0}, 10.0.0.1"], "10.0.0.1"),
            (&["198.51.100.1, \"10.0.0.2\", 10.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1:50000", forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn looks_at_a_bounded_number_of_entries() {
        let at = |hops: usize| format!("198.51.100.1{}", ", 10.0.0.2".repeat(hops));
        assert_eq!(client("10.0.0.1:1", &[&at(MAX_HOPS - 1)]), "198.51.100.1");
        assert_eq!(client("10.0.0.1:1", &[&at(MAX_HOPS)]), "10.0.0.2");
        assert_eq!(client("10.0.0.1:1", &[&format!("198.51.100.1{}", ",".repeat(100_000))]), "10.0.0.1");
    }

    #[test]
    fn reads_addresses_strictly() {
        for (text, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:65535", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:1", "1.2.3.4"),
            ("2001:DB8:0::1", "2001:db8::1"),
        ] {
            assert_eq!(ClientAddress::parse(text.as_bytes()).unwrap().to_string(), expected);
        }
        for text in
            ["", "1.2.3", "1.2.3.4:", "1.2.3.4:65536", "0x1.2.3.4", "[::1", "::1]", "[1.2.3.4]", "[fe80::1%1]:80"]
        {
            assert_eq!(ClientAddress::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ClientAddress::parse(&[b'1'; 1000]), None);
        assert_eq!(ClientAddress::parse(b"\xff"), None);
    }

    #[test]
    fn a_connection_comes_from_a_proxy_when_every_trace_of_it_does() {
        let trusted = Networks::parse(["10.0.0.0/8"]).unwrap();
        let proxied = |source: &str, forwarded: &[&str]| {
            let head = Head::from_pairs(forwarded.iter().map(|value| ("x-forwarded-for", value)));
            comes_from_a_proxy(source.as_bytes(), &head, &trusted)
        };
        for forwarded in [&[][..], &["203.0.113.7, 10.0.0.1"], &["203.0.113.7", "10.0.0.1"], &["10.0.0.1"]] {
            assert!(proxied("10.0.0.1:50000", forwarded), "{forwarded:?}");
            assert!(!proxied("203.0.113.7:50000", forwarded), "{forwarded:?}");
            assert!(!proxied("/run/envoy.sock", forwarded), "{forwarded:?}");
        }
        for forwarded in [&["203.0.113.7"][..], &["10.0.0.1, 203.0.113.7"], &["10.0.0.1", "x"], &["10.0.0.1,"], &[""]] {
            assert!(!proxied("10.0.0.1:50000", forwarded), "{forwarded:?}");
        }
    }

    #[test]
    fn an_unknown_peer_is_an_error_whatever_the_header_says() {
        let head = Head::from_pairs([("x-forwarded-for", "198.51.100.1")]);
        assert_eq!(ClientAddress::of(b"/run/envoy.sock", &head, &Networks::default()), Err(UnknownPeer));
        assert_eq!(ClientAddress::of(b"", &head, &Networks::default()), Err(UnknownPeer));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever an outsider writes, what trusted proxies append decides.
        #[test]
        fn nothing_a_client_writes_changes_its_address(claim in prop::collection::vec(any::<u8>(), 0..40)) {
            let trusted = Networks::parse(["10.0.0.0/8"]).unwrap();
            let value = [claim.as_slice(), b", 198.51.100.1, 10.0.0.1"].concat();
            let head = Head::from_pairs([("x-forwarded-for", value)]);
            let client = ClientAddress::of(b"10.0.0.1:1", &head, &trusted).unwrap();
            prop_assert_eq!(client.to_string(), "198.51.100.1");
        }
    }
}
