//! Bearer tokens (RFC 6750) as JWTs (RFC 7519): found in their places, verified against the provider that their issuer
//! names, remembered until they expire.

use std::borrow::Cow;
use std::rc::Rc;

use crate::check::{CalloutReply, Env, Failure};
use crate::checks::authenticate::identity::{Grants, Identities, Proven};
use crate::checks::authenticate::{Attempt, Credential, await_secret, header_safe, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange, Identity, Method};
use crate::jose::algorithm::AlgorithmSet;
use crate::jose::claims::{ClaimPath, Claims};
use crate::jose::key_set::KeySet;
use crate::jose::reason::Reason;
use crate::jose::token::Token;
use crate::jose::validate::{Rules, check_binding};
use crate::jose::verify::{Means, VerifyError};
use crate::secrets::{Derived, SecretSlot};
use crate::time::Timestamp;
use crate::worker::VerifiedToken;

use super::place::{self, Place, Shown};

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
    /// The claims by which its tokens grant something.
    pub grants: Grants,
    /// Its tokens belong to the peer's certificate (RFC 8705 section 3).
    pub bound: bool,
    /// Headers that carry a claim to the upstream.
    pub claim_headers: Vec<(Rc<str>, ClaimPath)>,
    /// The header that carries the payload, base64url, to the upstream.
    pub payload_header: Option<Rc<str>>,
}

/// JWTs of some providers.
pub struct BearerTokens {
    /// The providers whose tokens count here.
    pub providers: Vec<Rc<Provider>>,
    /// What identities are made with.
    pub identities: Rc<Identities>,
    /// How many bad credentials an address may show.
    pub unverified: Option<Rc<AddressBudget>>,
}

impl Credential for BearerTokens {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let stands_in = |provider: &Provider| found.iter().any(|f| provider.places.contains(f.place));
        let attempt = match place::shown(&found) {
            Shown::Nothing => return Attempt::Absent,
            Shown::One(token) if !token.contains(&b',') => {
                self.bound(self.judge(token, stands_in, exchange, env), exchange)
            }
            Shown::One(_) | Shown::Different => refused(Reason::Ambiguous),
        };
        // What is looked at again when the answer has arrived stays until then.
        if !matches!(attempt, Attempt::Wait(..)) && !self.forwards(&attempt) {
            place::strip_all(&found, exchange);
        }
        attempt
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let Errand::Secret(number) = errand else { return Attempt::Fail(Failure::UnexpectedArrival) };
        self.secret_arrived(number, reply, env);
        self.attempt(exchange, env)
    }

    fn withhold(&self, exchange: &mut Exchange) {
        if !self.providers.iter().all(|provider| provider.forward) {
            place::strip_all(&place::find(&self.places(), exchange), exchange);
        }
    }
}

impl BearerTokens {
    /// Gives the answer to the secret that was waited for, where it is one of ours.
    pub(super) fn secret_arrived(&self, number: u16, reply: &CalloutReply, env: &mut Env<'_>) {
        secret_arrived(number, reply, self.providers.iter().flat_map(|provider| provider.keys.slots()), env);
    }

    /// Where any of the providers' tokens may stand, each place once.
    pub(super) fn places(&self) -> Vec<&Place> {
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

    /// Looks on every use whether a token belongs to this connection: the one that it was first seen on is no proof.
    fn bound(&self, attempt: Attempt, exchange: &Exchange) -> Attempt {
        let Attempt::Verified(identity) = &attempt else { return attempt };
        let provider = self.providers.iter().find(|provider| provider.name == identity.provider);
        if provider.is_some_and(|provider| !provider.bound) {
            return attempt;
        }
        let binding = identity.claims.as_ref().map(|claims| check_binding(claims, exchange.peer_digest.as_ref(), true));
        if binding == Some(Ok(())) { attempt } else { refused(Reason::Unbound) }
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
        let headers = claim_headers(provider, &claims, token)?;
        self.identities.make(Proven {
            method: Method::Jwt,
            provider: provider.name.clone(),
            subject,
            role_names: provider.grants.roles(&claims),
            scopes: provider.grants.scopes(&claims),
            claims: Some(claims),
            headers,
        })
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
