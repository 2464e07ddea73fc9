//! Providers and keys, and the credentials of one route.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::secrets::Secrets;
use super::{Findings, Shared, Surroundings, opaque, remote};
use portcullis::account::Accounts;
use portcullis::check::Background;
use portcullis::checks::authenticate::api_keys::{ApiKey, ApiKeys};
use portcullis::checks::authenticate::bearer::AnyBearer;
use portcullis::checks::authenticate::identity::{Grants, Identities, Proven};
use portcullis::checks::authenticate::jwt::{BearerTokens, Provider};
use portcullis::checks::authenticate::mtls::{Certificates, ClientCertificate, ReadPeer};
use portcullis::checks::authenticate::opaque::word::Answers;
use portcullis::checks::authenticate::opaque::{self as opaque_tokens, OpaqueTokens};
use portcullis::checks::authenticate::place::Place;
use portcullis::checks::authenticate::service::{ServiceSignatures, Terms, Uses};
use portcullis::checks::authenticate::signed_body::CheckSignedBody;
use portcullis::checks::authenticate::{Authenticate, Credential, Requirement, Told, Withhold};
use portcullis::checks::limit::AddressBudget;
use portcullis::exchange::Method;
use portcullis::jose::algorithm::Algorithm;
use portcullis::jose::claims::ClaimPath;
use portcullis::jose::fetched::FetchedKeys;
use portcullis::jose::jwk::{Jwks, Origin};
use portcullis::jose::key::{Secret, VerifyingKey};
use portcullis::jose::key_set::KeySet;
use portcullis::jose::validate::Rules;
use portcullis::peer::spiffe;
use portcullis::revocation::RevokedTokens;
use portcullis::secrets::{Derived, SecretSlot};
use portcullis::table::rate::Rate;
use portcullis_config::{self as config, Config, JwtProvider, MethodRef, SecretRef, SignatureVersion};

/// Everything that routes choose their credentials from.
pub(super) struct Authentication {
    providers: BTreeMap<String, Rc<Provider>>,
    opaque: BTreeMap<String, Rc<opaque_tokens::provider::Provider>>,
    remote: remote::Remote,
    service: Option<Rc<ServiceSignatures>>,
    api_keys: Option<Rc<ApiKeys>>,
    certificates: Rc<Certificates>,
    identities: Rc<Identities>,
    revoked: Rc<RevokedTokens>,
    unverified: Option<Rc<AddressBudget>>,
    realm: String,
    /// Bytes of a signed body; `None`: no body is signed.
    signed_bodies: Option<usize>,
    head_goes_first: bool,
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
        let compiled = compiled.map(|compiled| opened_by_access_tokens(compiled, config, provider));
        let compiled = compiled.map(|compiled| Provider {
            published_keys: remote.key_source(config, name.as_str(), provider, &path, surroundings, findings),
            account: remote.account(name.as_str(), provider, &path, findings),
            ..compiled
        });
        providers.extend(compiled.map(|compiled| (name.as_str().to_owned(), Rc::new(compiled))));
    }
    let unverified = unverified.map(|rate| Rc::new(AddressBudget(rate)));
    let service = config.authentication.service.as_ref();
    let signs_bodies = service.is_some_and(|service| service.signatures.contains(&SignatureVersion::V2));
    let identities = Rc::new(Identities { roles: shared.roles.clone(), told });
    let api_keys = compile_api_keys(config, secrets, &identities, unverified.as_ref(), findings);
    Authentication {
        providers,
        remote,
        opaque: opaque::compile(config, secrets, findings),
        service: compile_service(config, secrets, &identities.told, unverified.as_ref()),
        api_keys,
        certificates: Rc::new(compile_certificates(config, findings)),
        identities,
        revoked: shared.revoked.clone(),
        unverified,
        realm: config.service.as_str().to_owned(),
        head_goes_first: config.bodies.hold == config::Hold::BufferFilter,
        signed_bodies: signs_bodies.then(|| usize::try_from(config.inspection.body_limit.0).unwrap_or(usize::MAX)),
    }
}

impl Authentication {
    /// What is fetched beside the requests.
    pub(super) fn background(&self) -> Vec<Rc<dyn Background>> {
        let (opaque, identities) = (self.opaque.values().cloned(), &self.identities);
        let answers = opaque.map(|provider| Answers { provider, identities: identities.clone() });
        let answers = answers.map(|answers| Rc::new(answers) as Rc<dyn Background>);
        self.remote.background().into_iter().chain(answers).collect()
    }

    /// How many bad credentials an address may show.
    pub(super) fn unverified(&self) -> Option<&Rc<AddressBudget>> {
        self.unverified.as_ref()
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
                // Where one token is enough, it says itself which provider's it is: one look for all of them.
                MethodRef::Jwt(_) | MethodRef::Oauth2(_) if bearer && requirement != Requirement::All => {}
                MethodRef::Jwt(_) | MethodRef::Oauth2(_) => {
                    bearer = true;
                    let alone = std::slice::from_ref(method);
                    let named = if requirement == Requirement::All { alone } else { asked.methods() };
                    credentials.push(self.bearer(named));
                }
                MethodRef::Service => credentials.extend(self.service.clone().map(|s| s as Rc<dyn Credential>)),
                MethodRef::ApiKeys => credentials.extend(self.api_keys.clone().map(|keys| keys as Rc<dyn Credential>)),
                MethodRef::Mtls => {}
            }
        }
        if asked.methods().contains(&MethodRef::Mtls) {
            // Where everything is needed the first, wherever it is written: who has none is told so, at no cost. Else the
            // last: it speaks only where nothing says who calls.
            let all = requirement == Requirement::All;
            let needed = all || (requirement == Requirement::Any && credentials.is_empty());
            let certificate = Rc::new(ClientCertificate { needed, told: self.identities.told.clone() });
            credentials.insert(if all { 0 } else { credentials.len() }, certificate);
        }
        let challenge = self.challenge(asked);
        Some(Authenticate { requirement, credentials, unverified: self.unverified.clone(), challenge })
    }

    /// `WWW-Authenticate` of a route.
    fn challenge(&self, asked: &config::Authenticate) -> Rc<str> {
        let is_token = |method: &MethodRef| matches!(method, MethodRef::Jwt(_) | MethodRef::Oauth2(_));
        // Nothing that a client could send makes up for a certificate.
        let scheme = match asked.methods().iter().find(|method| **method != MethodRef::Mtls) {
            _ if asked.methods().iter().any(is_token) => "Bearer",
            Some(MethodRef::ApiKeys) => "ApiKey",
            _ => "Signature",
        };
        Rc::from(format!("{scheme} realm=\"{}\"", self.realm))
    }

    /// Whether a caller of the route may show a cookie as the only credential.
    pub(super) fn takes_cookies(&self, asked: &config::Authenticate) -> bool {
        let is_cookie = |place: &Place| matches!(place, Place::Cookie(_));
        asked.methods().iter().any(|method| match method {
            MethodRef::Jwt(_) => {
                let mut asked = self.providers.iter().filter(|(name, _)| names(asked.methods(), Kind::Jwt, name));
                asked.any(|(_, provider)| provider.places.iter().any(is_cookie))
            }
            MethodRef::ApiKeys => self.api_keys.iter().any(|keys| keys.places.iter().any(is_cookie)),
            MethodRef::Oauth2(_) | MethodRef::Service | MethodRef::Mtls => false,
        })
    }

    /// What compares the body with what the caller signed of it; `None` where no caller of the route can sign one.
    pub(super) fn signed_body(&self, asked: &config::Authenticate) -> Option<CheckSignedBody> {
        let limit = self.signed_bodies.filter(|_| asked.methods().contains(&MethodRef::Service))?;
        Some(CheckSignedBody { limit, head_goes_first: self.head_goes_first, challenge: self.challenge(asked) })
    }

    /// Who holds the peer's certificate, where `methods` or a rule need it: what is not asked for is not read.
    pub(super) fn read_peer(&self, methods: &[MethodRef], rules_ask: bool) -> Option<ReadPeer> {
        let mut asked = self.providers.iter().filter(|(name, _)| names(methods, Kind::Jwt, name));
        let digest = asked.any(|(_, provider)| provider.bound);
        let needed = digest || rules_ask || methods.contains(&MethodRef::Mtls);
        needed.then(|| ReadPeer { certificates: self.certificates.clone(), digest })
    }

    /// The places of tokens that a route which asks for `methods` does not look at; `None` when there are none.
    pub(super) fn withhold(&self, methods: &[MethodRef]) -> Option<Withhold> {
        let mut looked_at: Vec<Place> = Vec::new();
        let mut others: Vec<Place> = Vec::new();
        for (name, provider) in &self.providers {
            if names(methods, Kind::Jwt, name) {
                looked_at.extend_from_slice(&provider.places);
            } else if !provider.forward {
                others.extend_from_slice(&provider.places);
            }
        }
        for name in self.opaque.keys() {
            if names(methods, Kind::Oauth2, name) { &mut looked_at } else { &mut others }.push(opaque_tokens::place());
        }
        if let Some(keys) = &self.api_keys {
            let places = if methods.contains(&MethodRef::ApiKeys) { &mut looked_at } else { &mut others };
            places.extend_from_slice(&keys.places);
        }
        let mut places = Vec::new();
        for place in others {
            if !looked_at.contains(&place) && !places.contains(&place) {
                places.push(place);
            }
        }
        (!places.is_empty()).then_some(Withhold { places })
    }

    /// The tokens of `methods`: JWTs, opaque ones, or both.
    fn bearer(&self, methods: &[MethodRef]) -> Rc<dyn Credential> {
        let jwt = self.providers.iter().filter(|(name, _)| names(methods, Kind::Jwt, name));
        let jwt = BearerTokens {
            providers: jwt.map(|(_, provider)| provider.clone()).collect(),
            identities: self.identities.clone(),
            revoked: self.revoked.clone(),
            unverified: self.unverified.clone(),
        };
        let opaque = self.opaque.iter().filter(|(name, _)| names(methods, Kind::Oauth2, name));
        let opaque: Vec<_> = opaque.map(|(_, provider)| provider.clone()).collect();
        if opaque.is_empty() {
            return Rc::new(jwt);
        }
        let opaque = OpaqueTokens::new(opaque, self.identities.clone(), self.unverified.clone());
        if jwt.providers.is_empty() {
            return Rc::new(opaque);
        }
        Rc::new(AnyBearer { jwt, opaque })
    }
}

/// The kinds of tokens that have providers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jwt,
    Oauth2,
}

/// Whether one of `methods` is tokens of this provider.
fn names(methods: &[MethodRef], kind: Kind, provider: &str) -> bool {
    methods.iter().any(|method| {
        let (named, only) = match method {
            MethodRef::Jwt(only) => (Kind::Jwt, only),
            MethodRef::Oauth2(only) => (Kind::Oauth2, only),
            MethodRef::Service | MethodRef::ApiKeys | MethodRef::Mtls => return false,
        };
        named == kind && only.as_ref().is_none_or(|only| only.as_str() == provider)
    })
}

fn compile_provider(
    name: &str,
    provider: &JwtProvider,
    path: &str,
    secrets: &Secrets,
    findings: &mut Findings,
) -> Option<Provider> {
    let claims = &provider.claims;
    let mapped = |claim: &Option<String>| claim.as_deref().map(ClaimPath::new);
    let claim_headers = provider.claim_to_headers.iter();
    let claim_headers = claim_headers.map(|(header, claim)| (Rc::from(header.as_str()), ClaimPath::new(claim)));
    let keys = compile_keys(provider, path, secrets, findings)?;
    let rules = Rules {
        issuer: provider.issuer.as_deref().map(Box::from),
        audiences: provider.audiences.iter().map(|audience| Box::from(audience.as_str())).collect(),
        require_expiration: provider.require_expiration,
        clock_skew: provider.clock_skew.0,
        max_lifetime: provider.max_lifetime.map(|lifetime| lifetime.0),
        token_type: mapped(&claims.token_type).map(|claim| (claim, Box::from(provider.token_type.as_str()))),
        subject: ClaimPath::new(&claims.subject),
        active: mapped(&claims.active),
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
        grants: Grants { roles: mapped(&claims.roles), scopes: mapped(&claims.scopes) },
        bound: provider.bound_to_certificate == config::Binding::Required,
        claim_headers: claim_headers.collect(),
        payload_header: provider.payload_header.as_ref().map(|header| Rc::from(header.as_str())),
    })
}

/// A refresh token that is issued here opens nothing but its endpoint, although the provider may map no type.
fn opened_by_access_tokens(mut compiled: Provider, config: &Config, provider: &JwtProvider) -> Provider {
    let issued_here = config.tokens.as_ref().is_some_and(|tokens| tokens.issuer == provider.issuer);
    if issued_here && compiled.rules.token_type.is_none() {
        compiled.rules.token_type = Some((ClaimPath::new("type"), Box::from("access")));
    }
    compiled
}

fn compile_keys(
    provider: &JwtProvider,
    path: &str,
    secrets: &Secrets,
    findings: &mut Findings,
) -> Option<Derived<KeySet>> {
    let hashes: Vec<_> = provider.algorithms.iter().filter(|a| a.is_shared()).map(|a| algorithm(*a).hash()).collect();
    for (at, reference) in provider.keys.iter().enumerate() {
        let field = format!("{path}.keys[{at}].secret");
        let Some(value) = secrets.slot(reference).and_then(|slot| slot.current()) else { continue };
        match Secret::new(value.reveal()) {
            Ok(secret) if hashes.iter().any(|hash| secret.is_short(*hash)) => {
                findings.warning(field, "the secret is shorter than the digest that signs with it (RFC 7518 3.2)");
            }
            Ok(_) => {}
            Err(error) => findings.error(field, error.to_string()),
        }
    }
    let slots = secrets.slots(&provider.keys);
    let mut published = Vec::new();
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
            Ok(parsed) => published = parsed.keys.into_keys(),
        }
    }
    let usable = |algorithm: Algorithm| published.iter().any(|key| key.allows(algorithm));
    let shared = !slots.is_empty() && !hashes.is_empty();
    let any = !slots.is_empty() || !published.is_empty();
    if any && !shared && !provider.algorithms.iter().any(|a| usable(algorithm(*a))) {
        findings.error(format!("{path}.algorithms"), "expected an algorithm that one of the keys can verify");
    }
    Some(Derived::new(slots, move |slots| key_set(slots, &published)))
}

/// The current values first: most tokens are of these.
fn key_set(slots: &[Rc<SecretSlot>], published: &[Rc<VerifyingKey>]) -> KeySet {
    let current = slots.iter().filter_map(|slot| slot.current());
    let former = slots.iter().flat_map(|slot| slot.accepted().into_iter().skip(1));
    let secrets = current.chain(former).filter_map(|value| Secret::new(value.reveal()).ok());
    let shared = secrets.map(|secret| Rc::new(VerifyingKey::from_secret(None, secret)));
    KeySet::new(shared.chain(published.iter().cloned()).collect())
}

fn compile_service(
    config: &Config,
    secrets: &Secrets,
    told: &Rc<Told>,
    unverified: Option<&Rc<AddressBudget>>,
) -> Option<Rc<ServiceSignatures>> {
    let service = config.authentication.service.as_ref()?;
    let services = service.services.iter();
    let tokens = services.filter_map(|(name, known)| Some((name.as_str().to_owned(), secrets.slot(&known.token)?)));
    let uses = |version, replay| {
        let uses = if replay == config::Verdict::Allow { Uses::Many } else { Uses::Once };
        service.signatures.contains(&version).then_some(uses)
    };
    let terms = Terms {
        max_clock_skew: service.max_clock_skew.0,
        v1: uses(SignatureVersion::V1, service.replay.v1),
        v2: uses(SignatureVersion::V2, service.replay.v2),
    };
    let keys = secrets.slots(&service.keys);
    Some(Rc::new(ServiceSignatures::new(keys, tokens, terms, told.clone(), unverified.cloned())))
}

fn compile_api_keys(
    config: &Config,
    secrets: &Secrets,
    identities: &Identities,
    unverified: Option<&Rc<AddressBudget>>,
    findings: &mut Findings,
) -> Option<Rc<ApiKeys>> {
    let configured = config.authentication.api_keys.as_ref()?;
    let mut keys: Vec<(&str, ApiKey)> = Vec::new();
    for (name, known) in &configured.keys {
        let path = format!("authentication.api_keys.keys.{}", name.as_str());
        let Some(secret) = secrets.slot(&SecretRef { secret: known.secret.clone() }) else { continue };
        let caller = identities.make(Proven {
            method: Method::ApiKey,
            provider: Rc::from("api_keys"),
            subject: name.as_str().to_owned(),
            role_names: known.roles.clone(),
            scopes: Vec::new(),
            claims: None,
            headers: Vec::new(),
        });
        let Ok(caller) = caller else {
            findings.error(format!("{path}.roles"), "expected names without commas, semicolons and spaces around them");
            continue;
        };
        let key = ApiKey::new(secret, caller);
        match keys.iter().find(|(_, other)| other.is_that_of(&key)) {
            Some((first, _)) => findings.error(format!("{path}.secret"), format!("has the value of that of {first}")),
            None => keys.push((name.as_str(), key)),
        }
    }
    let (places, keys) = (configured.from.iter().map(place).collect(), keys.into_iter().map(|(_, key)| key).collect());
    Some(Rc::new(ApiKeys { places, keys, unverified: unverified.cloned() }))
}

fn compile_certificates(config: &Config, findings: &mut Findings) -> Certificates {
    let mtls = config.authentication.mtls.clone().unwrap_or_default();
    for (at, domain) in mtls.trust_domains.iter().enumerate() {
        if let Err(error) = spiffe::trust_domain(domain) {
            findings.error(format!("authentication.mtls.trust_domains[{at}]"), error.to_string());
        }
    }
    Certificates {
        trust_domains: mtls.trust_domains.into_iter().map(Box::from).collect(),
        listener_verifies: mtls.listener_verifies,
        header: Rc::from(config.headers.identity.peer.as_str()),
    }
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
