//! Who is calling: the methods that a route can ask for.

mod api_keys;
mod jwt;
mod mtls;
mod oauth2;
mod place;
mod service;

use crate::dictionary::Dictionary;

use crate::setting::Setting;

pub use api_keys::{ApiKey, ApiKeys};
pub use jwt::{Account, Algorithm, Binding, Jwks, JwtClaims, JwtProvider, RemoteJwks};
pub use mtls::{Mtls, Revocation, RevocationFeed};
pub use oauth2::{Introspection, OpaqueClaims, OpaqueProvider, OpaqueSource, Userinfo};
pub use place::Place;
pub use service::{KnownService, Replay, ServiceSignatures, SignatureVersion};

use super::scalar::{Mode, Name, RateText};

/// The methods of authentication and their providers by name.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Authentication {
    /// Credentials not yet verified, per address, before any cryptography or callout. Default: 600/m.
    pub unverified_credentials: RateText,
    /// What happens to refused credentials. Default: the route's mode.
    pub mode: Option<Mode>,
    /// Issuers of JSON Web Tokens.
    pub jwt: Dictionary<Name, JwtProvider>,
    /// Issuers of opaque tokens.
    pub oauth2: Dictionary<Name, OpaqueProvider>,
    /// Signed requests between services.
    pub service: Option<ServiceSignatures>,
    /// Keys that stand for a caller.
    pub api_keys: Option<ApiKeys>,
    /// Client certificates.
    pub mtls: Option<Mtls>,
    /// Revocations shared with other proxies.
    pub revocation: Option<Revocation>,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            unverified_credentials: RateText::per(600, 60),
            mode: None,
            jwt: Dictionary::new(),
            oauth2: Dictionary::new(),
            service: None,
            api_keys: None,
            mtls: None,
            revocation: None,
        }
    }
}
