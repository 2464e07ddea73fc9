//! Keys that stand for a caller.

use crate::dictionary::Dictionary;

use crate::setting::Setting;

use super::Place;
use crate::scalar::{HeaderName, Name};

/// API keys and where they are looked for.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKeys {
    /// Where the key is. Default: the header x-api-key.
    #[serde(default = "api_key_header")]
    pub from: Vec<Place>,
    /// The callers, by name.
    pub keys: Dictionary<Name, ApiKey>,
}

/// One caller's key.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The entry of `secrets` that holds the key.
    pub secret: Name,
    /// What the caller may. Default: no role.
    #[serde(default)]
    pub roles: Vec<String>,
}

fn api_key_header() -> Vec<Place> {
    vec![Place::Header { name: HeaderName::known("x-api-key"), prefix: String::new() }]
}
