//! Providers of opaque tokens.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::secrets::Secrets;
use super::{Findings, remote};
use portcullis::checks::authenticate::identity::Grants;
use portcullis::checks::authenticate::opaque::provider::{Provider, Source};
use portcullis::jose::claims::ClaimPath;
use portcullis_config::{Config, DurationText, OpaqueProvider, OpaqueSource};

/// Every provider by its name; what cannot be compiled is reported and left out.
pub(super) fn compile(config: &Config, secrets: &Secrets, findings: &mut Findings) -> BTreeMap<String, Rc<Provider>> {
    let mut providers = BTreeMap::new();
    for (name, provider) in &config.authentication.oauth2 {
        let path = format!("authentication.oauth2.{}", name.as_str());
        let compiled = compile_provider(name.as_str(), provider, &path, secrets, findings);
        providers.extend(compiled.map(|compiled| (name.as_str().to_owned(), Rc::new(compiled))));
    }
    providers
}

fn compile_provider(
    name: &str,
    provider: &OpaqueProvider,
    path: &str,
    secrets: &Secrets,
    findings: &mut Findings,
) -> Option<Provider> {
    let claims = &provider.claims;
    let mapped = |claim: &Option<String>| claim.as_deref().map(ClaimPath::new);
    Some(Provider {
        name: Rc::from(name),
        prefix: provider.token_prefix.as_deref().map(Box::from),
        source: source(&provider.source, path, secrets, findings)?,
        subject: ClaimPath::new(&claims.subject),
        username: mapped(&claims.username),
        grants: Grants { roles: mapped(&claims.roles), scopes: mapped(&claims.scopes) },
        cache: provider.cache.0,
        on_error: provider.on_error,
    })
}

fn source(source: &OpaqueSource, path: &str, secrets: &Secrets, findings: &mut Findings) -> Option<Source> {
    let mut endpoint = |kind: &str, cluster: &str, uri: &str, timeout: DurationText| {
        remote::endpoint(cluster, uri, timeout.0, &format!("{path}.{kind}"), findings)
    };
    match source {
        OpaqueSource::Introspection(asked) => {
            let endpoint = endpoint("introspection", &asked.cluster, &asked.uri, asked.timeout)?;
            // A secret without a value was reported.
            let secret = secrets.slot(&asked.client_secret)?;
            Some(Source::introspection(endpoint, &asked.client_id, secret))
        }
        OpaqueSource::Userinfo(asked) => {
            endpoint("userinfo", &asked.cluster, &asked.uri, asked.timeout).map(Source::Userinfo)
        }
    }
}
