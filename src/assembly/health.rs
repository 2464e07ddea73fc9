//! What is measured of one configuration's parts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use super::secrets::Secrets;
use crate::checks::intrusion::Intrusion;
use crate::config::{Config, Jwks, OpaqueSource, SecretSource};
use crate::health::Health;
use crate::revocation::RevokedTokens;

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

/// Every cluster that the configuration names, each once.
fn clusters(config: &Config) -> BTreeSet<&str> {
    let known = &config.authentication;
    let key_sets = known.jwt.values().filter_map(|provider| match &provider.jwks {
        Some(Jwks::Remote(jwks)) => Some(jwks.cluster.as_str()),
        _ => None,
    });
    let accounts = known.jwt.values().filter_map(|provider| Some(provider.account.as_ref()?.cluster.as_str()));
    let opaque = known.oauth2.values().map(|provider| match &provider.source {
        OpaqueSource::Introspection(asked) => asked.cluster.as_str(),
        OpaqueSource::Userinfo(asked) => asked.cluster.as_str(),
    });
    let feed = known.revocation.iter().map(|revocation| revocation.feed.cluster.as_str());
    let login = config.tokens.iter().map(|tokens| tokens.login.verify.cluster.as_str());
    let refresh = config.tokens.iter().filter_map(|tokens| Some(tokens.refresh.as_ref()?.lookup.cluster.as_str()));
    let limits = config.limits.values().filter_map(|limit| Some(limit.rate_limit_service.as_ref()?.cluster.as_str()));
    let stores = config.secrets.values().filter_map(|secret| match &secret.source {
        SecretSource::Vault(store) => Some(store.cluster.as_str()),
        SecretSource::AwsSecretsManager(store) => Some(store.cluster.as_str()),
        SecretSource::Kubernetes(store) => Some(store.cluster.as_str()),
        SecretSource::Env(_) | SecretSource::Inline(_) => None,
    });
    let callers = key_sets.chain(accounts).chain(opaque).chain(feed);
    callers.chain(login).chain(refresh).chain(limits).chain(stores).collect()
}
