//! What the proxy says in headers, to the upstream and to browsers.

use crate::setting::Setting;

use super::scalar::{DurationText, HeaderName, Method, Verdict};

/// Headers to the upstream and to the client.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Headers {
    /// The identity for the upstream.
    pub identity: Identity,
    /// Security headers of responses. Default: strict.
    pub security: Security,
    /// Cross-origin requests. Default: nothing is said.
    pub cors: Option<Cors>,
    /// Cross-site request forgery. Default: what a browser says comes from another site is refused.
    pub csrf: Option<Csrf>,
    /// What is added to cookies that the upstream sets. Default: nothing.
    pub cookies: Option<Cookies>,
    /// Whether plain HTTP is sent to HTTPS. Default: false.
    pub https_redirect: bool,
    /// The headers that tell a client its limits. Default: draft.
    pub rate_limit: RateLimitHeaders,
}

/// The headers that carry the identity to the upstream; a client's own are stripped.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Default: x-auth-subject.
    pub subject: HeaderName,
    /// Default: x-auth-roles.
    pub roles: HeaderName,
    /// Default: x-auth-method.
    pub method: HeaderName,
    /// Default: x-auth-peer.
    pub peer: HeaderName,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            subject: HeaderName::known("x-auth-subject"),
            roles: HeaderName::known("x-auth-roles"),
            method: HeaderName::known("x-auth-method"),
            peer: HeaderName::known("x-auth-peer"),
        }
    }
}

/// Sets of security headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[derive(Default)]
pub enum Security {
    /// None.
    Off,
    /// Those that break no page.
    Basic,
    /// All.
    #[default]
    Strict,
}

/// Cross-origin requests (the Fetch standard).
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins such as `https://app.example.com`, or `*`.
    pub origins: Vec<String>,
    /// Methods beyond the safelisted. Default: none.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Request headers beyond the safelisted. Default: none.
    #[serde(default)]
    pub headers: Vec<HeaderName>,
    /// Whether credentials may come along. Default: deny.
    #[serde(default)]
    pub credentials: Verdict,
    /// How long a browser may keep the answer. Default: the browser's own.
    #[serde(default)]
    pub max_age: Option<DurationText>,
}

/// Unsafe requests with cookie credentials must come from these origins.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Csrf {
    /// Origins beside the request's own. Default: none.
    pub origins: Vec<String>,
}

/// What is added to cookies that the upstream sets.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Cookies {
    /// Default: true.
    pub secure: bool,
    /// Default: true.
    pub http_only: bool,
    /// Default: lax.
    pub same_site: SameSite,
}

impl Default for Cookies {
    fn default() -> Self {
        Self { secure: true, http_only: true, same_site: SameSite::Lax }
    }
}

/// The SameSite attribute of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// The headers that tell a client its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[derive(Default)]
pub enum RateLimitHeaders {
    /// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).
    #[default]
    Draft,
    /// X-RateLimit-*.
    X,
    /// Both.
    Both,
    /// Neither.
    Off,
}
