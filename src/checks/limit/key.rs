//! What a limit counts by: parts of a request that tell one caller from another.

use std::net::IpAddr;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::exchange::{Exchange, Identity, Method};
use crate::table::address::Prefix;
use crate::table::limiter::Key;

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address: IPv4 whole, IPv6 by /64.
    ClientIp,
    /// The caller, with its provider.
    Subject,
    /// The calling service.
    Service,
    /// The value of a header, or the client's address where that is not one value.
    Header(Rc<str>),
}

impl KeyPart {
    /// Whether a request of `caller` has this part.
    pub(super) fn is_known(&self, caller: Option<&Identity>) -> bool {
        match self {
            Self::ClientIp | Self::Header(_) => true,
            Self::Subject => caller.is_some(),
            Self::Service => caller.is_some_and(|caller| caller.method == Method::Service),
        }
    }

    fn bytes(&self, exchange: &Exchange) -> Vec<u8> {
        let caller = || exchange.caller.as_ref().map(|caller| caller.limit_key.clone()).unwrap_or_default();
        match self.found(exchange) {
            Found::Address => [&b"ip"[..], &Prefix::of(exchange.client()).to_bytes()].concat(),
            Found::Subject => [&b"subject"[..], &caller()].concat(),
            Found::Service => [&b"service"[..], &caller()].concat(),
            Found::Header(_, value) => [&b"header"[..], value].concat(),
        }
    }

    /// The part for a service outside: readable, so that its rules can name callers, but never a credential. A header
    /// may hold one, so its value is hashed.
    fn text(&self, exchange: &Exchange) -> String {
        match self.found(exchange) {
            Found::Address => address(exchange.client()),
            Found::Subject | Found::Service => {
                let caller = exchange.caller.as_deref();
                let named = |caller: &Identity| [caller.method.as_str(), &caller.provider, &caller.subject].join("/");
                caller.map(|caller| escaped(&named(caller))).unwrap_or_default()
            }
            Found::Header(name, value) => format!("{name}:{}", digest(value)),
        }
    }

    /// A header that is not there says nothing, and of several any could be the one that the upstream believes: counted
    /// by these, a client had a new counter for whatever it puts first, and whoever sends none shared one.
    fn found<'a>(&'a self, exchange: &'a Exchange) -> Found<'a> {
        match self {
            Self::ClientIp => Found::Address,
            Self::Subject => Found::Subject,
            Self::Service => Found::Service,
            Self::Header(name) => match exchange.head.single(name.as_bytes()) {
                Ok(Some(value)) if !value.is_empty() => Found::Header(name, value),
                _ => Found::Address,
            },
        }
    }
}

/// What a part is in one request.
enum Found<'a> {
    Address,
    Subject,
    Service,
    Header(&'a str, &'a [u8]),
}

/// A key that demands can borrow from.
pub(super) enum Owned {
    Address(IpAddr),
    Named(Vec<Vec<u8>>),
}

impl Owned {
    /// The key of `parts`.
    pub(super) fn of(parts: &[KeyPart], exchange: &Exchange) -> Self {
        match parts {
            [part] if matches!(part.found(exchange), Found::Address) => Self::Address(exchange.client()),
            parts => Self::Named(parts.iter().map(|part| part.bytes(exchange)).collect()),
        }
    }

    pub(super) fn parts(&self) -> Vec<&[u8]> {
        match self {
            Self::Address(_) => Vec::new(),
            Self::Named(parts) => parts.iter().map(Vec::as_slice).collect(),
        }
    }

    pub(super) fn key<'k>(&self, parts: &'k [&'k [u8]]) -> Key<'k> {
        match self {
            Self::Address(address) => Key::Address(*address),
            Self::Named(_) => Key::Named(parts),
        }
    }
}

/// The longest value that a service outside is sent as it is, in bytes.
const LONGEST_VALUE: usize = 256;

/// The value of the descriptor for the key of `parts`: no two keys have the same.
pub(super) fn descriptor_value(parts: &[KeyPart], exchange: &Exchange) -> Rc<str> {
    let texts: Vec<String> = parts.iter().map(|part| part.text(exchange)).collect();
    let value = texts.join("|");
    if value.len() > LONGEST_VALUE { Rc::from(digest(value.as_bytes())) } else { Rc::from(value) }
}

/// The value for a caller that is counted by its address for want of a name.
pub(super) fn address(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// What stands between parts, and what no log should hold, in percent-encoding.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | '|' | '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{:02X}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().take(16).fold(String::with_capacity(32), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Origin;
    use crate::head::Head;
    use crate::time::Timestamp;

    fn exchange(caller: Option<Identity>) -> Exchange {
        sent(&[("x-tenant", "a")], caller)
    }

    fn sent(headers: &[(&str, &str)], caller: Option<Identity>) -> Exchange {
        let mut exchange = Exchange::new(Head::from_pairs(headers.iter().copied()), Timestamp::default());
        exchange.origin = Some(Origin::default());
        exchange.caller = caller.map(Rc::new);
        exchange
    }

    /// The key under which a request is counted, here and in a service outside.
    fn key(part: KeyPart, caller: Option<Identity>) -> Option<(Vec<u8>, Rc<str>)> {
        let exchange = exchange(caller);
        let known = part.is_known(exchange.caller.as_deref());
        known.then(|| (part.bytes(&exchange), descriptor_value(&[part], &exchange)))
    }

    fn caller(method: Method, provider: &str, subject: &str) -> Option<Identity> {
        Some(Identity::new(method, Rc::from(provider), subject.to_owned()))
    }

    #[test]
    fn kinds_of_keys_never_meet() {
        let keys = [
            key(KeyPart::ClientIp, None),
            key(KeyPart::Header(Rc::from("x-tenant")), None),
            key(KeyPart::Subject, caller(Method::Jwt, "a", "b")),
            key(KeyPart::Subject, caller(Method::Jwt, "ab", "")),
            key(KeyPart::Subject, caller(Method::Jwt, "b", "a")),
            key(KeyPart::Subject, caller(Method::Service, "a", "b")),
        ];
        for (at, one) in keys.iter().enumerate() {
            let (here, outside) = one.as_ref().unwrap();
            assert!(keys[..at].iter().flatten().all(|(h, o)| h != here && o != outside), "{at}");
        }
        let (subject, service) = (KeyPart::Subject, KeyPart::Service);
        assert_ne!(
            subject.bytes(&exchange(caller(Method::Service, "a", "b"))),
            service.bytes(&exchange(caller(Method::Service, "a", "b")))
        );
        assert_eq!(key(KeyPart::Subject, None), None);
        assert_eq!(key(KeyPart::Service, caller(Method::Jwt, "service", "b")), None);
    }

    #[test]
    fn a_service_outside_is_told_who_but_no_header_and_no_host() {
        let mut exchange = exchange(caller(Method::Jwt, "users", "a|b%\n"));
        exchange.origin = Some(Origin { client: "2001:db8:1:2:3:4:5:6".parse().unwrap(), proxied: false });
        let value = |parts: &[KeyPart]| descriptor_value(parts, &exchange).to_string();
        assert_eq!(value(&[KeyPart::Subject]), "jwt/users/a%7Cb%25%0A");
        assert_eq!(value(&[KeyPart::ClientIp]), "2001:db8:1:2::/64");
        // SHA-256 of "a".
        let tenant = "x-tenant:ca978112ca1bbdcafac231b39a23dc4d";
        assert_eq!(
            value(&[KeyPart::Subject, KeyPart::Header(Rc::from("x-tenant"))]),
            format!("jwt/users/a%7Cb%25%0A|{tenant}")
        );
        assert_eq!(address("192.0.2.1".parse().unwrap()), "192.0.2.1");
    }

    #[test]
    fn a_header_that_is_not_one_value_is_counted_by_address_beside_the_other_parts() {
        let header = || KeyPart::Header(Rc::from("x-tenant"));
        let several: [&[(&str, &str)]; 4] =
            [&[], &[("x-tenant", "")], &[("x-tenant", "a"), ("x-tenant", "a")], &[("x-tenant", ""), ("X-Tenant", "a")]];
        for headers in several {
            let mut exchange = sent(headers, caller(Method::Jwt, "users", "1"));
            exchange.origin = Some(Origin { client: "192.0.2.1".parse().unwrap(), proxied: false });
            assert!(matches!(Owned::of(&[header()], &exchange), Owned::Address(client) if client == exchange.client()));
            assert_eq!(&*descriptor_value(&[header()], &exchange), "192.0.2.1");
            assert_eq!(&*descriptor_value(&[KeyPart::Subject, header()], &exchange), "jwt/users/1|192.0.2.1");
            assert_eq!(header().bytes(&exchange), KeyPart::ClientIp.bytes(&exchange));
        }
        assert!(matches!(Owned::of(&[header()], &exchange(None)), Owned::Named(_)));
    }

    #[test]
    fn a_long_value_is_hashed_and_still_its_own() {
        let value =
            |subject: &str| descriptor_value(&[KeyPart::Subject], &exchange(caller(Method::Jwt, "users", subject)));
        let (one, other) = (value(&"x".repeat(300)), value(&"x".repeat(301)));
        assert!(one.len() == 32 && other.len() == 32 && one != other);
    }
}
