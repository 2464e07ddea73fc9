//! AWS Secrets Manager: the action `GetSecretValue` of its JSON protocol (API reference 2017-10-17).
//!
//! A secret is a text (`SecretString`), often JSON, or bytes (`SecretBinary`, base64). Errors are 400 with `__type`.

use std::rc::Rc;

use serde_json::json;

use super::sigv4::{Credentials, Signing};
use super::source::{Fault, decoded, http, text_at, value_of};
use super::value::SecretValue;
use crate::check::Callout;
use crate::media::json::written;
use crate::time::Timestamp;

/// One secret, or one field of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretsManager {
    /// The Envoy cluster of the endpoint.
    pub cluster: Rc<str>,
    /// The region.
    pub region: Box<str>,
    /// The name or ARN.
    pub secret_id: Box<str>,
    /// The field, where the secret is a JSON object.
    pub field: Option<Box<str>>,
    /// Who asks.
    pub credentials: Credentials,
}

impl SecretsManager {
    pub(super) fn request(&self, now: Timestamp) -> Callout {
        let body = written(&json!({ "SecretId": self.secret_id })).into_bytes();
        let host = self.host();
        let mut signed = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("host", host.clone()),
            ("x-amz-target", "secretsmanager.GetSecretValue".to_owned()),
        ];
        let signing =
            Signing { method: "POST", path: "/", query: "", region: &self.region, service: "secretsmanager", now };
        let added = signing.sign(&signed, &body, &self.credentials);
        signed.extend(added);
        let pseudo = [(":method", "POST"), (":path", "/"), (":authority", &host), (":scheme", "https")];
        let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let fields = signed.into_iter().filter(|(name, _)| *name != "host");
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        http(&self.cluster, pseudo.into_iter().chain(fields).collect(), body)
    }

    fn host(&self) -> String {
        let china = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("secretsmanager.{}.amazonaws.com{china}", self.region)
    }

    pub(super) fn read(&self, status: u16, body: &[u8]) -> Result<SecretValue, Fault> {
        match status {
            200 => {}
            400 => return Err(refusal(body)),
            _ => return Err(Fault::of_status(status)),
        }
        match (text_at(body, &["SecretString"]), &self.field) {
            (Ok(text), None) => value_of(text),
            (Ok(text), Some(field)) => value_of(text_at(text.as_bytes(), &[field])?),
            (Err(Fault::NotFound), None) => decoded(&text_at(body, &["SecretBinary"])?),
            (Err(fault), _) => Err(fault),
        }
    }
}

/// What an error's `__type`, with or without a namespace before it, means.
fn refusal(body: &[u8]) -> Fault {
    let Ok(kind) = text_at(body, &["__type"]) else { return Fault::Malformed };
    match kind.rsplit('#').next().unwrap_or_default() {
        "ResourceNotFoundException" => Fault::NotFound,
        // Marked for deletion, or without a current version.
        "InvalidRequestException" => Fault::NotFound,
        "AccessDeniedException"
        | "DecryptionFailure"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Fault::Denied,
        _ => Fault::Unreachable,
    }
}
