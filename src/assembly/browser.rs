//! What browsers need to hear, compiled.

use super::Findings;
use crate::checks::browser::{Cors, SecurityHeaders};
use crate::config::{self, HeaderName, Method, Security, Verdict};

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
        origins: cors.origins.clone(),
        methods: methods.join(", "),
        headers: headers.join(", "),
        credentials,
        max_age: cors.max_age.map(|age| age.0.as_secs()),
    }
}
