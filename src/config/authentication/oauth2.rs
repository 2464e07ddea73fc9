//! Providers of opaque tokens: introspection (RFC 7662) or userinfo (OpenID Connect Core, section 5.3).

use crate::setting::Setting;

use crate::scalar::{DurationText, Verdict};
use crate::secrets::SecretRef;

/// One provider of opaque tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct OpaqueProvider {
    /// Whom to ask about a token.
    pub source: OpaqueSource,
    /// What its tokens start with; two providers need one to tell their tokens apart.
    pub token_prefix: Option<String>,
    /// Which members of the answer mean what.
    pub claims: OpaqueClaims,
    /// How long an answer is kept, never past the token's end. Default: 60s.
    pub cache: DurationText,
    /// What happens when the provider cannot be asked. Default: deny.
    pub on_error: Verdict,
}

/// Whom to ask about a token.
#[derive(Clone, Debug, PartialEq)]
pub enum OpaqueSource {
    /// RFC 7662.
    Introspection(Introspection),
    /// A 200 means that the token is valid.
    Userinfo(Userinfo),
}

/// Token introspection with client credentials.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// The Envoy cluster of the provider.
    pub cluster: String,
    /// The address of the endpoint.
    pub uri: String,
    /// How long one question may take. Default: 5s.
    #[serde(default = "five_seconds")]
    pub timeout: DurationText,
    /// Our name at the provider.
    pub client_id: String,
    /// Our secret at the provider.
    pub client_secret: SecretRef,
}

/// The userinfo endpoint.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Userinfo {
    /// The Envoy cluster of the provider.
    pub cluster: String,
    /// The address of the endpoint.
    pub uri: String,
    /// How long one question may take. Default: 10s.
    #[serde(default = "ten_seconds")]
    pub timeout: DurationText,
}

/// The members of an answer with a meaning.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct OpaqueClaims {
    /// Who the caller is. Default: sub.
    pub subject: String,
    /// The caller's readable name. Default: unmapped.
    pub username: Option<String>,
    /// Roles. Default: unmapped.
    pub roles: Option<String>,
    /// Scopes. Default: unmapped.
    pub scopes: Option<String>,
}

impl Default for OpaqueClaims {
    fn default() -> Self {
        Self { subject: "sub".to_owned(), username: None, roles: None, scopes: None }
    }
}

/// One provider of opaque tokens: exactly one of introspection, userinfo.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = one_of())))]
struct OpaqueFields {
    /// RFC 7662.
    introspection: Option<Introspection>,
    /// OpenID Connect Core, section 5.3.
    userinfo: Option<Userinfo>,
    /// What its tokens start with; two providers need one to tell their tokens apart.
    token_prefix: Option<String>,
    /// Which members of the answer mean what.
    claims: OpaqueClaims,
    /// How long an answer is kept, never past the token's end. Default: 60s.
    cache: Option<DurationText>,
    /// What happens when the provider cannot be asked. Default: deny.
    on_error: Verdict,
}

#[cfg(feature = "schema")]
fn one_of() -> serde_json::Value {
    crate::exactly_one(&["introspection", "userinfo"])
}

crate::made_of!(OpaqueProvider is OpaqueFields);

impl TryFrom<OpaqueFields> for OpaqueProvider {
    type Error = &'static str;

    fn try_from(fields: OpaqueFields) -> Result<Self, Self::Error> {
        let sources =
            [fields.introspection.map(OpaqueSource::Introspection), fields.userinfo.map(OpaqueSource::Userinfo)];
        Ok(Self {
            source: crate::only(sources).ok_or("expected exactly one of introspection, userinfo")?,
            token_prefix: fields.token_prefix,
            claims: fields.claims,
            cache: fields.cache.unwrap_or(DurationText::seconds(60)),
            on_error: fields.on_error,
        })
    }
}

fn five_seconds() -> DurationText {
    DurationText::seconds(5)
}

fn ten_seconds() -> DurationText {
    DurationText::seconds(10)
}
