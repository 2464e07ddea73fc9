//! Keys of encrypted fields and files (Fernet).

use crate::setting::Setting;

use super::secrets::SecretRef;

/// The keys of encrypted fields.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// The first encrypts, all decrypt.
    pub keys: Vec<SecretRef>,
}
