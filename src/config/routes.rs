//! Which requests, and what each must be.

mod authenticate;
mod rules;

use crate::dictionary::Dictionary;

use crate::setting::Setting;
use serde_json::{Map, Value};

pub use authenticate::{Authenticate, MethodRef};
pub use rules::{Condition, DenyEntry, MAX_ROLES, Owner, Roles};

use super::headers::Cors;
use super::inspection::Class;
use super::scalar::{Count, HeaderName, HostPattern, Method, Mode, Name, PathTemplate, Verbatim};

/// One route; the first that matches decides. What it leaves out comes from `defaults`.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which requests.
    #[serde(rename = "match")]
    pub matching: Match,
    /// Who may call. Default: as in `defaults`.
    #[serde(default)]
    pub authenticate: Option<Authenticate>,
    /// Any of these must hold. Default: as in `defaults`.
    #[serde(default)]
    pub allow: Option<Vec<Condition>>,
    /// None of these may hold. Default: as in `defaults`.
    #[serde(default)]
    pub deny: Option<Vec<DenyEntry>>,
    /// Entries of `limits`. Default: as in `defaults`.
    #[serde(default)]
    pub limits: Option<Vec<Name>>,
    /// What the request's body must be and what is made of it.
    #[serde(default)]
    pub body: Option<Body>,
    /// What is made of the response.
    #[serde(default)]
    pub response: Option<Response>,
    /// What the inspection leaves out.
    #[serde(default)]
    pub inspection: Option<RouteInspection>,
    /// Cross-origin requests, in place of `headers.cors`.
    #[serde(default)]
    pub cors: Option<Cors>,
    /// What happens to refused requests. Default: as in `defaults`.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The share of requests that is enforced; the rest is in monitor mode. Default: 100.
    #[serde(default = "all")]
    pub enforce_percent: Percent,
}

/// A share in whole percent.
pub type Percent = Count<0, 100>;

/// What every route inherits.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Defaults {
    /// Who may call.
    pub authenticate: Option<Authenticate>,
    /// Any of these must hold.
    pub allow: Option<Vec<Condition>>,
    /// None of these may hold.
    pub deny: Option<Vec<DenyEntry>>,
    /// Entries of `limits`.
    pub limits: Option<Vec<Name>>,
    /// What happens to refused requests. Default: the top-level mode.
    pub mode: Option<Mode>,
}

/// Which requests; all that is said must fit.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Match {
    /// The path. Default: any.
    pub path: Option<PathTemplate>,
    /// Any of these hosts. Default: any.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub hosts: Vec<HostPattern>,
    /// Any of these methods. Default: any.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub methods: Vec<Method>,
    /// Headers with exactly these values. Default: any.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub headers: Dictionary<HeaderName, Verbatim>,
}

/// What the request's body must be and what is made of it.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Body {
    /// A JSON Schema (draft 2020-12).
    pub schema: Option<Map<String, Value>>,
    /// Fields that keep only harmless HTML.
    pub sanitize_html: Option<SanitizeHtml>,
    /// Fields that are encrypted.
    pub encrypt: Vec<String>,
    /// Whether the whole body is encrypted. Default: false.
    pub encrypt_whole: bool,
}

/// Fields that keep only harmless HTML.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SanitizeHtml {
    /// The fields.
    pub fields: Vec<String>,
    /// The tags that stay, without attributes. Default: p br strong em ul ol li.
    #[serde(default = "harmless_tags")]
    pub tags: Vec<String>,
}

/// What is made of the response.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Response {
    /// Which fields go out.
    pub fields: Option<Fields>,
    /// Fields that are decrypted.
    pub decrypt: Vec<String>,
    /// Whether the whole body is decrypted. Default: false.
    pub decrypt_whole: bool,
    /// Whose the object must be.
    pub owner: Option<ResponseOwner>,
}

/// Which fields of a response go out; `*` stands for every element or member.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Fields {
    /// Never, for anyone.
    pub deny: Vec<String>,
    /// Only these. Default: all but the denied.
    pub allow: Option<Vec<String>>,
    /// Who gets all but the denied.
    pub allow_all: Option<Roles>,
}

/// Whose the object of a response must be: the field says so.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResponseOwner {
    /// The field of the object.
    pub field: String,
    /// The claim that must equal it.
    pub claim: String,
    /// Who need not own it.
    #[serde(default)]
    pub unless: Option<Roles>,
}

/// What the inspection does otherwise on this route.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct RouteInspection {
    /// What happens to a finding.
    pub mode: Option<Mode>,
    /// What is left out.
    pub exclude: Vec<Exclusion>,
}

/// What is left out of the inspection; all that is said must fit.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Exclusion {
    /// This parameter. Default: any.
    pub parameter: Option<Verbatim>,
    /// These classes. Default: any.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub classes: Vec<Class>,
    /// This rule. Default: any.
    pub rule: Option<Name>,
}

fn all() -> Percent {
    Count(100)
}

fn harmless_tags() -> Vec<String> {
    ["p", "br", "strong", "em", "ul", "ol", "li"].map(str::to_owned).to_vec()
}
