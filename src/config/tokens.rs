//! Log in, refresh and log out at the proxy.

use crate::setting::Setting;

use super::authentication::Algorithm;
use super::scalar::{DurationText, Name, PathTemplate};
use super::secrets::SecretRef;

/// The tokens that the proxy itself issues.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// `iss`. Default: none.
    #[serde(default)]
    pub issuer: Option<String>,
    /// `aud` of access tokens. Default: none.
    #[serde(default)]
    pub audience: Option<String>,
    /// What they are signed with. Default: HS256.
    #[serde(default = "hs256")]
    pub algorithm: Algorithm,
    /// The first signs, all verify.
    pub keys: Vec<SecretRef>,
    /// How long an access token lasts. Default: 15m.
    #[serde(default = "access_lifetime")]
    pub access_lifetime: DurationText,
    /// How long a refresh token lasts. Default: 7d.
    #[serde(default = "refresh_lifetime")]
    pub refresh_lifetime: DurationText,
    /// Where a caller logs in.
    pub login: Login,
    /// Where a caller gets a new access token.
    #[serde(default)]
    pub refresh: Option<Refresh>,
    /// Where a caller logs out.
    #[serde(default)]
    pub logout: Option<Logout>,
    /// The limits of these three routes. Default: none.
    #[serde(default)]
    pub limits: Vec<Name>,
}

/// Where a caller logs in.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Default: /auth/login.
    #[serde(default = "login_path")]
    pub path: PathTemplate,
    /// The service that checks username and password.
    pub verify: Question,
}

/// Where a caller gets a new access token.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Default: /auth/refresh.
    #[serde(default = "refresh_path")]
    pub path: PathTemplate,
    /// The service that knows the account; `{user_id}` in its address stands for the account.
    pub lookup: Question,
}

/// Where a caller logs out.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// Default: /auth/logout.
    #[serde(default = "logout_path")]
    pub path: PathTemplate,
}

/// A service that is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its Envoy cluster.
    pub cluster: String,
    /// The address.
    pub uri: String,
    /// How long one question may take. Default: 5s.
    #[serde(default = "five_seconds")]
    pub timeout: DurationText,
}

fn hs256() -> Algorithm {
    Algorithm::HS256
}

fn access_lifetime() -> DurationText {
    DurationText::seconds(15 * 60)
}

fn refresh_lifetime() -> DurationText {
    DurationText::seconds(7 * 86_400)
}

fn login_path() -> PathTemplate {
    PathTemplate::known("/auth/login")
}

fn refresh_path() -> PathTemplate {
    PathTemplate::known("/auth/refresh")
}

fn logout_path() -> PathTemplate {
    PathTemplate::known("/auth/logout")
}

fn five_seconds() -> DurationText {
    DurationText::seconds(5)
}
