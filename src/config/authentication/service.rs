//! Requests that services sign for one another.

use crate::dictionary::Dictionary;

use crate::setting::Setting;

use crate::scalar::{DurationText, Name, Verdict};
use crate::secrets::SecretRef;

/// Signed requests between services.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceSignatures {
    /// Signing keys; any of them verifies while they rotate.
    pub keys: Vec<SecretRef>,
    /// The services that may call, by name.
    #[serde(default)]
    pub services: Dictionary<Name, KnownService>,
    /// How far a timestamp may be from now. Default: 300s.
    #[serde(default = "five_minutes")]
    pub max_clock_skew: DurationText,
    /// The forms of signature that count. Default: both.
    #[serde(default = "both")]
    pub signatures: Vec<SignatureVersion>,
    /// Whether one signature may be used again. Default: v1 allow, v2 deny.
    #[serde(default)]
    pub replay: Replay,
}

/// A service that may call.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KnownService {
    /// The token that it sends.
    pub token: SecretRef,
}

/// The forms of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignatureVersion {
    /// HMAC-SHA256 over name, timestamp and token.
    V1,
    /// HMAC-SHA256 over the whole request with a nonce.
    V2,
}

/// Whether one signature may be used again, by form.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// Default: allow.
    pub v1: Verdict,
    /// Default: deny.
    pub v2: Verdict,
}

impl Default for Replay {
    fn default() -> Self {
        Self { v1: Verdict::Allow, v2: Verdict::Deny }
    }
}

fn five_minutes() -> DurationText {
    DurationText::seconds(300)
}

fn both() -> Vec<SignatureVersion> {
    vec![SignatureVersion::V1, SignatureVersion::V2]
}
