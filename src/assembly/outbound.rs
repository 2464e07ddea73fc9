//! The signing of requests that leave.

use std::rc::Rc;

use super::Findings;
use super::secrets::Secrets;
use portcullis::checks::sign::{Form, SignRequests};
use portcullis_config::{Config, SignatureVersion};

/// What signs every request; `None` where nothing is to be signed.
pub(super) fn compile(config: &Config, secrets: &Secrets, findings: &mut Findings) -> Option<Rc<SignRequests>> {
    let sign = &config.outbound.as_ref()?.sign;
    let authentication = &config.authentication;
    if !authentication.jwt.is_empty() || !authentication.oauth2.is_empty() || authentication.service.is_some() {
        findings.warning(
            "outbound",
            "signs every request that passes, those of anonymous clients too: what authenticates callers belongs to \
             the listener where requests arrive, and this to a configuration for the one where they leave",
        );
    }
    // What has no slot was reported.
    let token = secrets.slot(&sign.token)?;
    let key = secrets.slot(sign.keys.first()?)?;
    token.require(|token| token.as_header_text().is_some());
    if token.current().is_some_and(|token| token.as_header_text().is_none()) {
        findings.error("outbound.sign.token", "expected visible ASCII only, without spaces or line ends");
    }
    let limit = usize::try_from(config.inspection.body_limit.0).unwrap_or(usize::MAX);
    let form = match sign.signature {
        SignatureVersion::V1 => Form::V1,
        SignatureVersion::V2 => Form::V2 { limit },
    };
    Some(Rc::new(SignRequests::new(Rc::from(sign.service.as_str()), token, key, form)))
}
