//! What the contract names and this version does not do yet: refused by name, so that nobody believes it is on.

use super::{
    Authenticate, Config, ConfigError, Jwks, JwtProvider, Limit, SecretSource, SignatureVersion, Verdict, tree,
};

/// Every use of a feature that is not supported yet, by the path of the field.
pub fn unsupported(config: &Config) -> Vec<ConfigError> {
    let uses = FEATURES.iter().flat_map(|uses| uses(config));
    uses.map(|path| ConfigError::new(path, "not yet supported")).collect()
}

type Uses = fn(&Config) -> Vec<String>;

/// One entry per feature. A feature that lands loses its entry.
const FEATURES: &[Uses] = &[
    |config| secrets(config, "vault", |source| matches!(source, SecretSource::Vault(_))),
    |config| secrets(config, "aws_secrets_manager", |source| matches!(source, SecretSource::AwsSecretsManager(_))),
    |config| secrets(config, "kubernetes", |source| matches!(source, SecretSource::Kubernetes(_))),
    |config| jwt(config, "jwks.uri", |provider| matches!(provider.jwks, Some(Jwks::Remote(_)))),
    |config| jwt(config, "account", |provider| provider.account.is_some()),
    |config| section("authentication.service.signatures", signs(config, SignatureVersion::V2)),
    |config| section("authentication.service.replay.v1", signs(config, SignatureVersion::V1) && refuses_replay(config)),
    |config| section("authentication.revocation", config.authentication.revocation.is_some()),
    |config| section("tokens", config.tokens.is_some()),
    |config| limits(config, "rate_limit_service", |limit| limit.rate_limit_service.is_some()),
    |config| section("headers.csrf", config.headers.csrf.is_some()),
    |config| section("headers.cookies", config.headers.cookies.is_some()),
    |config| section("outbound", config.outbound.is_some()),
];

fn section(path: &str, used: bool) -> Vec<String> {
    used.then(|| path.to_owned()).into_iter().collect()
}

fn secrets(config: &Config, field: &str, used: fn(&SecretSource) -> bool) -> Vec<String> {
    let entries = config.secrets.iter().filter(|(_, secret)| used(&secret.source));
    entries.map(|(name, _)| tree::under("secrets", name.as_str()) + "." + field).collect()
}

fn jwt(config: &Config, field: &str, used: fn(&JwtProvider) -> bool) -> Vec<String> {
    let entries = config.authentication.jwt.iter().filter(|(_, provider)| used(provider));
    entries.map(|(name, _)| tree::under("authentication.jwt", name.as_str()) + "." + field).collect()
}

fn limits(config: &Config, field: &str, used: fn(&Limit) -> bool) -> Vec<String> {
    let entries = config.limits.iter().filter(|(_, limit)| used(limit));
    entries.map(|(name, _)| tree::under("limits", name.as_str()) + "." + field).collect()
}

fn signs(config: &Config, version: SignatureVersion) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.signatures.contains(&version))
}

/// The replay setting of v2 says nothing while v2 itself is refused.
fn refuses_replay(config: &Config) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.replay.v1 == Verdict::Deny)
}

/// The step between `authenticate` and its list.
pub(super) fn form_of(authenticate: &Authenticate) -> &'static str {
    match authenticate {
        Authenticate::None | Authenticate::Any(_) => "",
        Authenticate::All(_) => ".all",
        Authenticate::Optional(_) => ".optional",
    }
}
