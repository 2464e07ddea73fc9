//! Where a service of ours is asked: its cluster and an absolute address (RFC 3986 section 4.3) with scheme and host.

use std::rc::Rc;
use std::time::Duration;

use crate::check::{Call, Callout};

/// A service that is asked with GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    cluster: Rc<str>,
    scheme: &'static str,
    authority: String,
    path: String,
    timeout: Duration,
}

impl Endpoint {
    /// Takes an address apart. `None`: it is not `http` or `https` with a host, or holds what has no place in one.
    pub fn parse(cluster: &str, uri: &str, timeout: Duration) -> Option<Self> {
        let (scheme, rest) = match uri.split_once("://")? {
            ("http", rest) => ("http", rest),
            ("https", rest) => ("https", rest),
            _ => return None,
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\\"<>".contains(&byte)) {
            return None;
        }
        let (authority, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
        if authority.is_empty() || authority.starts_with(':') || authority.contains(['@', '{', '}']) {
            return None;
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { cluster: Rc::from(cluster), scheme, authority: authority.to_owned(), path, timeout })
    }

    /// Path and query of the address.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// After which a question counts as unanswered.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks for `path` of this service. Exchanges with the same `flight` share the answer.
    pub fn get(&self, path: &str, flight: Option<Rc<str>>) -> Callout {
        let headers = [
            (":method", "GET"),
            (":scheme", self.scheme),
            (":authority", &self.authority),
            (":path", path),
            ("accept", "application/json"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let call = Call::Http { headers };
        Callout { cluster: self.cluster.clone(), call, body: Vec::new(), timeout: self.timeout, flight }
    }
}

/// `text` with everything but unreserved characters percent-encoded (RFC 3986 section 2.3): it stays one path segment.
pub fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(uri: &str) -> Option<String> {
        let endpoint = Endpoint::parse("c", uri, Duration::from_secs(1))?;
        Some(format!("{} {} {}", endpoint.scheme, endpoint.authority, endpoint.path))
    }

    #[test]
    fn takes_an_absolute_address_apart_and_nothing_else() {
        for (uri, expected) in [
            ("https://idp.example.com/a/b?c=d", Some("https idp.example.com /a/b?c=d")),
            ("http://users", Some("http users /")),
            ("http://users:8080?a", Some("http users:8080 /?a")),
            ("http://[::1]:80/a", Some("http [::1]:80 /a")),
            ("http://users/{subject}", Some("http users /{subject}")),
            ("users/a", None),
            ("/a", None),
            ("ftp://users/a", None),
            ("HTTPS//a", None),
            ("http:///a", None),
            ("http://:80/a", None),
            ("http://u:p@users/a", None),
            ("http://{subject}/a", None),
            ("http://users/a b", None),
            ("http://users/a\r\nx: y", None),
            ("http://users/a#b", None),
            ("http://users/é", None),
        ] {
            assert_eq!(parsed(uri).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn encodes_a_text_so_that_it_stays_one_segment() {
        assert_eq!(percent_encoded("aZ9-._~"), "aZ9-._~");
        assert_eq!(percent_encoded("a/b?c#d%e&f é\0\r\n"), "a%2Fb%3Fc%23d%25e%26f%20%C3%A9%00%0D%0A");
    }
}
