//! Providers of JSON Web Tokens (RFC 7519) and their keys (RFC 7517).

use crate::dictionary::Dictionary;

use crate::setting::Setting;
use serde_json::{Map, Value};

use super::Place;
use crate::scalar::{DurationText, HeaderName, Verdict};
use crate::secrets::SecretRef;

/// One issuer and how its tokens are verified.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JwtProvider {
    /// `iss`; a provider without one takes the tokens that carry none.
    #[serde(default)]
    pub issuer: Option<String>,
    /// `aud` must hold one of these. Default: not looked at.
    #[serde(default)]
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub audiences: Vec<String>,
    /// The only algorithms accepted, whatever the token says.
    pub algorithms: Vec<Algorithm>,
    /// Shared secrets for HS*; any of them verifies.
    #[serde(default)]
    pub keys: Vec<SecretRef>,
    /// Public keys.
    #[serde(default)]
    pub jwks: Option<Jwks>,
    /// Where the token is. Default: the Authorization header after `Bearer `.
    #[serde(default = "bearer")]
    pub from: Vec<Place>,
    /// Which claims mean what; an unmapped one grants nothing.
    #[serde(default)]
    pub claims: JwtClaims,
    /// The value that the type claim must have, where one is mapped. Default: access.
    #[serde(default = "access", rename = "type")]
    pub token_type: String,
    /// Tolerance for `exp`, `nbf` and `iat`. Default: 60s.
    #[serde(default = "clock_skew")]
    pub clock_skew: DurationText,
    /// The longest time from `iat` to `exp`. Default: no bound.
    #[serde(default)]
    pub max_lifetime: Option<DurationText>,
    /// Whether a token without `exp` is refused. Default: true.
    #[serde(default = "yes")]
    pub require_expiration: bool,
    /// Whether the token goes on to the upstream. Default: deny.
    #[serde(default)]
    pub forward: Verdict,
    /// Headers that carry a claim to the upstream.
    #[serde(default)]
    pub claim_to_headers: Dictionary<HeaderName, String>,
    /// The header that carries the whole payload to the upstream.
    #[serde(default)]
    pub payload_header: Option<HeaderName>,
    /// The service that is asked whether the account exists and is active.
    #[serde(default)]
    pub account: Option<Account>,
    /// Whether the token must belong to the peer certificate (RFC 8705). Default: off.
    #[serde(default)]
    pub bound_to_certificate: Binding,
}

/// The signature algorithms (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Whether the key is a shared secret.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// The claims with a meaning: their names in this provider's tokens.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct JwtClaims {
    /// Who the caller is. Default: sub.
    pub subject: String,
    /// Roles: a list, or a text separated by spaces. Default: unmapped.
    pub roles: Option<String>,
    /// Scopes: a list, or a text separated by spaces. Default: unmapped.
    pub scopes: Option<String>,
    /// The kind of token, `access` or `refresh`. Default: unmapped.
    #[serde(rename = "type")]
    pub token_type: Option<String>,
    /// Whether the account is active. Default: unmapped.
    pub active: Option<String>,
}

impl Default for JwtClaims {
    fn default() -> Self {
        Self { subject: "sub".to_owned(), roles: None, scopes: None, token_type: None, active: None }
    }
}

/// Where public keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Jwks {
    /// A JWK Set written into the configuration.
    Inline(Map<String, Value>),
    /// A JWK Set fetched from the issuer.
    Remote(RemoteJwks),
}

/// A JWK Set fetched from the issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteJwks {
    /// The Envoy cluster of the issuer.
    pub cluster: String,
    /// The address of the set.
    pub uri: String,
    /// How often it is fetched. Default: 300s.
    pub refresh: DurationText,
    /// How long one fetch may take. Default: 5s.
    pub timeout: DurationText,
}

/// A JWK Set: `inline`, or `cluster` and `uri`.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = shapes())))]
struct JwksFields {
    /// The set itself.
    inline: Option<Map<String, Value>>,
    /// The Envoy cluster of the issuer.
    cluster: Option<String>,
    /// The address of the set.
    uri: Option<String>,
    /// How often it is fetched. Default: 300s.
    refresh: Option<DurationText>,
    /// How long one fetch may take. Default: 5s.
    timeout: Option<DurationText>,
}

#[cfg(feature = "schema")]
fn shapes() -> Value {
    serde_json::json!([
        { "required": ["inline"], "maxProperties": 1 },
        { "required": ["cluster", "uri"], "properties": { "inline": false } },
    ])
}

crate::made_of!(Jwks is JwksFields);

impl TryFrom<JwksFields> for Jwks {
    type Error = &'static str;

    fn try_from(fields: JwksFields) -> Result<Self, Self::Error> {
        match fields {
            JwksFields { inline: Some(set), cluster: None, uri: None, refresh: None, timeout: None } => {
                Ok(Self::Inline(set))
            }
            JwksFields { inline: None, cluster: Some(cluster), uri: Some(uri), refresh, timeout } => {
                Ok(Self::Remote(RemoteJwks {
                    cluster,
                    uri,
                    refresh: refresh.unwrap_or(DurationText::seconds(300)),
                    timeout: timeout.unwrap_or(DurationText::seconds(5)),
                }))
            }
            _ => Err("expected either inline, or cluster and uri"),
        }
    }
}

/// The service that is asked whether the account exists and is active.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The Envoy cluster of the service.
    pub cluster: String,
    /// The address; `{subject}` stands for the subject.
    pub uri: String,
    /// How long an answer is kept. Default: 60s.
    #[serde(default = "minute")]
    pub cache: DurationText,
    /// What happens when the service cannot be asked. Default: deny.
    #[serde(default)]
    pub on_error: Verdict,
}

/// Whether a token must be bound to the peer certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[derive(Default)]
pub enum Binding {
    /// Not looked at.
    #[default]
    Off,
    /// `cnf.x5t#S256` must match the peer certificate.
    Required,
}

fn bearer() -> Vec<Place> {
    vec![Place::bearer()]
}

fn clock_skew() -> DurationText {
    DurationText::seconds(60)
}

fn minute() -> DurationText {
    DurationText::seconds(60)
}

fn access() -> String {
    "access".to_owned()
}

fn yes() -> bool {
    true
}
