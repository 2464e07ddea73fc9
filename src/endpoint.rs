//! An address that the module calls: the Envoy cluster that leads there, and the parts of its URI (RFC 3986).

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use crate::check::{Call, Callout};

/// Where a question goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    cluster: Rc<str>,
    scheme: &'static str,
    authority: Box<str>,
    path: Box<str>,
    timeout: Duration,
}

/// Where a question about one thing goes, such as an account: an address with a place for its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOf {
    /// The address up to that place.
    start: Endpoint,
    rest: Box<str>,
}

/// A text that is no `http://` or `https://` address with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUri;

impl Endpoint {
    /// The endpoint at `uri`, reached through `cluster`, which has `timeout` to answer.
    ///
    /// # Errors
    /// [`InvalidUri`], also for user names, fragments and characters that a URI does not have.
    pub fn new(cluster: &str, uri: &str, timeout: Duration) -> Result<Self, InvalidUri> {
        let (scheme, rest) = match uri.split_once("://").ok_or(InvalidUri)? {
            ("http", rest) => ("http", rest),
            ("https", rest) => ("https", rest),
            _ => return Err(InvalidUri),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let in_authority = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let names_host = !authority.is_empty() && !authority.starts_with(':');
        if !names_host || !authority.bytes().all(in_authority) || !is_path(path) {
            return Err(InvalidUri);
        }
        let root = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{root}{path}").into_boxed_str();
        Ok(Self { cluster: Rc::from(cluster), scheme, authority: authority.into(), path, timeout })
    }

    /// After which a question counts as unanswered.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks for the JSON document that is there; `flight` as in [`Callout`].
    pub fn get(&self, flight: Option<Rc<str>>) -> Callout {
        self.ask("GET", [("accept", "application/json")], Vec::new(), flight)
    }

    /// A request to it; `flight` as in [`Callout`].
    pub fn ask<'h>(
        &'h self,
        method: &'h str,
        headers: impl IntoIterator<Item = (&'static str, &'h str)>,
        body: Vec<u8>,
        flight: Option<Rc<str>>,
    ) -> Callout {
        let pseudo =
            [(":method", method), (":scheme", self.scheme), (":authority", &*self.authority), (":path", &*self.path)];
        let headers = pseudo.into_iter().chain(headers);
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Callout { cluster: self.cluster.clone(), call: Call::Http { headers }, body, timeout: self.timeout, flight }
    }
}

impl EndpointOf {
    /// The endpoint at `uri`, which holds `placeholder` once, in the path or the query.
    ///
    /// # Errors
    /// [`InvalidUri`], as for [`Endpoint::new`], and where the placeholder is missing or stands elsewhere.
    pub fn new(cluster: &str, uri: &str, placeholder: &str, timeout: Duration) -> Result<Self, InvalidUri> {
        let (start, rest) = uri.split_once(placeholder).ok_or(InvalidUri)?;
        // In the authority it would choose the host.
        let leaves_authority = start.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
        if !leaves_authority || !is_path(rest) {
            return Err(InvalidUri);
        }
        Ok(Self { start: Endpoint::new(cluster, start, timeout)?, rest: rest.into() })
    }

    /// Asks for the JSON document about `name`, which stays one segment; `flight` as in [`Callout`].
    pub fn get(&self, name: &str, flight: Option<Rc<str>>) -> Callout {
        let path = format!("{}{}{}", self.start.path, percent_encoded(name), self.rest).into_boxed_str();
        Endpoint { path, ..self.start.clone() }.get(flight)
    }
}

/// Whether `text` may stand in a path and a query.
fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte))
}

/// `text` with everything but unreserved characters percent-encoded (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
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

    fn parts(uri: &str) -> Option<(String, String, String)> {
        let endpoint = Endpoint::new("c", uri, Duration::ZERO).ok()?;
        Some((endpoint.scheme.to_owned(), endpoint.authority.into(), endpoint.path.into()))
    }

    #[test]
    fn takes_a_uri_apart() {
        for (uri, scheme, authority, path) in [
            ("https://idp.example.com/introspect", "https", "idp.example.com", "/introspect"),
            ("http://users:8000/a/b?c=d&e=%20", "http", "users:8000", "/a/b?c=d&e=%20"),
            ("http://[::1]:80", "http", "[::1]:80", "/"),
            ("http://h?a=b", "http", "h", "/?a=b"),
        ] {
            assert_eq!(parts(uri), Some((scheme.to_owned(), authority.to_owned(), path.to_owned())), "{uri}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for uri in [
            "",
            "idp",
            "/introspect",
            "ftp://h/",
            "HTTP://h/",
            "http://",
            "http:///a",
            "http://:80/a",
            "http://u:p@h/",
            "http://h/#a",
            "http://h/a b",
            "http://h/a\r\nx: y",
            "http://h\n/",
            "http://h/{a}",
            "http://é/",
        ] {
            assert_eq!(parts(uri), None, "{uri:?}");
        }
    }

    #[test]
    fn asks_about_one_thing_that_stays_one_segment() {
        let of = |uri: &str| EndpointOf::new("c", uri, "{id}", Duration::ZERO);
        let path = |uri: &str, name: &str| {
            let Call::Http { headers } = of(uri).unwrap().get(name, None).call else { panic!() };
            headers.into_iter().find(|(name, _)| name == ":path").unwrap().1
        };
        assert_eq!(path("http://h/a/{id}/b?c", "aZ9-._~"), "/a/aZ9-._~/b?c");
        assert_eq!(path("http://h?a={id}", "a/b?c#d%e&f é\0\r\n"), "/?a=a%2Fb%3Fc%23d%25e%26f%20%C3%A9%00%0D%0A");
        for uri in ["http://h/a", "http://{id}/a", "http://h{id}", "{id}", "http://h/{id}/{id}", "http://h/{id} b"] {
            assert_eq!(of(uri), Err(InvalidUri), "{uri}");
        }
    }
}
