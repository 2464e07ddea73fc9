//! Keys of encrypted fields and files (Fernet).

use serde::Deserialize;

use super::secrets::SecretRef;

/// The keys of encrypted fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The first encrypts, all decrypt.
    pub keys: Vec<SecretRef>,
}
