//! What providers have elsewhere: published key sets, and services that keep accounts.

use std::rc::Rc;
use std::time::Duration;

use super::authentication::algorithm;
use super::{Findings, Surroundings, space};
use portcullis::account::Accounts;
use portcullis::check::Background;
use portcullis::checks::authenticate::account::{AccountLookup, PLACEHOLDER, TIMEOUT};
use portcullis::checks::authenticate::key_source::KeySource;
use portcullis::endpoint::{Endpoint, EndpointOf};
use portcullis::jose::cache::TokenCache;
use portcullis::jose::fetched::FetchedKeys;
use portcullis::table::published::Published;
use portcullis_config::{Config, Jwks, JwtProvider};

/// Accounts of one provider that one VM remembers, and the bytes they may take.
const ACCOUNTS: (usize, usize) = (16_384, 4 << 20);
/// A set that is fetched more often than this is a load, not a refresh.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// What all providers together have elsewhere.
#[derive(Default)]
pub(super) struct Remote {
    key_sources: Vec<Rc<KeySource>>,
    accounts: Vec<Rc<AccountLookup>>,
}

impl Remote {
    /// The published keys of a provider; `None` when it publishes none, or what is wrong was reported.
    pub(super) fn key_source(
        &mut self,
        config: &Config,
        name: &str,
        provider: &JwtProvider,
        path: &str,
        surroundings: &Surroundings<'_>,
        findings: &mut Findings,
    ) -> Option<Rc<KeySource>> {
        let Some(Jwks::Remote(jwks)) = &provider.jwks else { return None };
        let settings = format!("{path}.jwks");
        let endpoint = endpoint(&jwks.cluster, &jwks.uri, jwks.timeout.0, &settings, findings)?;
        let space = space(config, "", surroundings);
        let space = space.map_err(|error| findings.error("tables", error.to_string())).ok()?;
        // Another address is another set: keys never pass from one to the other, not even over a new configuration.
        let published = Published::new(&space, &format!("keys/{name}/{}/{}", jwks.cluster, jwks.uri));
        let source = Rc::new(KeySource {
            place: self.key_sources.len(),
            settings: Rc::from(settings),
            flight: Rc::from(format!("keys/{name}")),
            algorithms: provider.algorithms.iter().copied().map(algorithm).collect(),
            endpoint,
            refresh: jwks.refresh.0.max(SHORTEST_REFRESH),
            published,
        });
        self.key_sources.push(source.clone());
        Some(source)
    }

    /// Where a provider's accounts are looked up; `None` when they are not, or what is wrong was reported.
    pub(super) fn account(
        &mut self,
        name: &str,
        provider: &JwtProvider,
        path: &str,
        findings: &mut Findings,
    ) -> Option<Rc<AccountLookup>> {
        let account = provider.account.as_ref()?;
        let path = format!("{path}.account");
        let endpoint = endpoint_of((&account.cluster, &account.uri), PLACEHOLDER, TIMEOUT, &path, findings)?;
        let (place, provider, keep) = (self.accounts.len(), Rc::from(name), account.cache.0);
        let lookup = Rc::new(AccountLookup { place, provider, endpoint, keep, on_error: account.on_error });
        self.accounts.push(lookup.clone());
        Some(lookup)
    }

    pub(super) fn background(&self) -> Vec<Rc<dyn Background>> {
        let key_sources = self.key_sources.iter().map(|source| source.clone() as Rc<dyn Background>);
        key_sources.chain(self.accounts.iter().map(|lookup| lookup.clone() as Rc<dyn Background>)).collect()
    }

    pub(super) fn memory(&self, surroundings: &Surroundings<'_>) -> (Vec<FetchedKeys>, Vec<Accounts>) {
        let [first, second, ..] = surroundings.random;
        let key_sets = self.key_sources.iter().map(|_| FetchedKeys::default()).collect();
        let accounts =
            self.accounts.iter().map(|_| TokenCache::new(ACCOUNTS.0, ACCOUNTS.1, [second, first]).of_names());
        (key_sets, accounts.collect())
    }
}

/// The endpoint at an address; `None` when what is wrong with it was reported under `path`.
pub(super) fn endpoint(
    cluster: &str,
    uri: &str,
    timeout: Duration,
    path: &str,
    findings: &mut Findings,
) -> Option<Endpoint> {
    let endpoint = Endpoint::new(cluster, uri, timeout);
    let invalid = |_| findings.error(format!("{path}.uri"), format!("expected {ADDRESS}"));
    endpoint.map_err(invalid).ok()
}

/// As [`endpoint`], of an address with a place for a name.
pub(super) fn endpoint_of(
    (cluster, uri): (&str, &str),
    placeholder: &str,
    timeout: Duration,
    path: &str,
    findings: &mut Findings,
) -> Option<EndpointOf> {
    // Whatever else is wrong with it.
    if uri.matches(placeholder).count() != 1 {
        findings.error(format!("{path}.uri"), format!("expected {placeholder} once, in the path or the query"));
        return None;
    }
    endpoint(cluster, &uri.replace(placeholder, ""), timeout, path, findings)?;
    let endpoint = EndpointOf::new(cluster, uri, placeholder, timeout);
    let invalid =
        |_| findings.error(format!("{path}.uri"), format!("expected {placeholder} once, in the path or the query"));
    endpoint.map_err(invalid).ok()
}

const ADDRESS: &str = "an address with scheme and host, such as https://host/path";
