//! Bearer tokens (RFC 6750) as JWTs (RFC 7519): found in their places, verified against the provider that their issuer
//! names, remembered until they expire.

use std::borrow::Cow;
use std::rc::Rc;

use crate::account::{Account, Joined};
use crate::check::{Callout, CalloutReply, Env};
use crate::checks::authenticate::account::{AccountLookup, Standing};
use crate::checks::authenticate::key_source::{KeySource, Proven, Shown, Unproven};
use crate::checks::authenticate::{Attempt, Credential, Told, header_safe, stopped};
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
use crate::jose::validate::Rules;
use crate::jose::verify::{Means, VerifyError};
use crate::policy::roles::Roles;
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
    /// The keys of the configuration.
    pub keys: KeySet,
    /// The public keys, where it publishes them.
    pub published_keys: Option<Rc<KeySource>>,
    /// Where its accounts are looked up.
    pub account: Option<Rc<AccountLookup>>,
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
        self.decide(None, exchange, env)
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        self.decide(Some((errand, reply)), exchange, env)
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

    fn decide(&self, arrived: Option<Arrived<'_>>, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let Some((first, rest)) = found.split_first() else { return Attempt::Absent };
        let attempt = if rest.iter().any(|other| other.token != first.token) || first.token.contains(&b',') {
            refused(Reason::Ambiguous)
        } else {
            let stands_in = |provider: &Provider| found.iter().any(|f| provider.places.contains(f.place));
            self.judge(&first.token, stands_in, arrived, exchange, env)
        };
        // While it waits it may still be needed.
        if !matches!(attempt, Attempt::Wait(..)) && !self.forwards(&attempt) {
            strip(&found, exchange);
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
        let known = match env.worker.verified(token, env.now) {
            Some(known) => known,
            None => {
                if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client, env) {
                    return stopped;
                }
                let waited = arrived.is_some_and(|(errand, _)| errand == Errand::KeySet);
                let shown = Shown { text: token, received: exchange.received, waited };
                match self.verify(&shown, &stands_in, env) {
                    Ok(known) => known,
                    Err(refusal) => return refusal.attempt(),
                }
            }
        };
        let provider = self.providers.iter().find(|p| p.name == known.identity.provider && stands_in(p));
        let Some(provider) = provider else { return refused(Reason::UnknownIssuer) };
        let Some(lookup) = &provider.account else { return Attempt::Verified(known.identity.clone()) };
        let reply = arrived.filter(|(errand, _)| *errand == Errand::Account).map(|(_, reply)| reply);
        match (lookup.standing(&known.identity.subject, reply, env), lookup.on_error) {
            (Standing::Good(account), _) => Attempt::Verified(self.with_account(&known, &account)),
            (Standing::Bad(reason), _) => refused(reason),
            (Standing::Ask(question), _) => Attempt::Wait(Errand::Account, question),
            (Standing::Unknown, Verdict::Deny) => refused(Reason::Unavailable),
            (Standing::Unknown, Verdict::Allow) => Attempt::Anonymous { without: "account_unavailable" },
        }
    }

    fn verify(
        &self,
        shown: &Shown<'_>,
        stands_in: impl Fn(&Provider) -> bool,
        env: &mut Env<'_>,
    ) -> Result<Rc<VerifiedToken>, Refusal> {
        let token = Token::parse(shown.text).map_err(|error| Refusal::Reason(error.reason()))?;
        let issuer = token.unverified_issuer();
        let provider = self.providers.iter().find(|p| p.rules.issuer.as_deref() == issuer && stands_in(p));
        let provider = provider.ok_or(Refusal::Reason(Reason::UnknownIssuer))?;
        let proven = provider.prove(token, shown, env)?;
        let accepted = provider.rules.validate(&proven.claims, env.now).map_err(Refusal::Reason)?;
        let (subject, validity) = (accepted.subject.into(), accepted.validity);
        let identity = self.identity(provider, subject, proven.claims, shown.text).map_err(Refusal::Reason)?;
        let identities = if provider.account.is_some() { 2 } else { 1 };
        let bytes = shown.text.len() + identities * identity.heap_bytes();
        let identity = Rc::new(identity);
        let (signed_by, with_account) = (proven.signed_by, Joined::default());
        let known = Rc::new(VerifiedToken { identity, validity, signed_by, with_account });
        env.worker.tokens.insert(shown.text, known.clone(), bytes);
        Ok(known)
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

    /// The caller as its account says: roles that the account names stand instead of those of the token, which may be
    /// older.
    fn with_account(&self, known: &VerifiedToken, account: &Rc<Account>) -> Rc<Identity> {
        let Some(roles) = &account.roles else { return known.identity.clone() };
        known.with_account.with(account, || {
            let mut identity = (*known.identity).clone();
            identity.roles = self.roles.set(roles.iter().map(String::as_str));
            identity.role_names.clone_from(roles);
            // The identity headers come first, and are as many for every caller.
            let told = self.told.headers(&identity);
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
    fn prove(&self, token: Token<'_>, shown: &Shown<'_>, env: &mut Env<'_>) -> Result<Proven, Refusal> {
        let algorithm = token.header().algorithm;
        match self.published_for(algorithm) {
            Some(source) => source.prove(token, shown, env).map_err(Refusal::from),
            None => {
                let budget = &mut env.worker.pure_verifications;
                let mut means = Means { host: env.host.verifier(), budget, now: env.now };
                let claims = token.verify(&self.keys, self.algorithms, &mut means).map_err(Refusal::Verify)?;
                Ok(Proven { claims, signed_by: None })
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
    Wait(Box<Callout>),
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Verify(error) => Self::Verify(error),
            Unproven::Wait(callout) => Self::Wait(callout),
            Unproven::Unavailable => Self::Reason(Reason::Unavailable),
        }
    }
}

impl Refusal {
    fn attempt(self) -> Attempt {
        match self {
            Self::Reason(reason) => refused(reason),
            Self::Wait(callout) => Attempt::Wait(Errand::KeySet, *callout),
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
