//! Bearer tokens (RFC 6750) as JWTs (RFC 7519): found in their places, verified against the provider that their issuer
//! names, remembered until they expire.

use std::borrow::Cow;
use std::rc::Rc;

use crate::check::{CalloutReply, Env, Failure};
use crate::checks::authenticate::{Attempt, Credential, Told, await_secret, header_safe, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange, Identity, Method};
use crate::jose::algorithm::AlgorithmSet;
use crate::jose::claims::{ClaimPath, Claims};
use crate::jose::json::Json;
use crate::jose::key_set::KeySet;
use crate::jose::reason::Reason;
use crate::jose::token::Token;
use crate::jose::validate::Rules;
use crate::jose::verify::{Means, VerifyError};
use crate::policy::roles::Roles;
use crate::secrets::{Derived, SecretSlot};
use crate::time::Timestamp;
use crate::worker::VerifiedToken;

use super::place::{self, Found, Place};

/// An issuer and what its tokens must be.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: Rc<str>,
    /// What is demanded of the claims.
    pub rules: Rules,
    /// The only algorithms accepted, whatever the token says.
    pub algorithms: AlgorithmSet,
    /// The keys, made anew when a secret among them changes.
    pub keys: Derived<KeySet>,
    /// Where its tokens may stand.
    pub places: Vec<Place>,
    /// The upstream gets the token as well.
    pub forward: bool,
    /// The claim with the roles; without one its tokens grant none.
    pub roles: Option<ClaimPath>,
    /// The claim with the scopes; without one its tokens grant none.
    pub scopes: Option<ClaimPath>,
    /// Headers that carry a claim to the upstream.
    pub claim_headers: Vec<(Rc<str>, ClaimPath)>,
    /// The header that carries the payload, base64url, to the upstream.
    pub payload_header: Option<Rc<str>>,
}

/// JWTs of some providers.
pub struct BearerTokens {
    /// The providers whose tokens count here.
    pub providers: Vec<Rc<Provider>>,
    /// The roles that rules name.
    pub roles: Rc<Roles>,
    /// What the upstream is told.
    pub told: Rc<Told>,
    /// How many bad credentials an address may show.
    pub unverified: Option<Rc<AddressBudget>>,
}

impl Credential for BearerTokens {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let Some((first, rest)) = found.split_first() else { return Attempt::Absent };
        let attempt = if rest.iter().any(|other| other.token != first.token) || first.token.contains(&b',') {
            refused(Reason::Ambiguous)
        } else {
            let stands_in = |provider: &Provider| found.iter().any(|f| provider.places.contains(f.place));
            self.judge(&first.token, stands_in, exchange, env)
        };
        // What is looked at again when the answer has arrived stays until then.
        if !matches!(attempt, Attempt::Wait(..)) && !self.forwards(&attempt) {
            strip(&found, exchange);
        }
        attempt
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let Errand::Secret(number) = errand else { return Attempt::Fail(Failure::UnexpectedArrival) };
        secret_arrived(number, reply, self.providers.iter().flat_map(|provider| provider.keys.slots()), env);
        self.attempt(exchange, env)
    }

    fn withhold(&self, exchange: &mut Exchange) {
        if !self.providers.iter().all(|provider| provider.forward) {
            strip(&place::find(&self.places(), exchange), exchange);
        }
    }
}

impl BearerTokens {
    /// Where any of the providers' tokens may stand, each place once.
    fn places(&self) -> Vec<&Place> {
        let mut places = Vec::new();
        for place in self.providers.iter().flat_map(|provider| &provider.places) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn judge(
        &self,
        token: &[u8],
        stands_in: impl Fn(&Provider) -> bool,
        exchange: &Exchange,
        env: &mut Env<'_>,
    ) -> Attempt {
        let now = env.now;
        let known = env.worker.tokens.lookup(token, |known| {
            known.validity.check(now).is_ok() && self.has_keys(&known.identity.provider, known.keys)
        });
        if let Some(known) = known {
            let accepted = self.providers.iter().any(|p| p.name == known.identity.provider && stands_in(p));
            return if accepted { Attempt::Verified(known.identity.clone()) } else { refused(Reason::UnknownIssuer) };
        }
        if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client, env) {
            return stopped;
        }
        match self.verify(token, stands_in, env) {
            Ok(verified) => {
                let identity = verified.identity.clone();
                let bytes = token.len() + identity.heap_bytes();
                env.worker.tokens.insert(token, verified, bytes);
                Attempt::Verified(identity)
            }
            Err(refusal) => refusal.attempt(env.now),
        }
    }

    fn verify(
        &self,
        text: &[u8],
        stands_in: impl Fn(&Provider) -> bool,
        env: &mut Env<'_>,
    ) -> Result<VerifiedToken, Refusal> {
        let token = Token::parse(text).map_err(|error| Refusal::Reason(error.reason()))?;
        let issuer = token.unverified_issuer();
        let provider = self.providers.iter().find(|p| p.rules.issuer.as_deref() == issuer && stands_in(p));
        let provider = provider.ok_or(Refusal::Reason(Reason::UnknownIssuer))?;
        let budget = &mut env.worker.pure_verifications;
        let mut means = Means { host: env.host.verifier(), budget, now: env.now };
        let keys = provider.keys.version();
        let verified = token.verify(&provider.keys.current(), provider.algorithms, &mut means);
        let claims = verified.map_err(|error| Refusal::of(error, provider))?;
        let accepted = provider.rules.validate(&claims, env.now).map_err(Refusal::Reason)?;
        let identity = self.identity(provider, accepted.subject.into(), claims, text).map_err(Refusal::Reason)?;
        Ok(VerifiedToken { identity: Rc::new(identity), validity: accepted.validity, keys })
    }

    /// Whether the keys of a provider are still those of this version; of one that does not count here nothing is said.
    fn has_keys(&self, provider: &str, version: u64) -> bool {
        let provider = self.providers.iter().find(|known| *known.name == *provider);
        provider.is_none_or(|provider| provider.keys.version() == version)
    }

    fn identity(&self, provider: &Provider, subject: String, claims: Claims, token: &[u8]) -> Result<Identity, Reason> {
        let role_names = provider.roles.iter().flat_map(|path| roles(&claims, path)).map(str::to_owned);
        let role_names: Vec<String> = role_names.collect();
        let scopes = provider.scopes.iter().flat_map(|path| claims.scopes(path)).map(str::to_owned).collect();
        let mut told = claim_headers(provider, &claims, token)?;
        // What the upstream would read as two values, or as two lines, is refused, not repaired.
        if !header_safe(&subject) || !role_names.iter().all(|role| header_safe(role)) {
            return Err(Reason::Malformed);
        }
        let roles = self.roles.set(role_names.iter().map(String::as_str));
        let mut identity = Identity::new(Method::Jwt, provider.name.clone(), subject);
        identity.roles = roles;
        identity.scopes = scopes;
        identity.role_names = role_names;
        identity.claims = Some(claims);
        identity.headers = self.told.headers(&identity);
        identity.headers.append(&mut told);
        Ok(identity)
    }

    fn forwards(&self, attempt: &Attempt) -> bool {
        let accepted = match attempt {
            Attempt::Verified(identity) => Some(&identity.provider),
            _ => None,
        };
        self.providers.iter().filter(|p| accepted.is_none_or(|name| p.name == *name)).all(|p| p.forward)
    }
}

/// Why a token has no identity.
enum Refusal {
    Reason(Reason),
    Verify(VerifyError),
    /// A key that might verify it has not arrived.
    Missing(Rc<SecretSlot>),
}

impl Refusal {
    fn of(error: VerifyError, provider: &Provider) -> Self {
        match (error, provider.keys.missing()) {
            (VerifyError::UnknownKey | VerifyError::BadSignature, Some(slot)) => Self::Missing(slot.clone()),
            _ => Self::Verify(error),
        }
    }

    fn attempt(self, now: Timestamp) -> Attempt {
        match self {
            Self::Missing(slot) => await_secret(&slot, now),
            Self::Reason(reason) => refused(reason),
            Self::Verify(VerifyError::Busy) => Attempt::Busy { retry_after: 1 },
            Self::Verify(error) => match error.reason() {
                Some(reason) => refused(reason),
                None => refused(Reason::Malformed),
            },
        }
    }
}

const fn refused(reason: Reason) -> Attempt {
    Attempt::Refused(AuthReason::Token(reason))
}

fn strip(found: &[Found<'_>], exchange: &mut Exchange) {
    for found in found {
        place::strip(found.place, exchange);
    }
}

/// The roles of a list, each whole, or of a text with spaces between them.
fn roles<'c>(claims: &'c Claims, path: &ClaimPath) -> Vec<&'c str> {
    match claims.value(path) {
        Some(Json::String(text)) => text.split(' ').filter(|role| !role.is_empty()).collect(),
        _ => claims.list(path).collect(),
    }
}

fn claim_headers(provider: &Provider, claims: &Claims, token: &[u8]) -> Result<Vec<(Rc<str>, String)>, Reason> {
    let mut headers = Vec::new();
    for (header, path) in &provider.claim_headers {
        let flag = || claims.flag(path).map(|flag| Cow::Borrowed(if flag { "true" } else { "false" }));
        let Some(value) = claims.text(path).or_else(flag) else { continue };
        if !header_safe(&value) {
            return Err(Reason::Malformed);
        }
        headers.push((header.clone(), value.into_owned()));
    }
    if let Some(header) = &provider.payload_header {
        let payload = token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
        headers.push((header.clone(), String::from_utf8_lossy(payload).into_owned()));
    }
    Ok(headers)
}
