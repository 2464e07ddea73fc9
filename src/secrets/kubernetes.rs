//! The Kubernetes API: `GET /api/v1/namespaces/NAMESPACE/secrets/NAME` (v1 `Secret`, whose `data` is base64).

use std::rc::Rc;

use zeroize::Zeroizing;

use super::source::{Fault, decoded, encoded, http, text_at};
use super::value::SecretValue;
use crate::check::Callout;

/// The name by which the API server's certificate knows it within the cluster.
const AUTHORITY: &str = "kubernetes.default.svc";

/// One key of one secret.
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesSecret {
    /// The Envoy cluster of the API server.
    pub cluster: Rc<str>,
    /// The namespace.
    pub namespace: Box<str>,
    /// The name of the secret.
    pub name: Box<str>,
    /// The key within it.
    pub field: Box<str>,
    /// The token of a service account that may `get` it.
    pub token: SecretValue,
}

impl KubernetesSecret {
    pub(super) fn request(&self) -> Callout {
        let path = ["api", "v1", "namespaces", &self.namespace, "secrets", &self.name];
        let token = self.token.as_header_text().unwrap_or_default();
        let authorization = Zeroizing::new(["Bearer ", token].concat());
        let headers = [
            (":method", "GET"),
            (":path", &encoded(path.into_iter())),
            (":authority", AUTHORITY),
            (":scheme", "https"),
            ("accept", "application/json"),
            ("authorization", &authorization),
        ];
        http(&self.cluster, headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), Vec::new())
    }

    pub(super) fn read(&self, status: u16, body: &[u8]) -> Result<SecretValue, Fault> {
        if status != 200 {
            return Err(Fault::of_status(status));
        }
        if text_at(body, &["kind"])?.as_str() != "Secret" {
            return Err(Fault::Malformed);
        }
        decoded(&text_at(body, &["data", &self.field])?)
    }
}
