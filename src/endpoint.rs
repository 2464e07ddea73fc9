//! An address that the module calls: the Envoy cluster that leads there, and the parts of its URI (RFC 3986).

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
        let in_path = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(in_authority) || !path.bytes().all(in_path) {
            return Err(InvalidUri);
        }
        let root = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{root}{path}").into_boxed_str();
        Ok(Self { cluster: Rc::from(cluster), scheme, authority: authority.into(), path, timeout })
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
}
