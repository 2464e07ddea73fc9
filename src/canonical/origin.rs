//! The origin of a page (RFC 6454): scheme, host and port, in one form whatever the spelling.

use std::fmt;

use super::host::CanonicalHost;

/// A scheme, a canonical host and a port; no port where it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

impl Origin {
    /// Reads a serialised origin, as `Origin` carries it. `None` for `null`, for what is none, and for host names that are
    /// not in ASCII: browsers send the form of IDNA (`xn--...`).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (scheme, authority) = std::str::from_utf8(text).ok()?.split_once("://")?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(letters) {
            return None;
        }
        let host = CanonicalHost::parse(authority.as_bytes()).ok()?;
        let scheme = scheme.to_ascii_lowercase().into_boxed_str();
        let port = host.port().filter(|port| Some(*port) != own_port(&scheme));
        Some(Self { host: host.name().into(), port, scheme })
    }

    /// Whether a page of this origin is one of the server that is asked as `host`. A server that is reached over HTTPS
    /// does not count what came without it as its own; one that is reached without it may have TLS ended in front of it.
    pub fn is_of(&self, host: &CanonicalHost<'_>, over_https: bool) -> bool {
        let own = own_port(&self.scheme);
        let is_web = &*self.scheme == "https" || (&*self.scheme == "http" && !over_https);
        is_web && *self.host == *host.name() && self.port.or(own) == host.port().or(own)
    }
}

/// As browsers write it.
impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brings_spellings_of_one_origin_to_one_form() {
        for (sent, form) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("https://app.example.com:8443", "https://app.example.com:8443"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(
                Origin::parse(sent.as_bytes()).map(|origin| origin.to_string()).as_deref(),
                Some(form),
                "{sent}"
            );
        }
    }

    #[test]
    fn what_is_no_origin_is_none() {
        for sent in [
            "",
            "null",
            "NULL",
            "app.example.com",
            "//app.example.com",
            "://app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?x",
            "https://app.example.com#",
            "https://user@app.example.com",
            "https://bücher.example",
            "https://a.example, https://b.example",
            "https://a.example https://b.example",
            "https://a.example:",
            "https://a.example:99999",
            "1https://a.example",
            "ht tps://a.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(Origin::parse(sent.as_bytes()), None, "{sent}");
        }
        assert_eq!(Origin::parse(b"https://\xff"), None);
    }

    #[test]
    fn a_page_is_the_servers_own_by_host_and_port_and_never_without_the_servers_encryption() {
        for (origin, host, over_https, own) in [
            ("https://api.example.com", "api.example.com", true, true),
            ("https://api.example.com", "API.example.com.:443", true, true),
            ("https://api.example.com:8443", "api.example.com:8443", true, true),
            ("https://api.example.com", "api.example.com", false, true),
            ("http://api.example.com", "api.example.com", false, true),
            ("http://api.example.com:80", "api.example.com:80", false, true),
            ("http://api.example.com", "api.example.com", true, false),
            ("http://api.example.com:443", "api.example.com:443", true, false),
            ("https://api.example.com:8443", "api.example.com", true, false),
            ("https://api.example.com", "api.example.com:8443", true, false),
            ("https://app.example.com", "api.example.com", true, false),
            ("https://api.example.com.evil.example", "api.example.com", true, false),
            ("https://xapi.example.com", "api.example.com", true, false),
            ("ftp://api.example.com", "api.example.com", false, false),
        ] {
            let host = CanonicalHost::parse(host.as_bytes()).unwrap();
            let origin = Origin::parse(origin.as_bytes()).unwrap();
            assert_eq!(origin.is_of(&host, over_https), own, "{origin} {} {over_https}", host.name());
        }
    }
}
