//! Bearer tokens (RFC 6750) that only their provider can read: it is asked about each, once at a time, and its answer is
//! remembered for a while.

pub mod provider;
pub mod word;

use std::rc::Rc;

use crate::check::{CalloutReply, Env, Failure};
use crate::checks::authenticate::identity::Identities;
use crate::checks::authenticate::{Attempt, Credential, await_secret, secret_arrived, stopped};
use crate::checks::limit::AddressBudget;
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange, Identity};
use crate::jose::reason::Reason;
use crate::worker::TokenDigest;

use super::place::{self, Place, Shown};
use provider::Provider;

/// The longest token that is asked about, in bytes: it has to go through where it is asked about, in a header.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Opaque tokens of some providers, in the `Authorization` header.
pub struct OpaqueTokens {
    providers: Vec<Rc<Provider>>,
    identities: Rc<Identities>,
    unverified: Option<Rc<AddressBudget>>,
    place: Place,
}

/// A token with the provider that can say whose it is.
struct Asked<'a> {
    provider: &'a Provider,
    token: &'a str,
    digest: TokenDigest,
}

impl OpaqueTokens {
    /// The tokens of `providers`, no two of which have beginnings that one token can have both.
    pub fn new(
        providers: Vec<Rc<Provider>>,
        identities: Rc<Identities>,
        unverified: Option<Rc<AddressBudget>>,
    ) -> Self {
        Self { providers, identities, unverified, place: place() }
    }

    /// Where the token stands.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether a provider's tokens begin like this one.
    pub fn claims(&self, token: &[u8]) -> bool {
        self.provider_of(token).is_some()
    }

    /// The provider whose prefix the token has, else the one without a prefix.
    fn provider_of(&self, token: &[u8]) -> Option<&Provider> {
        let of = |prefix: &str| token.starts_with(prefix.as_bytes());
        let prefixed = self.providers.iter().find(|provider| provider.prefix.as_deref().is_some_and(of));
        prefixed.or_else(|| self.providers.iter().find(|provider| provider.prefix.is_none())).map(Rc::as_ref)
    }

    /// Gives the answer to the secret that was waited for, where it is one of ours.
    pub fn secret_arrived(&self, number: u16, reply: &CalloutReply, env: &mut Env<'_>) {
        secret_arrived(number, reply, self.providers.iter().flat_map(|provider| provider.source.slots()), env);
    }

    fn asked<'a>(&'a self, token: &'a [u8]) -> Result<Asked<'a>, Reason> {
        // Visible characters (RFC 6749 appendix A.12): the token goes into a header. A comma would be two of them.
        if token.contains(&b',') {
            return Err(Reason::Ambiguous);
        }
        let is_token = !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(token).ok().filter(|_| is_token).ok_or(Reason::Malformed)?;
        let provider = self.provider_of(token).ok_or(Reason::UnknownIssuer)?;
        Ok(Asked { provider, token: text, digest: provider.digest(text) })
    }

    fn judge(&self, token: &[u8], exchange: &Exchange, env: &mut Env<'_>) -> Attempt {
        let asked = self.asked(token);
        if let Some(identity) = asked.as_ref().ok().and_then(|asked| asked.known(env)) {
            return Attempt::Verified(identity);
        }
        if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client(), env) {
            return stopped;
        }
        match asked {
            Err(reason) => refused(reason),
            Ok(asked) => match asked.provider.kept_refusal(&asked.digest, env) {
                Some(refusal) => asked.provider.refused(refusal),
                None => asked.ask(env),
            },
        }
    }

    /// What the reply makes of the token that was asked about.
    fn answered(&self, token: &[u8], reply: &CalloutReply, env: &mut Env<'_>) -> Attempt {
        match self.asked(token) {
            Ok(asked) => match asked.provider.word(&asked.digest, reply, &self.identities, env) {
                Ok(identity) => Attempt::Verified(identity),
                Err(refusal) => asked.provider.refused(refusal),
            },
            Err(reason) => refused(reason),
        }
    }

    /// The verdict on the token that the request shows, and with it the token's end here.
    fn conclude(&self, exchange: &mut Exchange, verdict: impl FnOnce(&[u8], &mut Exchange) -> Attempt) -> Attempt {
        let found = place::find(&[&self.place], exchange);
        let attempt = match place::shown(&found) {
            Shown::Nothing => return Attempt::Absent,
            Shown::Different => refused(Reason::Ambiguous),
            Shown::One(token) => verdict(token, exchange),
        };
        if !matches!(attempt, Attempt::Wait(..)) {
            place::strip_all(&found, exchange);
        }
        attempt
    }
}

impl Credential for OpaqueTokens {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        self.conclude(exchange, |token, exchange| self.judge(token, exchange, env))
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        if let Errand::Secret(number) = errand {
            self.secret_arrived(number, reply, env);
            return self.attempt(exchange, env);
        }
        self.conclude(exchange, |token, _| self.answered(token, reply, env))
    }

    fn withhold(&self, exchange: &mut Exchange) {
        place::strip_all(&place::find(&[&self.place], exchange), exchange);
    }
}

impl Asked<'_> {
    /// Whose token it is, where the provider has said so lately.
    fn known(&self, env: &mut Env<'_>) -> Option<Rc<Identity>> {
        self.provider.kept_identity(&self.digest, env)
    }

    /// Asks the provider, or waits for the secret that this takes.
    fn ask(&self, env: &Env<'_>) -> Attempt {
        match self.provider.question(self.token, &self.digest) {
            Some(callout) => Attempt::Wait(Errand::Token, callout),
            None => match self.provider.source.slots().first() {
                Some(slot) => await_secret(slot, env.now),
                None => Attempt::Fail(Failure::Secret),
            },
        }
    }
}

/// Where opaque tokens stand: `Authorization: Bearer` (RFC 6750 section 2.1).
pub fn place() -> Place {
    Place::Header { name: Rc::from("authorization"), prefix: Rc::from("Bearer ") }
}

const fn refused(reason: Reason) -> Attempt {
    Attempt::Refused(AuthReason::Token(reason))
}
