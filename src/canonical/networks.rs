//! Sets of IP networks (CIDR, RFC 4632) as the configuration lists them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use crate::order;

/// A set of networks; asking costs the logarithm of their number.
///
/// IPv4-mapped IPv6 networks (`::ffff:10.0.0.0/104`) are the IPv4 networks they name. Otherwise IPv6 networks hold no
/// IPv4 address: everything is `0.0.0.0/0` and `::/0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    // Sorted, disjoint, inclusive at both ends.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// An entry that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// Its place in the list, from 0.
    pub index: usize,
    /// The entry as it was written.
    pub text: String,
}

impl Networks {
    /// Reads a list of networks (`10.0.0.0/8`, `2001:db8::/32`) and single addresses. Bits after the prefix are
    /// dropped, as Envoy does.
    ///
    /// # Errors
    /// [`NetworkError`] with the first entry that is neither.
    pub fn parse<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> Result<Self, NetworkError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, text) in list.into_iter().enumerate() {
            let text = text.as_ref();
            match network(text).ok_or_else(|| NetworkError { index, text: text.to_owned() })? {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
                IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
            }
        }
        Ok(Self { v4: merged(v4), v6: merged(v6) })
    }

    /// Whether one of the networks holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, u32::from(address)),
            IpAddr::V6(address) => holds(&self.v6, u128::from(address)),
        }
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: expected an address or a network like 10.0.0.0/8 or 2001:db8::/32", self.text)
    }
}

impl std::error::Error for NetworkError {}

fn network(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().ok()?,
    };
    let mapped = |address: Ipv6Addr| -> Option<Ipv4Addr> { address.to_ipv4_mapped() };
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match mapped(v6.addr()) {
            Some(address) => IpNet::new(IpAddr::V4(address), v6.prefix_len() - 96).ok(),
            None => Some(net),
        },
        _ => Some(net),
    }
}

fn merged<A: Copy + Ord>(mut ranges: Vec<(A, A)>) -> Vec<(A, A)> {
    order::sort(&mut ranges);
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.1 => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    merged
}

fn holds<A: Copy + Ord>(ranges: &[(A, A)], address: A) -> bool {
    let next = ranges.partition_point(|range| range.0 <= address);
    next.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| address <= range.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn holds_addresses_of_its_networks_alone() {
        let set = Networks::parse(["10.1.2.3/8", "192.0.2.7", "2001:db8::/32", "::ffff:172.16.0.0/108"]).unwrap();
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8:ffff::1", "::ffff:10.0.0.1", "172.31.0.1"] {
            assert!(set.contains(address(inside)), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::", "::10.0.0.1", "172.32.0.0"] {
            assert!(!set.contains(address(outside)), "{outside}");
        }
    }

    #[test]
    fn everything_needs_both_families() {
        assert!(!Networks::parse(["::/0"]).unwrap().contains(address("1.2.3.4")));
        let all = Networks::parse(["0.0.0.0/0", "::/0"]).unwrap();
        assert!(all.contains(address("255.255.255.255")) && all.contains(address("::")));
        assert!(!Networks::default().contains(address("::")) && Networks::default().is_empty());
    }

    #[test]
    fn names_the_entry_that_is_no_network() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "010.0.0.1", "fe80::1%eth0", "localhost", "10.0.0.0/-1", " 10.0.0.1"]
        {
            let error = Networks::parse(["10.0.0.0/8", bad]).unwrap_err();
            assert_eq!(error, NetworkError { index: 1, text: bad.to_owned() });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn answers_as_asking_each_network_does(
            nets in prop::collection::vec((0u32..64, 24u8..=32), 0..12), asked in 0u32..512
        ) {
            let nets: Vec<IpNet> = nets
                .into_iter()
                .map(|(low, prefix)| IpNet::new(IpAddr::V4(Ipv4Addr::from(low * 8)), prefix).unwrap())
                .collect();
            let asked = IpAddr::V4(Ipv4Addr::from(asked));
            let set = Networks::parse(nets.iter().map(IpNet::to_string)).unwrap();
            prop_assert_eq!(set.contains(asked), nets.iter().any(|net| net.contains(&asked)));
        }
    }
}
