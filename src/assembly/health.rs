//! What is measured of one configuration's parts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::secrets::Secrets;
use portcullis::checks::intrusion::Intrusion;
use portcullis::health::Health;
use portcullis::order;
use portcullis::revocation::RevokedTokens;
use portcullis_config::{Config, Jwks, OpaqueSource, SecretSource};

pub(super) fn compile(
    config: &Config,
    secrets: &Secrets,
    revoked: &Rc<RevokedTokens>,
    intrusion: Option<&Rc<Intrusion>>,
) -> Health {
    // In the order in which `remote` numbers them.
    let publishing = config.authentication.jwt.iter().filter(|(_, p)| matches!(p.jwks, Some(Jwks::Remote(_))));
    Health {
        key_sets: publishing.map(|(name, _)| Rc::from(name.as_str())).collect(),
        secrets: secrets.fetched(),
        clusters: clusters(config).into_iter().map(Rc::from).collect(),
        revoked: revoked.clone(),
        intrusion: intrusion.cloned(),
        seen: RefCell::default(),
        since: Cell::new(None),
    }
}

/// Every cluster that the configuration names, each once, in order.
fn clusters(config: &Config) -> Vec<&str> {
    let known = &config.authentication;
    let mut named: Vec<&str> = Vec::new();
    for provider in known.jwt.values() {
        if let Some(Jwks::Remote(jwks)) = &provider.jwks {
            named.push(&jwks.cluster);
        }
        named.extend(provider.account.as_ref().map(|account| account.cluster.as_str()));
    }
    for provider in known.oauth2.values() {
        named.push(match &provider.source {
            OpaqueSource::Introspection(asked) => &asked.cluster,
            OpaqueSource::Userinfo(asked) => &asked.cluster,
        });
    }
    named.extend(known.revocation.as_ref().map(|revocation| revocation.feed.cluster.as_str()));
    if let Some(tokens) = &config.tokens {
        named.push(&tokens.login.verify.cluster);
        named.extend(tokens.refresh.as_ref().map(|refresh| refresh.lookup.cluster.as_str()));
    }
    for limit in config.limits.values() {
        named.extend(limit.rate_limit_service.as_ref().map(|service| service.cluster.as_str()));
    }
    for secret in config.secrets.values() {
        named.extend(match &secret.source {
            SecretSource::Vault(store) => Some(store.cluster.as_str()),
            SecretSource::AwsSecretsManager(store) => Some(store.cluster.as_str()),
            SecretSource::Kubernetes(store) => Some(store.cluster.as_str()),
            SecretSource::Env(_) | SecretSource::Inline(_) => None,
        });
    }
    order::sort(&mut named);
    named.dedup();
    named
}
