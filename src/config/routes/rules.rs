//! Who may, and who may not.

use crate::dictionary::Dictionary;

use crate::setting::Setting;

use crate::claim::ClaimValue;
use crate::scalar::{Name, Network};

/// The most roles that one configuration may name.
pub const MAX_ROLES: usize = 128;

/// Conditions on one request; all that are said must hold, and at least one is said.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Condition {
    /// The caller has any of these roles.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub roles: Vec<String>,
    /// The caller has all of these scopes.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub scopes: Vec<String>,
    /// The caller's claims have these values.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub claims: Dictionary<String, ClaimValue>,
    /// The peer (`spiffe://...`) or the caller (`service:NAME`) is any of these; a final `*` stands for any ending.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub principals: Vec<String>,
    /// The client's address is in any of these networks.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub client_ip: Vec<Network>,
    /// The caller owns what the path names.
    pub owner: Option<Owner>,
}

/// Conditions that refuse, unless others hold.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct DenyEntry {
    /// The caller has any of these roles.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub roles: Vec<String>,
    /// The caller has all of these scopes.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub scopes: Vec<String>,
    /// The caller's claims have these values.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub claims: Dictionary<String, ClaimValue>,
    /// The peer or the caller is any of these.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub principals: Vec<String>,
    /// The client's address is in any of these networks.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub client_ip: Vec<Network>,
    /// The caller owns what the path names.
    pub owner: Option<Owner>,
    /// Who is not refused after all.
    pub except: Option<Condition>,
}

/// A parameter of the path equals a claim.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The parameter of the path template.
    pub path: Name,
    /// The claim.
    pub claim: String,
}

/// Any of these roles.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The roles.
    pub roles: Vec<String>,
}
