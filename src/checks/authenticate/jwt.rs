//! Bearer tokens (RFC 6750) as JWTs (RFC 7519): found in their places, verified against the provider that their issuer
//! names, remembered until they expire.

use std::borrow::Cow;
use std::rc::Rc;

use crate::account::{Account, ByAccount};
use crate::check::{Callout, CalloutReply, Env, Failure};
use crate::checks::authenticate::account::{AccountLookup, Standing};
use crate::checks::authenticate::identity::{Grants, Identities, Proven};
use crate::checks::authenticate::key_source::{self, KeySource, Unproven};
use crate::checks::authenticate::{Attempt, Credential, Undecided, await_secret, header_safe, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::config::Verdict;
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange, Identity, Method};
use crate::jose::algorithm::{Algorithm, AlgorithmSet, KeyType};
use crate::jose::claims::{ClaimPath, Claims};
use crate::jose::json::Json;
use crate::jose::key_set::KeySet;
use crate::jose::reason::Reason;
use crate::jose::token::Token;
use crate::jose::validate::{Rules, check_binding};
use crate::jose::verify::{Means, VerifyError};
use crate::revocation::{Marks, RevokedTokens, Unknown};
use crate::secrets::{Derived, SecretSlot};
use crate::time::Timestamp;
use crate::worker::VerifiedToken;

use super::place::{self, Place, Shown};
use super::revocation_feed::SETTINGS as FEED;

/// An issuer and what its tokens must be.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: Rc<str>,
    /// What is demanded of the claims.
    pub rules: Rules,
    /// The only algorithms accepted, whatever the token says.
    pub algorithms: AlgorithmSet,
    /// The keys of the configuration, made anew when a secret among them changes.
    pub keys: Derived<KeySet>,
    /// The public keys, where it publishes them.
    pub published_keys: Option<Rc<KeySource>>,
    /// Where its accounts are looked up.
    pub account: Option<Rc<AccountLookup>>,
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
    /// What was revoked of them.
    pub revoked: Rc<RevokedTokens>,
    /// How many bad credentials an address may show.
    pub unverified: Option<Rc<AddressBudget>>,
}

impl Credential for BearerTokens {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        self.decide(None, exchange, env)
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        if let Errand::Secret(number) = errand {
            self.secret_arrived(number, reply, env);
        }
        self.decide(Some((errand, reply)), exchange, env)
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

    fn decide(&self, arrived: Option<Arrived<'_>>, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let stands_in = |provider: &Provider| found.iter().any(|f| provider.places.contains(f.place));
        let attempt = match place::shown(&found) {
            Shown::Nothing => return Attempt::Absent,
            Shown::One(token) if !token.contains(&b',') => {
                self.bound(self.judge(token, stands_in, arrived, exchange, env), exchange)
            }
            Shown::One(_) | Shown::Different => refused(Reason::Ambiguous),
        };
        if matches!(attempt, Attempt::Verified(_)) {
            exchange.shown_by = exchange.shown_by.max(place::shown_by(&found));
        }
        // While it waits it may still be needed.
        if !matches!(attempt, Attempt::Wait(..)) && !self.forwards(&attempt) {
            place::strip_all(&found, exchange);
        }
        attempt
    }

    fn judge(
        &self,
        token: &[u8],
        stands_in: impl Fn(&Provider) -> bool,
        arrived: Option<Arrived<'_>>,
        exchange: &Exchange,
        env: &mut Env<'_>,
    ) -> Attempt {
        let known = env.worker.verified(token, env.now).filter(|known| self.has_keys(known));
        let known = match known {
            Some(known) => known,
            None => {
                if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client(), env) {
                    return stopped;
                }
                let waited = arrived.is_some_and(|(errand, _)| errand == Errand::KeySet);
                let shown = key_source::Shown { text: token, received: exchange.received, waited };
                match self.verify(&shown, &stands_in, env) {
                    Ok(known) => known,
                    Err(refusal) => return refusal.attempt(env.now),
                }
            }
        };
        let provider = self.providers.iter().find(|p| p.name == known.identity.provider && stands_in(p));
        let Some(provider) = provider else { return refused(Reason::UnknownIssuer) };
        match self.revoked.contains(&known.marks, env) {
            Ok(false) => {}
            Ok(true) => return refused(Reason::Revoked),
            Err(Unknown::Feed | Unknown::Full) => return Attempt::undecided(FEED, Undecided::Refuse),
            Err(Unknown::Table(_)) => return Attempt::Fail(Failure::Store),
        }
        let Some(lookup) = &provider.account else { return Attempt::Verified(known.identity.clone()) };
        let reply = arrived.filter(|(errand, _)| *errand == Errand::Account).map(|(_, reply)| reply);
        let then = match (lookup.standing(&known.identity.subject, reply, env), lookup.on_error) {
            (Standing::Good(account), _) => return Attempt::Verified(self.with_account(&known, &account)),
            (Standing::Bad(reason), _) => return refused(reason),
            (Standing::Ask(question), _) => return Attempt::Wait(Errand::Account, question),
            (Standing::Unclear, _) | (Standing::Unknown, Verdict::Deny) => Undecided::Refuse,
            (Standing::Unknown, Verdict::Allow) => Undecided::Anonymous { without: "account_unavailable" },
        };
        Attempt::undecided(lookup.settings(), then)
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
        shown: &key_source::Shown<'_>,
        stands_in: impl Fn(&Provider) -> bool,
        env: &mut Env<'_>,
    ) -> Result<Rc<VerifiedToken>, Refusal> {
        let token = Token::parse(shown.text).map_err(|error| Refusal::Reason(error.reason()))?;
        let issuer = token.unverified_issuer();
        let provider = self.providers.iter().find(|p| p.rules.issuer.as_deref() == issuer && stands_in(p));
        let provider = provider.ok_or(Refusal::Reason(Reason::UnknownIssuer))?;
        let keys = provider.keys.version();
        let proven = provider.prove(token, shown, env)?;
        let accepted = provider.rules.validate(&proven.claims, env.now).map_err(Refusal::Reason)?;
        let (subject, validity) = (accepted.subject.into(), accepted.validity);
        let marks = Marks::of(&proven.claims);
        let identity = self.identity(provider, subject, proven.claims, shown.text).map_err(Refusal::Reason)?;
        let identities = if provider.account.is_some() { 2 } else { 1 };
        let bytes = shown.text.len() + identities * identity.heap_bytes() + marks.heap_bytes();
        let identity = Rc::new(identity);
        let (signed_by, with_account) = (proven.signed_by, ByAccount::default());
        let known = Rc::new(VerifiedToken { identity, validity, keys, signed_by, marks, with_account });
        env.worker.tokens.insert(shown.text, known.clone(), bytes);
        Ok(known)
    }

    /// Whether the keys of its provider are still those that verified it; of a provider that does not count here nothing
    /// is said.
    fn has_keys(&self, known: &VerifiedToken) -> bool {
        let provider = self.providers.iter().find(|provider| provider.name == known.identity.provider);
        provider.is_none_or(|provider| provider.keys.version() == known.keys)
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

    /// The caller as its account says: roles that the account names stand instead of those of the token, which may be
    /// older.
    fn with_account(&self, known: &VerifiedToken, account: &Rc<Account>) -> Rc<Identity> {
        let Some(roles) = &account.roles else { return known.identity.clone() };
        known.with_account.with(account, || {
            let mut identity = (*known.identity).clone();
            identity.roles = self.identities.roles.set(roles.iter().map(String::as_str));
            identity.role_names.clone_from(roles);
            // The identity headers come first, and are as many for every caller.
            let told = self.identities.told.headers(&identity);
            let claims = identity.headers.split_off(told.len().min(identity.headers.len()));
            identity.headers = [told, claims].concat();
            identity
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

impl Provider {
    fn prove(
        &self,
        token: Token<'_>,
        shown: &key_source::Shown<'_>,
        env: &mut Env<'_>,
    ) -> Result<key_source::Proven, Refusal> {
        let algorithm = token.header().algorithm;
        match self.published_for(algorithm) {
            Some(source) => source.prove(token, shown, env).map_err(|unproven| Refusal::by(source, unproven)),
            None => {
                let budget = env.worker.pure_verifications.as_mut();
                let mut means = Means { host: env.host.verifier(), budget, now: env.now };
                let verified = token.verify(&self.keys.current(), self.algorithms, &mut means);
                let claims = verified.map_err(|error| Refusal::of(error, self))?;
                Ok(key_source::Proven { claims, signed_by: None })
            }
        }
    }

    /// Where the keys for this algorithm are published. Shared secrets never are, and what the provider does not allow
    /// needs no keys.
    fn published_for(&self, algorithm: Algorithm) -> Option<&KeySource> {
        let is_public = algorithm.key_type() != KeyType::Secret && self.algorithms.contains(algorithm);
        self.published_keys.as_deref().filter(|_| is_public)
    }
}

/// The answer to what an exchange waited for.
type Arrived<'a> = (Errand, &'a CalloutReply);

/// Why a token has no identity.
enum Refusal {
    Reason(Reason),
    Verify(VerifyError),
    /// A key that might verify it has not arrived.
    Missing(Rc<SecretSlot>),
    /// The published keys, by the path of their settings, could not be fetched.
    Unfetched(Rc<str>),
    Wait(Box<Callout>),
}

impl Refusal {
    fn by(source: &KeySource, unproven: Unproven) -> Self {
        match unproven {
            Unproven::Verify(error) => Self::Verify(error),
            Unproven::Wait(callout) => Self::Wait(callout),
            Unproven::Unavailable => Self::Unfetched(source.settings.clone()),
        }
    }

    fn of(error: VerifyError, provider: &Provider) -> Self {
        match (error, provider.keys.missing()) {
            (VerifyError::UnknownKey | VerifyError::BadSignature, Some(slot)) => Self::Missing(slot.clone()),
            _ => Self::Verify(error),
        }
    }

    fn attempt(self, now: Timestamp) -> Attempt {
        match self {
            Self::Missing(slot) => await_secret(&slot, now),
            Self::Unfetched(keys) => Attempt::undecided(keys, Undecided::Refuse),
            Self::Reason(reason) => refused(reason),
            Self::Wait(callout) => Attempt::Wait(Errand::KeySet, *callout),
            Self::Verify(VerifyError::Busy) => Attempt::Busy { retry_after: 1 },
            Self::Verify(VerifyError::NoVerifier) => Attempt::Fail(Failure::NoVerifier),
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

/// What can be said in a header: a text, a number, or whether something is true. Arrays and objects cannot.
fn plain(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Number(number) => Some(Cow::Owned(number.to_string())),
        Json::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn claim_headers(provider: &Provider, claims: &Claims, token: &[u8]) -> Result<Vec<(Rc<str>, String)>, Reason> {
    let mut headers = Vec::new();
    for (header, path) in &provider.claim_headers {
        let Some(value) = claims.value(path).and_then(plain) else { continue };
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
