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
    /// Whether the paths of routes mean a request's path in any case of ASCII letters. For services that read paths so. Default:
    /// exact.
    pub case: Case,
}

/// How rules compare the letters of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// `/admin` is not `/Admin`.
    Exact,
    /// It is.
    Ignore,
}

impl Default for Paths {
    fn default() -> Self {
        Self { parameters: Verdict::Deny, case: Case::Exact }
    }
}
