//! How tables see a client address: an IPv4 /32 or IPv6 /64, and the network it shares when there is no room.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network that counts as one client: IPv4 /32 or /24, IPv6 /64 or /48.
///
/// An IPv6 client owns at least a /64, so a longer prefix would hand it 2^64 counters. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: IpAddr,
    length: u8,
}

impl Prefix {
    /// The client at `address`: /32 or /64.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { first: IpAddr::V4(v4), length: 32 },
            IpAddr::V6(v6) => Self::v6(v6.to_bits(), 64),
        }
    }

    /// The network it falls back to: /24 or /48. A network that is already that wide stays.
    pub fn widened(self) -> Self {
        match self.first {
            IpAddr::V4(v4) => Self { first: Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(), length: 24 },
            IpAddr::V6(v6) => Self::v6(v6.to_bits(), 48),
        }
    }

    /// Whether it is a /24 or /48.
    pub const fn is_wide(self) -> bool {
        matches!(self.length, 24 | 48)
    }

    /// Its first address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Nine bytes: the length, then the network's first 64 bits (IPv4: its 32 bits, then zeroes).
    pub fn to_bytes(self) -> [u8; 9] {
        let bits = match self.first {
            IpAddr::V4(v4) => u64::from(v4.to_bits()) << 32,
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        [self.length, a, b, c, d, e, f, g, h]
    }

    /// What [`Prefix::to_bytes`] wrote, or `None` for anything else.
    pub fn from_bytes(bytes: [u8; 9]) -> Option<Self> {
        let [length, rest @ ..] = bytes;
        let bits = u64::from_be_bytes(rest);
        let read = match length {
            32 => Self::of(Ipv4Addr::from_bits((bits >> 32) as u32).into()),
            24 => Self::of(Ipv4Addr::from_bits((bits >> 32) as u32).into()).widened(),
            64 | 48 => Self::v6(u128::from(bits) << 64, length),
            _ => return None,
        };
        (read.to_bytes() == bytes).then_some(read)
    }

    fn v6(bits: u128, length: u8) -> Self {
        let kept = bits & (u128::MAX << (128 - u32::from(length)));
        Self { first: Ipv6Addr::from_bits(kept).into(), length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            32 => write!(f, "{}", self.first),
            length => write!(f, "{}/{length}", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_32_or_64_and_widens_to_24_or_48() {
        for (address, own, wide) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("::1", "::/64", "::/48"),
        ] {
            let prefix = Prefix::of(address.parse().unwrap());
            assert_eq!((prefix.to_string().as_str(), prefix.widened().to_string().as_str()), (own, wide));
            assert_eq!(prefix.widened().widened(), prefix.widened());
            for prefix in [prefix, prefix.widened()] {
                assert_eq!(Prefix::from_bytes(prefix.to_bytes()), Some(prefix), "{prefix}");
            }
        }
    }

    #[test]
    fn foreign_bytes_are_no_prefix() {
        assert_eq!(Prefix::from_bytes([33, 1, 2, 3, 4, 0, 0, 0, 0]), None);
        assert_eq!(Prefix::from_bytes([24, 1, 2, 3, 4, 0, 0, 0, 0]), None);
        assert_eq!(Prefix::from_bytes([32, 1, 2, 3, 4, 0, 0, 0, 9]), None);
    }
}
