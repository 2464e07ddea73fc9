//! Providers and keys, and the credentials of one route.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::secrets::Secrets;
use super::{Findings, Shared, Surroundings, remote};
use crate::account::Accounts;
use crate::check::Background;
use crate::checks::authenticate::jwt::{BearerTokens, Provider};
use crate::checks::authenticate::place::Place;
use crate::checks::authenticate::service::ServiceSignatures;
use crate::checks::authenticate::{Authenticate, Credential, Requirement, Told, Withhold};
use crate::checks::limit::AddressBudget;
use crate::config::{self, Config, JwtProvider, MethodRef};
use crate::jose::algorithm::Algorithm;
use crate::jose::claims::ClaimPath;
use crate::jose::fetched::FetchedKeys;
use crate::jose::jwk::{Jwks, Origin};
use crate::jose::key::{Secret, VerifyingKey};
use crate::jose::key_set::KeySet;
use crate::jose::validate::Rules;
use crate::policy::roles::Roles;
use crate::table::rate::Rate;

/// Everything that routes choose their credentials from.
pub(super) struct Authentication {
    providers: BTreeMap<String, Rc<Provider>>,
    remote: remote::Remote,
    service: Option<Rc<ServiceSignatures>>,
    told: Rc<Told>,
    roles: Rc<Roles>,
    unverified: Option<Rc<AddressBudget>>,
    realm: String,
}

pub(super) fn compile(
    config: &Config,
    secrets: &Secrets,
    shared: &Shared,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Authentication {
    let identity = &config.headers.identity;
    let name = |name: &config::HeaderName| Some(Rc::from(name.as_str()));
    let told = Rc::new(Told {
        subject: name(&identity.subject),
        roles: name(&identity.roles),
        method: name(&identity.method),
    });
    let rate = config.authentication.unverified_credentials;
    let unverified = Rate::new(rate.limit, rate.window)
        .map_err(|error| findings.error("authentication.unverified_credentials", error.to_string()))
        .ok();
    let mut providers = BTreeMap::new();
    let mut remote = remote::Remote::default();
    for (name, provider) in &config.authentication.jwt {
        let path = format!("authentication.jwt.{}", name.as_str());
        let compiled = compile_provider(name.as_str(), provider, &path, secrets, findings);
        let compiled = compiled.map(|compiled| Provider {
            published_keys: remote.key_source(config, name.as_str(), provider, &path, surroundings, findings),
            account: remote.account(name.as_str(), provider, &path, findings),
            ..compiled
        });
        providers.extend(compiled.map(|compiled| (name.as_str().to_owned(), Rc::new(compiled))));
    }
    let unverified = unverified.map(|rate| Rc::new(AddressBudget(rate)));
    Authentication {
        providers,
        remote,
        service: compile_service(config, secrets, &told, unverified.as_ref()),
        told,
        roles: shared.roles.clone(),
        unverified,
        realm: config.service.as_str().to_owned(),
    }
}

impl Authentication {
    /// What is fetched beside the requests.
    pub(super) fn background(&self) -> Vec<Rc<dyn Background>> {
        self.remote.background()
    }

    /// What a worker keeps of keys and accounts.
    pub(super) fn memory(&self, surroundings: &Surroundings<'_>) -> (Vec<FetchedKeys>, Vec<Accounts>) {
        self.remote.memory(surroundings)
    }

    /// The guard of one route; `None` when nobody is asked.
    pub(super) fn guard(&self, asked: &config::Authenticate) -> Option<Authenticate> {
        let requirement = match asked {
            config::Authenticate::None => return None,
            config::Authenticate::Any(_) => Requirement::Any,
            config::Authenticate::All(_) => Requirement::All,
            config::Authenticate::Optional(_) => Requirement::Optional,
        };
        let mut credentials: Vec<Rc<dyn Credential>> = Vec::new();
        let mut bearer = false;
        for method in asked.methods() {
            match method {
                // Where one token is enough, its issuer says which provider's it is: one look for all of them.
                MethodRef::Jwt(_) if bearer && requirement != Requirement::All => {}
                MethodRef::Jwt(_) => {
                    bearer = true;
                    let alone = std::slice::from_ref(method);
                    let named = if requirement == Requirement::All { alone } else { asked.methods() };
                    credentials.push(Rc::new(self.bearer_tokens(named)));
                }
                MethodRef::Service => credentials.extend(self.service.clone().map(|s| s as Rc<dyn Credential>)),
                // Refused before as not supported.
                MethodRef::Oauth2(_) | MethodRef::ApiKeys | MethodRef::Mtls => {}
            }
        }
        let scheme = if bearer { "Bearer" } else { "Signature" };
        let challenge = Rc::from(format!("{scheme} realm=\"{}\"", self.realm));
        Some(Authenticate { requirement, credentials, unverified: self.unverified.clone(), challenge })
    }

    /// The places of tokens that a route which asks for `methods` does not look at; `None` when there are none.
    pub(super) fn withhold(&self, methods: &[MethodRef]) -> Option<Withhold> {
        let (asked, others): (Vec<_>, Vec<_>) = self.providers.iter().partition(|(name, _)| names(methods, name));
        let looked_at = |place: &Place| asked.iter().any(|(_, provider)| provider.places.contains(place));
        let mut places = Vec::new();
        for place in others.iter().filter(|(_, provider)| !provider.forward).flat_map(|(_, p)| &p.places) {
            if !looked_at(place) && !places.contains(place) {
                places.push(place.clone());
            }
        }
        (!places.is_empty()).then_some(Withhold { places })
    }

    fn bearer_tokens(&self, methods: &[MethodRef]) -> BearerTokens {
        let chosen = self.providers.iter().filter(|(name, _)| names(methods, name));
        BearerTokens {
            providers: chosen.map(|(_, provider)| provider.clone()).collect(),
            roles: self.roles.clone(),
            told: self.told.clone(),
            unverified: self.unverified.clone(),
        }
    }
}

/// Whether one of `methods` is JWTs of this provider.
fn names(methods: &[MethodRef], provider: &str) -> bool {
    methods.iter().any(|method| match method {
        MethodRef::Jwt(only) => only.as_ref().is_none_or(|only| only.as_str() == provider),
        _ => false,
    })
}

fn compile_provider(
    name: &str,
    provider: &JwtProvider,
    path: &str,
    secrets: &Secrets,
    findings: &mut Findings,
) -> Option<Provider> {
    let claim = |text: &str, field: &str, findings: &mut Findings| {
        let compiled = ClaimPath::parse(text);
        if compiled.is_none() {
            findings.error(format!("{path}.{field}"), "expected the name of a claim, or a path of names with dots");
        }
        compiled
    };
    let claims = &provider.claims;
    let optional = |text: &Option<String>, field: &str, findings: &mut Findings| {
        text.as_deref().and_then(|text| claim(text, field, findings))
    };
    let subject = claim(&claims.subject, "claims.subject", findings);
    let roles = optional(&claims.roles, "claims.roles", findings);
    let scopes = optional(&claims.scopes, "claims.scopes", findings);
    let active = optional(&claims.active, "claims.active", findings);
    let token_type = optional(&claims.token_type, "claims.type", findings);
    let mut claim_headers = Vec::new();
    for (header, text) in &provider.claim_to_headers {
        let field = format!("claim_to_headers.{}", header.as_str());
        claim_headers.extend(claim(text, &field, findings).map(|claim| (Rc::from(header.as_str()), claim)));
    }
    let keys = compile_keys(provider, path, secrets, findings)?;
    let rules = Rules {
        issuer: provider.issuer.as_deref().map(Box::from),
        audiences: provider.audiences.iter().map(|audience| Box::from(audience.as_str())).collect(),
        require_expiration: provider.require_expiration,
        clock_skew: provider.clock_skew.0,
        max_lifetime: provider.max_lifetime.map(|lifetime| lifetime.0),
        token_type: token_type.map(|claim| (claim, Box::from(provider.token_type.as_str()))),
        subject: subject?,
        active,
    };
    Some(Provider {
        name: Rc::from(name),
        rules,
        algorithms: provider.algorithms.iter().copied().map(algorithm).collect(),
        keys,
        published_keys: None,
        account: None,
        places: provider.from.iter().map(place).collect(),
        forward: provider.forward == config::Verdict::Allow,
        roles,
        scopes,
        claim_headers,
        payload_header: provider.payload_header.as_ref().map(|header| Rc::from(header.as_str())),
    })
}

fn compile_keys(provider: &JwtProvider, path: &str, secrets: &Secrets, findings: &mut Findings) -> Option<KeySet> {
    let hashes: Vec<_> = provider.algorithms.iter().filter(|a| a.is_shared()).map(|a| algorithm(*a).hash()).collect();
    let mut keys = Vec::new();
    for (at, reference) in provider.keys.iter().enumerate() {
        let field = format!("{path}.keys[{at}].secret");
        let Some(value) = secrets.value(reference) else { continue };
        match Secret::new(value) {
            Ok(secret) => {
                if hashes.iter().any(|hash| secret.is_short(*hash)) {
                    findings.warning(field, "the secret is shorter than the digest that signs with it (RFC 7518 3.2)");
                }
                keys.push(VerifyingKey::from_secret(None, secret));
            }
            Err(error) => findings.error(field, error.to_string()),
        }
    }
    if let Some(config::Jwks::Inline(set)) = &provider.jwks {
        let field = format!("{path}.jwks.inline");
        let text = serde_json::to_vec(set).unwrap_or_default();
        match Jwks::parse(&text, Origin::Inline) {
            Err(error) => findings.error(field, error.to_string()),
            Ok(parsed) if !parsed.skipped.is_empty() => {
                for (at, error) in parsed.skipped {
                    findings.error(format!("{field}.keys[{at}]"), error.to_string());
                }
            }
            Ok(parsed) => keys.extend(parsed.keys.into_keys()),
        }
    }
    let usable = |algorithm: Algorithm| keys.iter().any(|key| key.allows(algorithm));
    if !keys.is_empty() && !provider.algorithms.iter().any(|a| usable(algorithm(*a))) {
        findings.error(format!("{path}.algorithms"), "expected an algorithm that one of the keys can verify");
    }
    Some(KeySet::new(keys))
}

fn compile_service(
    config: &Config,
    secrets: &Secrets,
    told: &Rc<Told>,
    unverified: Option<&Rc<AddressBudget>>,
) -> Option<Rc<ServiceSignatures>> {
    let service = config.authentication.service.as_ref()?;
    let keys = service.keys.iter().filter_map(|key| secrets.value(key));
    let services = service.services.iter();
    let tokens = services.filter_map(|(name, known)| Some((name.as_str().to_owned(), secrets.value(&known.token)?)));
    let skew = service.max_clock_skew.0;
    Some(Rc::new(ServiceSignatures::new(keys, tokens, skew, told.clone(), unverified.cloned())))
}

fn place(place: &config::Place) -> Place {
    match place {
        config::Place::Header { name, prefix } => {
            Place::Header { name: Rc::from(name.as_str()), prefix: Rc::from(prefix.as_str()) }
        }
        config::Place::Cookie(name) => Place::Cookie(Rc::from(name.as_str())),
        config::Place::Query(name) => Place::Query(Rc::from(name.as_str())),
    }
}

pub(super) const fn algorithm(algorithm: config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::HS256 => Algorithm::Hs256,
        config::Algorithm::HS384 => Algorithm::Hs384,
        config::Algorithm::HS512 => Algorithm::Hs512,
        config::Algorithm::RS256 => Algorithm::Rs256,
        config::Algorithm::RS384 => Algorithm::Rs384,
        config::Algorithm::RS512 => Algorithm::Rs512,
        config::Algorithm::PS256 => Algorithm::Ps256,
        config::Algorithm::PS384 => Algorithm::Ps384,
        config::Algorithm::PS512 => Algorithm::Ps512,
        config::Algorithm::ES256 => Algorithm::Es256,
        config::Algorithm::ES384 => Algorithm::Es384,
        config::Algorithm::EdDSA => Algorithm::EdDsa,
    }
}
