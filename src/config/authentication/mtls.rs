//! Client certificates, and revocations shared between proxies.

use crate::setting::Setting;

use crate::scalar::{DurationText, Verdict};

/// Client certificates that the listener has verified.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Mtls {
    /// SPIFFE trust domains whose identities count. Default: any that the listener's CA vouches for.
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub trust_domains: Vec<String>,
    /// States that every listener with this plugin verifies client certificates against a CA and accepts no others:
    /// then one that was presented counts, although the host does not say that it verified it. Default: false.
    pub listener_verifies: bool,
    /// Whether X-Forwarded-Client-Cert from `client_ip.trusted_proxies` counts. Default: deny.
    pub forwarded_client_cert: Verdict,
}

/// Revocations shared with other proxies and kept over restarts.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The service that keeps them.
    pub feed: RevocationFeed,
}

/// The service that keeps revocations.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RevocationFeed {
    /// Its Envoy cluster.
    pub cluster: String,
    /// The address of the list.
    pub uri: String,
    /// How often it is read. Default: 10s.
    #[serde(default = "ten_seconds")]
    pub interval: DurationText,
}

fn ten_seconds() -> DurationText {
    DurationText::seconds(10)
}
