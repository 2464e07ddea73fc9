//! What the contract names and this version does not do yet: refused by name, so that nobody believes it is on.

use super::{
    Authenticate, Binding, Body, Condition, Config, ConfigError, DenyEntry, Jwks, JwtProvider, MethodRef, Response,
    SecretSource, SignatureVersion, Verdict, tree,
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
    |config| jwt(config, "bound_to_certificate", |provider| provider.bound_to_certificate == Binding::Required),
    |config| section("authentication.oauth2", !config.authentication.oauth2.is_empty()),
    |config| section("authentication.service.signatures", signs(config, SignatureVersion::V2)),
    |config| section("authentication.service.replay.v1", signs(config, SignatureVersion::V1) && refuses_replay(config)),
    |config| section("authentication.api_keys", config.authentication.api_keys.is_some()),
    |config| section("authentication.mtls", config.authentication.mtls.is_some()),
    |config| section("authentication.revocation", config.authentication.revocation.is_some()),
    |config| methods(config, |method| matches!(method, MethodRef::Oauth2(_))),
    |config| methods(config, |method| *method == MethodRef::ApiKeys),
    |config| methods(config, |method| *method == MethodRef::Mtls),
    |config| section("tokens", config.tokens.is_some()),
    |config| section("encryption", config.encryption.is_some()),
    |config| section("headers.csrf", config.headers.csrf.is_some()),
    |config| section("headers.cookies", config.headers.cookies.is_some()),
    |config| conditions(config, "principals", |condition| names_peers(&condition.principals)),
    |config| denials(config, "principals", |entry| names_peers(&entry.principals)),
    |config| bodies(config, "schema", |body| body.schema.is_some()),
    |config| bodies(config, "sanitize_html", |body| body.sanitize_html.is_some()),
    |config| bodies(config, "encrypt", |body| !body.encrypt.is_empty()),
    |config| bodies(config, "encrypt_whole", |body| body.encrypt_whole),
    |config| responses(config, "fields", |response| response.fields.is_some()),
    |config| responses(config, "decrypt", |response| !response.decrypt.is_empty()),
    |config| responses(config, "decrypt_whole", |response| response.decrypt_whole),
    |config| responses(config, "owner", |response| response.owner.is_some()),
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

fn signs(config: &Config, version: SignatureVersion) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.signatures.contains(&version))
}

/// The replay setting of v2 says nothing while v2 itself is refused.
fn refuses_replay(config: &Config) -> bool {
    config.authentication.service.as_ref().is_some_and(|service| service.replay.v1 == Verdict::Deny)
}

/// `spiffe://` names a peer, which is known by its certificate only.
fn names_peers(principals: &[String]) -> bool {
    principals.iter().any(|principal| !principal.starts_with("service:"))
}

fn methods(config: &Config, used: fn(&MethodRef) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| (format!("routes[{index}].authenticate"), &route.authenticate));
    let places = std::iter::once(("defaults.authenticate".to_owned(), &config.defaults.authenticate)).chain(routes);
    let mut paths = Vec::new();
    for (path, authenticate) in places {
        let Some(authenticate) = authenticate else { continue };
        let form = form_of(authenticate);
        let found = authenticate.methods().iter().enumerate().filter(|(_, method)| used(method));
        paths.extend(found.map(|(index, _)| format!("{path}{form}[{index}]")));
    }
    paths
}

/// The step between `authenticate` and its list.
pub(super) fn form_of(authenticate: &Authenticate) -> &'static str {
    match authenticate {
        Authenticate::None | Authenticate::Any(_) => "",
        Authenticate::All(_) => ".all",
        Authenticate::Optional(_) => ".optional",
    }
}

fn conditions(config: &Config, field: &str, used: fn(&Condition) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| (format!("routes[{index}]"), &route.allow, &route.deny));
    let defaults = ("defaults".to_owned(), &config.defaults.allow, &config.defaults.deny);
    let mut paths = Vec::new();
    for (path, allow, deny) in std::iter::once(defaults).chain(routes) {
        for (index, _) in allow.iter().flatten().enumerate().filter(|(_, condition)| used(condition)) {
            paths.push(format!("{path}.allow[{index}].{field}"));
        }
        for (index, entry) in deny.iter().flatten().enumerate() {
            if entry.except.as_ref().is_some_and(used) {
                paths.push(format!("{path}.deny[{index}].except.{field}"));
            }
        }
    }
    paths
}

fn denials(config: &Config, field: &str, used: fn(&DenyEntry) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| (format!("routes[{index}]"), &route.deny));
    let mut paths = Vec::new();
    for (path, deny) in std::iter::once(("defaults".to_owned(), &config.defaults.deny)).chain(routes) {
        let found = deny.iter().flatten().enumerate().filter(|(_, entry)| used(entry));
        paths.extend(found.map(|(index, _)| format!("{path}.deny[{index}].{field}")));
    }
    paths
}

fn bodies(config: &Config, field: &str, used: fn(&Body) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate().filter(|(_, route)| route.body.as_ref().is_some_and(used));
    routes.map(|(index, _)| format!("routes[{index}].body.{field}")).collect()
}

fn responses(config: &Config, field: &str, used: fn(&Response) -> bool) -> Vec<String> {
    let routes = config.routes.iter().enumerate().filter(|(_, route)| route.response.as_ref().is_some_and(used));
    routes.map(|(index, _)| format!("routes[{index}].response.{field}")).collect()
}
