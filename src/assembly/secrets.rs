//! Secrets by name, from where the configuration says.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Findings, Surroundings};
use crate::config::{Config, SecretRef, SecretSource};

/// Secret values by name; wiped when dropped.
pub(super) struct Secrets(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Secrets {
    /// The value of a reference; `None` where it has none, which was reported.
    pub(super) fn value(&self, reference: &SecretRef) -> Option<&[u8]> {
        self.0.get(reference.secret.as_str()).map(|value| value.as_slice())
    }
}

pub(super) fn resolve(config: &Config, surroundings: &Surroundings<'_>, findings: &mut Findings) -> Secrets {
    let mut values = BTreeMap::new();
    for (name, secret) in &config.secrets {
        let path = format!("secrets.{}", name.as_str());
        let value = match &secret.source {
            SecretSource::Env(variable) => (surroundings.variable)(variable).map(String::into_bytes),
            SecretSource::Inline(value) => Some(value.reveal().as_bytes().to_vec()),
            _ => None,
        };
        match (value, &secret.source) {
            (Some(value), _) if !value.is_empty() => {
                values.insert(name.as_str().to_owned(), Zeroizing::new(value));
            }
            (_, SecretSource::Env(variable)) => {
                findings.error(format!("{path}.env"), format!("expected {variable} to be set and not empty"));
            }
            (_, SecretSource::Inline(_)) => findings.error(format!("{path}.inline"), "expected a value"),
            // Refused before as not supported.
            _ => {}
        }
    }
    Secrets(values)
}
