//! The keys of a provider that publishes them as a JWK Set: fetched ahead and renewed by one elected worker, fetched by
//! the worker itself for tokens whose key nobody knows yet.
//!
//! A token is refused for its key only when the set was asked for after the request had arrived, or when the worker's
//! budget of fetches is spent: until then its key may be one that was published meanwhile.

use std::rc::Rc;
use std::time::Duration;

use crate::check::{Background, Callout, CalloutReply, Env};
use crate::endpoint::Endpoint;
use crate::event::{EventType, Notice};
use crate::jose::algorithm::AlgorithmSet;
use crate::jose::claims::Claims;
use crate::jose::fetched::{FetchedKeys, KeyDocument};
use crate::jose::token::Token;
use crate::jose::verify::{Means, VerifyError};
use crate::table::published::{Published, Stands};
use crate::time::Timestamp;
use crate::worker::SignedBy;

/// The longest wait between two attempts while the provider does not answer; the first is a second.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// Added to a fetch's timeout: an answer that has not come by then never will.
const GRACE: Duration = Duration::from_secs(3);

/// A published key set.
#[derive(Debug)]
pub struct KeySource {
    /// Its place among the key sets that a worker keeps.
    pub place: usize,
    /// The path of its settings, for events.
    pub settings: Rc<str>,
    /// What exchanges that wait for it ask for, unlike what any other asks for.
    pub flight: Rc<str>,
    /// The algorithms that the provider allows.
    pub algorithms: AlgorithmSet,
    /// Where the set is.
    pub endpoint: Endpoint,
    /// How often it is fetched.
    pub refresh: Duration,
    /// Where the workers share it.
    pub published: Published,
}

/// A token whose signature was verified.
#[derive(Debug)]
pub struct Proven {
    /// What it says.
    pub claims: Claims,
    /// Which key says so.
    pub signed_by: Option<SignedBy>,
}

/// Why a token's signature is not verified.
#[derive(Debug)]
pub enum Unproven {
    /// The keys say so.
    Verify(VerifyError),
    /// Newer keys are to be fetched first.
    Wait(Box<Callout>),
    /// Keys could not be fetched.
    Unavailable,
}

/// The token of one request.
pub struct Shown<'a> {
    /// As it was sent.
    pub text: &'a [u8],
    /// When the request arrived.
    pub received: Timestamp,
    /// It has waited for a fetch, which is over.
    pub waited: bool,
}

impl KeySource {
    /// Verifies a token with the keys that are known, or says what has to come first.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn prove(&self, token: Token<'_>, shown: &Shown<'_>, env: &mut Env<'_>) -> Result<Proven, Unproven> {
        let is_named = token.header().kid.is_some();
        if self.fetched(env).is_some_and(|fetched| fetched.keys().is_none()) {
            self.take_published(env);
        }
        let mut failed = match self.try_keys(token, env) {
            Err(error) if may_help(error, is_named) => error,
            outcome => return outcome.map_err(final_word),
        };
        // Another worker may have seen the new key already.
        if self.take_published(env)
            && let Ok(again) = Token::parse(shown.text)
        {
            failed = match self.try_keys(again, env) {
                Err(error) if may_help(error, is_named) => error,
                outcome => return outcome.map_err(final_word),
            };
        }
        Err(self.send_for(failed, shown, env))
    }

    /// What comes before a word about a token that the keys at hand do not verify.
    fn send_for(&self, failed: Option<VerifyError>, shown: &Shown<'_>, env: &mut Env<'_>) -> Unproven {
        let (now, lost_after) = (env.now, self.lost_after());
        let Some(fetched) = self.fetched(env) else { return Unproven::Unavailable };
        if shown.waited && fetched.has_failed() {
            return Unproven::Unavailable;
        }
        let is_final = fetched.is_from(shown.received, now);
        if !is_final && fetched.send_for(now, lost_after) {
            return Unproven::Wait(Box::new(self.endpoint.get(Some(self.flight.clone()))));
        }
        failed.map_or(Unproven::Unavailable, Unproven::Verify)
    }

    /// `None` as an error: there are no keys yet.
    fn try_keys(&self, token: Token<'_>, env: &mut Env<'_>) -> Result<Proven, Option<VerifyError>> {
        let keys = self.fetched(env).and_then(|fetched| fetched.keys()).ok_or(None)?;
        let budget = env.worker.pure_verifications.as_mut();
        let mut means = Means { host: env.host.verifier(), budget, now: env.now };
        let (claims, key) = token.verify_by(&keys, self.algorithms, &mut means).map_err(Some)?;
        let signed_by = key.id().map(|key| SignedBy { key_set: self.place, key });
        Ok(Proven { claims, signed_by })
    }

    fn fetched<'w>(&self, env: &'w mut Env<'_>) -> Option<&'w mut FetchedKeys> {
        env.worker.key_sets.get_mut(self.place)
    }

    /// Takes what workers share, if it is not what this one has. Whether it did.
    fn take_published(&self, env: &mut Env<'_>) -> bool {
        let Ok(Some(shared)) = self.published.read(env.host.store()) else { return false };
        let Some(fetched) = self.fetched(env) else { return false };
        if fetched.keys().is_some() && fetched.asked() == shared.asked {
            return false;
        }
        let Some(document) = KeyDocument::parse(&shared.value, self.algorithms) else { return false };
        fetched.take(document, shared.asked);
        true
    }

    /// The end of a fetch that was sent at `asked`. Whether it brought a set.
    fn conclude(&self, asked: Timestamp, reply: &CalloutReply, env: &mut Env<'_>) -> bool {
        let document = match reply {
            CalloutReply::Answered { status: 200, body } => KeyDocument::parse(body, self.algorithms),
            _ => None,
        };
        if let Some(fetched) = self.fetched(env) {
            fetched.note(document.is_none());
        }
        let Some(document) = document else { return false };
        let store = env.host.store();
        let stands = self.published.publish(store, asked, document.text(), env.now);
        let due = env.now.after(jittered(self.refresh, 85, env));
        // A schedule that cannot be written is followed too early, at worst.
        let _ = self.published.schedule(env.host.store(), due, 0);
        if stands == Ok(Stands::Theirs) {
            self.take_published(env);
        } else if let Some(fetched) = self.fetched(env) {
            fetched.take(document, asked);
        }
        true
    }

    fn lost_after(&self) -> Duration {
        self.endpoint.timeout() + GRACE
    }

    /// Twice as long after each failure, by chance up to half of it less.
    fn backoff(&self, failures: u32, env: &mut Env<'_>) -> Duration {
        let longest = LONGEST_BACKOFF.min(self.refresh);
        let backoff = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(6));
        jittered(backoff.min(longest), 50, env)
    }
}

impl Background for KeySource {
    fn due(&self, env: &mut Env<'_>) -> Option<Callout> {
        self.take_published(env);
        let (now, lost_after) = (env.now, self.lost_after());
        if self.fetched(env)?.is_sent_for(now, lost_after) {
            return None;
        }
        let longest = self.refresh.max(LONGEST_BACKOFF);
        let failures = match self.published.elect(env.host.store(), now, lost_after, longest) {
            Ok(elected) => elected?,
            // Who cannot share fetches for itself.
            Err(_) if self.fetched(env)?.asked().after(self.refresh) <= now => 0,
            Err(_) => return None,
        };
        self.fetched(env)?.renew(now, failures);
        Some(self.endpoint.get(None))
    }

    fn arrived(&self, reply: &CalloutReply, env: &mut Env<'_>) -> Option<Callout> {
        let (asked, failures) = self.fetched(env)?.renewed()?;
        if !self.conclude(asked, reply, env) {
            let failures = failures.saturating_add(1);
            let due = env.now.after(self.backoff(failures, env));
            let _ = self.published.schedule(env.host.store(), due, failures);
            let notice = Notice::new(EventType::Degraded, "key_set_unavailable");
            env.worker.notices.push(Notice { dependency: Some(self.settings.clone()), ..notice });
        }
        None
    }

    fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        if *flight != *self.flight {
            return;
        }
        if let Some(asked) = self.fetched(env).and_then(FetchedKeys::returned) {
            self.conclude(asked, reply, env);
        }
    }
}

/// Whether newer keys may verify what these do not. A token that names no key may be any key's.
const fn may_help(error: Option<VerifyError>, is_named: bool) -> bool {
    match error {
        None | Some(VerifyError::UnknownKey) => true,
        Some(VerifyError::BadSignature) => !is_named,
        Some(_) => false,
    }
}

fn final_word(error: Option<VerifyError>) -> Unproven {
    error.map_or(Unproven::Unavailable, Unproven::Verify)
}

/// By chance between `least` percent of `span` and all of it: workers and proxies do not ask at the same moment.
fn jittered(span: Duration, least: u32, env: &mut Env<'_>) -> Duration {
    let chance = u32::from(env.worker.lot.percentile());
    span / 10_000 * (least * 100 + (100 - least) * chance)
}
