//! What browsers need to hear, compiled.

use super::Findings;
use portcullis::canonical::origin::Origin;
use portcullis::checks::browser::cookies::CookieAttributes;
use portcullis::checks::browser::csrf::FromOurPages;
use portcullis::checks::browser::{Cors, SecurityHeaders};
use portcullis_config::{self as config, Config, HeaderName, Method, Security, Verdict};

pub(super) fn security(security: Security) -> Option<SecurityHeaders> {
    match security {
        Security::Off => None,
        Security::Basic => Some(SecurityHeaders::Basic),
        Security::Strict => Some(SecurityHeaders::Strict),
    }
}

pub(super) fn cors(cors: &config::Cors, path: &str, findings: &mut Findings) -> Cors {
    let credentials = cors.credentials == Verdict::Allow;
    if credentials && cors.origins.iter().any(|origin| origin == "*") {
        findings.error(format!("{path}.credentials"), "expected deny, or origins by name: credentials never go to *");
    }
    let methods: Vec<&str> = cors.methods.iter().map(Method::as_str).collect();
    let headers: Vec<&str> = cors.headers.iter().map(HeaderName::as_str).collect();
    Cors {
        origins: cors.origins.iter().map(|origin| as_sent(origin)).collect(),
        methods: methods.join(", "),
        headers: headers.join(", "),
        credentials,
        max_age: cors.max_age.map(|age| age.0.as_secs()),
    }
}

/// An origin as browsers write it; `*` stays.
fn as_sent(origin: &str) -> String {
    Origin::parse(origin.as_bytes()).map_or_else(|| origin.to_owned(), |origin| origin.to_string())
}

/// Who may send a route's requests whose credential is a cookie. Where nothing is said of it, a page that may read such
/// answers (CORS with credentials) may, and clients that are no browsers.
pub(super) fn from_our_pages(config: &Config, route: Option<&config::Route>) -> FromOurPages {
    let named = |origins: &[String]| origins.iter().filter_map(|origin| Origin::parse(origin.as_bytes())).collect();
    if let Some(csrf) = &config.headers.csrf {
        return FromOurPages { trusted: named(&csrf.origins), unproven: Verdict::Deny };
    }
    let cors = route.and_then(|route| route.cors.as_ref()).or(config.headers.cors.as_ref());
    let readers = cors.filter(|cors| cors.credentials == Verdict::Allow);
    FromOurPages { trusted: readers.map(|cors| named(&cors.origins)).unwrap_or_default(), unproven: Verdict::Allow }
}

pub(super) fn cookies(config: &Config) -> Option<CookieAttributes> {
    let config::Cookies { secure, http_only, same_site } = config.headers.cookies.clone()?;
    Some(CookieAttributes { secure, http_only, same_site })
}
