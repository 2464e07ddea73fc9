//! What browsers need to hear: HTTPS only, security headers (OWASP Secure Headers Project), CORS (WHATWG Fetch).
//!
//! These come before authentication, so that a preflight is answered and denials are readable by the page.

pub mod cookies;
pub mod csrf;

use crate::check::{Check, Env, Step};
use crate::denial::{Denial, HeaderLine, LocalReply, fixed, made};
use crate::exchange::Exchange;
use crate::head::Head;

/// Sends plain HTTP to HTTPS. The scheme is Envoy's word: from the connection, or from a trusted `X-Forwarded-Proto`.
#[derive(Debug)]
pub struct HttpsOnly;

impl Check for HttpsOnly {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if is_https(&exchange.head) {
            return Step::Pass;
        }
        let location = format!("https://{}{}", exchange.target.host, exchange.target.path_and_query());
        Step::Deny(Denial::HttpsRequired { location })
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

/// The request came over HTTPS, says the proxy.
fn is_https(head: &Head) -> bool {
    let forwarded = head.first("x-forwarded-proto").or_else(|| head.scheme());
    forwarded.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

/// How much the response tells a browser to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityHeaders {
    /// What suits every site.
    Basic,
    /// What suits an API, which no page frames and whose answers no browser renders.
    Strict,
}

const BASIC: &[HeaderLine] = &[
    fixed("x-content-type-options", "nosniff"),
    fixed("x-frame-options", "SAMEORIGIN"),
    fixed("referrer-policy", "strict-origin-when-cross-origin"),
];

const STRICT: &[HeaderLine] = &[
    fixed("x-content-type-options", "nosniff"),
    fixed("x-frame-options", "DENY"),
    fixed("referrer-policy", "no-referrer"),
    fixed("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    fixed("cross-origin-opener-policy", "same-origin"),
];

const HSTS: HeaderLine = fixed("strict-transport-security", "max-age=31536000; includeSubDomains");

impl Check for SecurityHeaders {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let headers = match self {
            Self::Basic => BASIC,
            Self::Strict => STRICT,
        };
        exchange.response_headers.extend_from_slice(headers);
        // RFC 6797 section 7.2: not over plain HTTP.
        if is_https(&exchange.head) {
            exchange.response_headers.push(HSTS);
        }
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

/// Cross-origin requests: which pages may read which answers.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Origins that may, as serialised by browsers, lower-case; `*` for all.
    pub origins: Vec<String>,
    /// `Access-Control-Allow-Methods`.
    pub methods: String,
    /// `Access-Control-Allow-Headers`.
    pub headers: String,
    /// Whether cookies and `Authorization` of the browser may come along; never with `*`.
    pub credentials: bool,
    /// Seconds for which a browser keeps the answer to a preflight; `None`: its own default.
    pub max_age: Option<u64>,
}

impl Cors {
    fn allowed<'a>(&self, origin: &'a [u8]) -> Option<&'a str> {
        let origin = std::str::from_utf8(origin).ok()?;
        let listed = self.origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin));
        listed.then_some(origin)
    }

    fn preflight(&self, origin: Option<String>) -> LocalReply {
        let mut headers = Vec::new();
        if origin.is_some() {
            headers.push(made("access-control-allow-methods", self.methods.clone()));
            if let Some(seconds) = self.max_age {
                headers.push(made("access-control-max-age", seconds.to_string()));
            }
            if !self.headers.is_empty() {
                headers.push(made("access-control-allow-headers", self.headers.clone()));
            }
        }
        LocalReply { status: 204, headers, body: String::new(), grpc_status: 0, details: "cors_preflight" }
    }
}

impl Check for Cors {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        // The answer differs by origin: a cache must know, whether or not this request has one.
        exchange.response_headers.push(fixed("vary", "Origin"));
        let Some(origin) = exchange.head.first("origin") else { return Step::Pass };
        // Who may read the answer is decided here alone: what the upstream says would add to it.
        exchange.withheld_headers.extend(["access-control-allow-origin", "access-control-allow-credentials"]);
        let origin = self.allowed(origin).map(str::to_owned);
        if let Some(origin) = &origin {
            exchange.response_headers.push(made("access-control-allow-origin", origin.clone()));
            if self.credentials {
                exchange.response_headers.push(fixed("access-control-allow-credentials", "true"));
            }
        }
        if preflight_method(&exchange.head).is_some() { Step::Answer(self.preflight(origin)) } else { Step::Pass }
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

/// The method that a CORS preflight asks about; `None` for any other request.
pub fn preflight_method(head: &Head) -> Option<&[u8]> {
    let asked = head.first("access-control-request-method")?;
    (head.method() == Some(b"OPTIONS") && head.contains("origin")).then_some(asked)
}

/// Headers of a response whose values add up with the upstream's instead of replacing them.
pub fn adds_up(name: &str) -> bool {
    name == "vary"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_is_options_with_an_origin_and_the_method_asked_about() {
        let method =
            |pairs: &[(&str, &str)]| preflight_method(&Head::from_pairs(pairs.iter().copied())).map(<[u8]>::to_vec);
        let whole = [(":method", "OPTIONS"), ("origin", "https://a.example"), ("access-control-request-method", "PUT")];
        assert_eq!(method(&whole).as_deref(), Some(&b"PUT"[..]));
        for missing in 0..3 {
            let mut rest = whole.to_vec();
            rest.remove(missing);
            assert_eq!(method(&rest), None, "{missing}");
        }
    }

    #[test]
    fn only_a_listed_origin_is_allowed_as_it_was_sent() {
        let cors = |origins: &[&str]| Cors {
            origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            methods: String::new(),
            headers: String::new(),
            credentials: false,
            max_age: None,
        };
        let named = cors(&["https://app.example.com"]);
        assert_eq!(named.allowed(b"https://APP.example.com"), Some("https://APP.example.com"));
        for other in
            ["http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil", "null", ""]
        {
            assert_eq!(named.allowed(other.as_bytes()), None, "{other}");
        }
        assert_eq!(cors(&["*"]).allowed(b"null"), Some("null"));
        assert_eq!(cors(&["*"]).allowed(b"\xff"), None);
    }
}
