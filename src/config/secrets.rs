//! Where secret values come from. Nothing here prints one.

use std::fmt;

use crate::setting::Setting;

use super::scalar::{DurationText, Literal, Name};

/// A secret: its one source and how often it is read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// The one source.
    pub source: SecretSource,
    /// How long a value is kept before it is read again. Default: 300s.
    pub refresh: DurationText,
}

/// The places that a secret can come from.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretSource {
    /// An environment variable of the proxy.
    Env(String),
    /// HashiCorp Vault, KV version 2.
    Vault(Vault),
    /// AWS Secrets Manager.
    AwsSecretsManager(AwsSecretsManager),
    /// The Kubernetes API.
    Kubernetes(Kubernetes),
    /// Written into the configuration; accepted with a warning.
    Inline(Redacted),
}

/// HashiCorp Vault, KV version 2.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// The Envoy cluster of the server.
    pub cluster: String,
    /// The path below `/v1/`, such as `secret/data/order-service`.
    pub path: String,
    /// The field of the secret.
    pub field: String,
    /// The token to read it with.
    pub token: Env,
}

/// AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AwsSecretsManager {
    /// The Envoy cluster of the endpoint.
    pub cluster: String,
    /// The region that signs, such as `eu-west-1`.
    pub region: String,
    /// The name or ARN of the secret.
    pub secret_id: String,
    /// The field, where the secret is a JSON object.
    #[serde(default)]
    pub field: Option<String>,
    /// The access key.
    pub access_key_id: Env,
    /// Its secret half.
    pub secret_access_key: Env,
    /// The session token of temporary credentials.
    #[serde(default)]
    pub session_token: Option<Env>,
}

/// The Kubernetes API.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The Envoy cluster of the API server.
    pub cluster: String,
    /// The namespace of the secret.
    pub namespace: String,
    /// The name of the secret.
    pub secret: String,
    /// The key within it.
    pub field: String,
    /// The service account's token.
    pub token: Env,
}

/// An environment variable of the proxy.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Env {
    /// Its name.
    pub env: String,
}

/// A reference to an entry of `secrets`.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The name of the entry.
    pub secret: Name,
}

/// A text that never prints itself.
#[derive(Clone, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Redacted(Literal);

impl Redacted {
    /// The secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(redacted)")
    }
}

/// Where a secret comes from: exactly one of the sources.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = one_of())))]
struct SecretFields {
    /// An environment variable of the proxy.
    env: Option<String>,
    /// HashiCorp Vault, KV version 2.
    vault: Option<Vault>,
    /// AWS Secrets Manager.
    aws_secrets_manager: Option<AwsSecretsManager>,
    /// The Kubernetes API.
    kubernetes: Option<Kubernetes>,
    /// The value itself; accepted with a warning.
    inline: Option<Redacted>,
    /// How long a value is kept before it is read again. Default: 300s.
    refresh: Option<DurationText>,
}

#[cfg(feature = "schema")]
fn one_of() -> serde_json::Value {
    super::exactly_one(&["env", "vault", "aws_secrets_manager", "kubernetes", "inline"])
}

crate::made_of!(Secret is SecretFields);

impl TryFrom<SecretFields> for Secret {
    type Error = &'static str;

    fn try_from(fields: SecretFields) -> Result<Self, Self::Error> {
        let sources = [
            fields.env.map(SecretSource::Env),
            fields.vault.map(SecretSource::Vault),
            fields.aws_secrets_manager.map(SecretSource::AwsSecretsManager),
            fields.kubernetes.map(SecretSource::Kubernetes),
            fields.inline.map(SecretSource::Inline),
        ];
        let source = super::only(sources)
            .ok_or("expected exactly one source of env, vault, aws_secrets_manager, kubernetes, inline")?;
        Ok(Self { source, refresh: fields.refresh.unwrap_or(DurationText::seconds(300)) })
    }
}
