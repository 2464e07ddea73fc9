//! How paths are read.

use crate::setting::Setting;

use super::Verdict;

/// What the path of a request may hold.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// What happens to a path with `;name=value` parameters. Allowed, rules compare its segments without them. Default:
    /// deny.
    pub parameters: Verdict,
}

impl Default for Paths {
    fn default() -> Self {
        Self { parameters: Verdict::Deny }
    }
}
