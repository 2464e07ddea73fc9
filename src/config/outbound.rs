//! What leaves on an egress listener.

use crate::setting::Setting;

use super::authentication::SignatureVersion;
use super::scalar::Name;
use super::secrets::SecretRef;

/// Requests that leave.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// They are signed.
    pub sign: Sign,
}

/// How requests are signed.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The name that is signed for.
    pub service: Name,
    /// Its token.
    pub token: SecretRef,
    /// The first signs.
    pub keys: Vec<SecretRef>,
    /// The form. Default: v1.
    #[serde(default = "v1")]
    pub signature: SignatureVersion,
}

fn v1() -> SignatureVersion {
    SignatureVersion::V1
}
