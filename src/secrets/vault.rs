//! HashiCorp Vault, KV secrets engine version 2: `GET /v1/MOUNT/data/PATH` (HTTP API, "Read secret version").
//!
//! The values stand under `data.data`. A deleted version is answered with 404 and `data.data: null`; errors are
//! `{"errors": [...]}` with 403, 404 or 5xx.

use std::rc::Rc;

use super::source::{Fault, authority, encoded, http, text_at, value_of};
use super::value::SecretValue;
use crate::check::Callout;

/// One field of one secret.
#[derive(Clone, Debug, PartialEq)]
pub struct VaultKv {
    /// The Envoy cluster of the server.
    pub cluster: Rc<str>,
    /// Below `/v1/`.
    pub path: Box<str>,
    /// The field.
    pub field: Box<str>,
    /// The token to read it with.
    pub token: SecretValue,
}

impl VaultKv {
    pub(super) fn request(&self) -> Callout {
        let segments = self.path.split('/').filter(|segment| !segment.is_empty());
        let token = self.token.as_header_text().unwrap_or_default();
        let headers = [
            (":method", "GET"),
            (":path", &encoded(std::iter::once("v1").chain(segments))),
            (":authority", authority(&self.cluster)),
            (":scheme", "https"),
            ("accept", "application/json"),
            // An agent in between may refuse requests without it, as forged by way of a browser or a server.
            ("x-vault-request", "true"),
            ("x-vault-token", token),
        ];
        http(&self.cluster, headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), Vec::new())
    }

    pub(super) fn read(&self, status: u16, body: &[u8]) -> Result<SecretValue, Fault> {
        if status != 200 {
            return Err(Fault::of_status(status));
        }
        value_of(text_at(body, &["data", "data", &self.field])?)
    }
}
