//! Whose word about the client's address counts.

use crate::setting::Setting;

use super::scalar::Network;

/// How the client's address is found behind other proxies.
#[derive(Default, Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ClientIp {
    /// X-Forwarded-For is walked from the right and stops at the first address not in here. Default: none.
    pub trusted_proxies: Vec<Network>,
}
