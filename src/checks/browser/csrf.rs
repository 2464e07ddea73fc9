//! Cross-site request forgery (W3C Fetch Metadata, `Origin` of RFC 6454): a browser adds cookies to whatever request any
//! page makes it send, so a cookie alone does not say that the page was ours.
//!
//! Only what may change something is looked at: methods that are not safe (RFC 9110 section 9.2.1), and handshakes that
//! open a stream, such as WebSocket's, which no preflight precedes. A credential that a page would have to know, in a
//! header or in the query, is proof enough; beside one in a cookie, only in a header: the one in the query may be the page's.

use crate::canonical::host::CanonicalHost;
use crate::canonical::origin::Origin;
use crate::check::{Check, Env, Step};
use crate::checks::browser::is_https;
use crate::config::Verdict;
use crate::denial::{CrossSite, Denial};
use crate::exchange::{Exchange, ShownBy};
use crate::head::Head;

/// Requests with a cookie as their credential must come from our own pages or from those of trusted origins.
#[derive(Debug)]
pub struct FromOurPages {
    /// Origins beside the request's own.
    pub trusted: Vec<Origin>,
    /// What is done with a request that says nothing of where it comes from.
    pub unproven: Verdict,
}

/// What the browser says of page and server (`Sec-Fetch-Site`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// The page is the server's own, or there is none: a person typed the address.
    Own,
    /// Anything else, and words that are not known.
    Other,
    /// Nothing.
    Unsaid,
}

/// Whose page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Own,
    Trusted,
    Other,
    /// `null`: a page without an origin, or one that hides it.
    Hidden,
    Unsaid,
}

impl Check for FromOurPages {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if exchange.shown_by != ShownBy::Browser || !may_change(&exchange.head) {
            return Step::Pass;
        }
        match self.judge(&exchange.head) {
            Ok(()) => Step::Pass,
            Err(CrossSite::Unproven) if self.unproven == Verdict::Allow => Step::Pass,
            Err(why) => Step::Deny(Denial::CrossSite(why)),
        }
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

impl FromOurPages {
    /// Both words must agree: what one of them calls foreign is foreign, unless the page is trusted by name.
    fn judge(&self, head: &Head) -> Result<(), CrossSite> {
        match (site(head), self.page(head)) {
            (_, Page::Trusted) => Ok(()),
            (_, Page::Other) => Err(CrossSite::Origin),
            (Site::Other, _) => Err(CrossSite::Site),
            // Pages under `Referrer-Policy: no-referrer` hide their origin from themselves as well.
            (Site::Own, Page::Own | Page::Hidden | Page::Unsaid) | (Site::Unsaid, Page::Own) => Ok(()),
            (Site::Unsaid, Page::Hidden) => Err(CrossSite::Origin),
            (Site::Unsaid, Page::Unsaid) => Err(CrossSite::Unproven),
        }
    }

    /// `Origin` came once at most: two are refused with the head.
    fn page(&self, head: &Head) -> Page {
        let Some(sent) = head.first("origin") else { return Page::Unsaid };
        if sent == b"null" {
            return Page::Hidden;
        }
        let (Some(origin), Ok(host)) = (Origin::parse(sent), CanonicalHost::of(head)) else { return Page::Other };
        if self.trusted.contains(&origin) {
            return Page::Trusted;
        }
        if origin.is_of(&host, is_https(head)) { Page::Own } else { Page::Other }
    }
}

fn site(head: &Head) -> Site {
    let mut said = head.all("sec-fetch-site").peekable();
    if said.peek().is_none() {
        return Site::Unsaid;
    }
    if said.all(|word| matches!(word, b"same-origin" | b"none")) { Site::Own } else { Site::Other }
}

/// Whatever is not known to be safe may change something.
fn may_change(head: &Head) -> bool {
    let is_safe = matches!(head.method(), Some(b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE"));
    !is_safe || head.contains("upgrade") || head.contains(":protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://api.example.com";
    const APP: &str = "https://app.example.com";

    fn judged(headers: &[(&str, &str)]) -> Result<(), CrossSite> {
        let head = [(":method", "POST"), (":scheme", "https"), (":authority", "api.example.com")];
        let trusted = vec![Origin::parse(APP.as_bytes()).unwrap()];
        let check = FromOurPages { trusted, unproven: Verdict::Deny };
        check.judge(&Head::from_pairs(head.iter().chain(headers).copied()))
    }

    #[test]
    fn every_word_of_site_with_every_kind_of_origin() {
        use CrossSite::{Origin, Site, Unproven};
        let other = "https://evil.example";
        for (site, origin, expected) in [
            (None, None, Err(Unproven)),
            (None, Some(OWN), Ok(())),
            (None, Some(APP), Ok(())),
            (None, Some("null"), Err(Origin)),
            (None, Some(other), Err(Origin)),
            (None, Some(""), Err(Origin)),
            (Some("same-origin"), None, Ok(())),
            (Some("same-origin"), Some(OWN), Ok(())),
            (Some("same-origin"), Some("null"), Ok(())),
            (Some("same-origin"), Some(other), Err(Origin)),
            (Some("none"), None, Ok(())),
            (Some("none"), Some("null"), Ok(())),
            (Some("none"), Some(other), Err(Origin)),
            (Some("same-site"), None, Err(Site)),
            (Some("same-site"), Some(OWN), Err(Site)),
            (Some("same-site"), Some("https://www.example.com"), Err(Origin)),
            (Some("same-site"), Some(APP), Ok(())),
            (Some("cross-site"), None, Err(Site)),
            (Some("cross-site"), Some(OWN), Err(Site)),
            (Some("cross-site"), Some("null"), Err(Site)),
            (Some("cross-site"), Some(other), Err(Origin)),
            (Some("cross-site"), Some(APP), Ok(())),
            (Some("Same-Origin"), Some("null"), Err(Site)),
            (Some("same-origin "), None, Err(Site)),
            (Some(""), None, Err(Site)),
            (Some("same-origin, cross-site"), None, Err(Site)),
        ] {
            let headers = [site.map(|site| ("sec-fetch-site", site)), origin.map(|origin| ("origin", origin))];
            let headers: Vec<_> = headers.into_iter().flatten().collect();
            assert_eq!(judged(&headers), expected, "{site:?} {origin:?}");
        }
        let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged(&twice), Err(Site));
    }

    #[test]
    fn an_origin_is_ours_or_trusted_only_as_a_whole() {
        for (origin, ours) in [
            ("https://API.Example.com", true),
            ("https://api.example.com:443", true),
            ("https://APP.example.com:443", true),
            ("https://api.example.com:8443", false),
            ("http://api.example.com", false),
            ("http://app.example.com", false),
            ("https://app.example.com:444", false),
            ("https://app.example.com.evil.example", false),
            ("https://app.example.com@evil.example", false),
            ("https://evil.example/https://app.example.com", false),
            ("https://app.example.com https://evil.example", false),
            ("https://bücher.example", false),
            ("NULL", false),
        ] {
            assert_eq!(judged(&[("origin", origin)]).is_ok(), ours, "{origin}");
        }
    }

    #[test]
    fn what_may_change_something_is_every_method_but_the_safe_ones_and_every_handshake() {
        let changes = |pairs: &[(&str, &str)]| may_change(&Head::from_pairs(pairs.iter().copied()));
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(!changes(&[(":method", method)]), "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", ""] {
            assert!(changes(&[(":method", method)]), "{method}");
        }
        assert!(changes(&[(":method", "GET"), ("upgrade", "websocket")]));
        assert!(changes(&[(":method", "GET"), (":protocol", "websocket")]));
        assert!(changes(&[]));
    }
}
