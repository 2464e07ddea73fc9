//! What is kept of a provider's answer: it is judged once, when it comes, for all who ask about the token, also when nobody
//! of those who asked waits any more.

use std::rc::Rc;
use std::time::Duration;

use super::provider::{Judgement, Known, Provider};
use crate::check::{Background, CalloutReply, Env};
use crate::checks::authenticate::identity::{Identities, Proven};
use crate::checks::authenticate::{Attempt, Undecided};
use crate::config::Verdict;
use crate::denial::AuthReason;
use crate::exchange::{Identity, Method};
use crate::jose::reason::Reason;
use crate::time::Timestamp;
use crate::worker::{Refusal, TokenDigest};

/// How long nobody is asked about a token after a question that brought no judgement: whoever shows it again at once gains
/// nothing by it, and does not wait for another timeout.
const PAUSE: Duration = Duration::from_secs(1);

/// Hears what one provider answers.
pub struct Answers {
    /// The provider.
    pub provider: Rc<Provider>,
    /// What identities are made with.
    pub identities: Rc<Identities>,
}

impl Background for Answers {
    fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        if let Some(digest) = self.provider.asked_in(flight) {
            let _ = self.provider.word(&digest, reply, &self.identities, env);
        }
    }
}

impl Provider {
    /// Whose token it is, where the provider has said so lately.
    pub(super) fn kept_identity(&self, digest: &TokenDigest, env: &mut Env<'_>) -> Option<Rc<Identity>> {
        env.worker.answers.good(digest, env.now, self.cache)
    }

    /// Why it is not taken, where that was seen lately.
    pub(super) fn kept_refusal(&self, digest: &TokenDigest, env: &mut Env<'_>) -> Option<Refusal> {
        env.worker.answers.bad(digest, env.now, self.cache.max(PAUSE))
    }

    /// Whose token it is, given the answer that has come. The first who has it reads it for all.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub(super) fn word(
        &self,
        digest: &TokenDigest,
        reply: &CalloutReply,
        identities: &Identities,
        env: &mut Env<'_>,
    ) -> Result<Rc<Identity>, Refusal> {
        if let Some(identity) = self.kept_identity(digest, env) {
            return Ok(identity);
        }
        if let Some(refusal) = self.kept_refusal(digest, env) {
            return Err(refusal);
        }
        let (refusal, until) = match self.read_for(identities, reply, env.now) {
            Ok((identity, until, bytes)) => {
                env.worker.answers.keep_good(digest, identity.clone(), until, bytes);
                return Ok(identity);
            }
            Err(refused) => refused,
        };
        env.worker.answers.keep_bad(digest, refusal, until);
        Err(refusal)
    }

    /// What a route says to a token that is not taken.
    pub(super) fn refused(&self, refusal: Refusal) -> Attempt {
        let then = match (refusal, self.on_error) {
            (Refusal::Bad(reason), _) => return Attempt::Refused(AuthReason::Token(reason)),
            (Refusal::Unanswered, Verdict::Allow) => Undecided::Anonymous { without: "oauth2_unavailable" },
            (Refusal::Unanswered | Refusal::Unclear, _) => Undecided::Refuse,
        };
        Attempt::undecided(format!("authentication.oauth2.{}.{}", self.name, self.source.kind()), then)
    }

    /// Either until when it holds, and of the good about how many bytes it takes.
    fn read_for(
        &self,
        identities: &Identities,
        reply: &CalloutReply,
        now: Timestamp,
    ) -> Result<(Rc<Identity>, Timestamp, usize), (Refusal, Timestamp)> {
        let until = now.after(self.cache);
        match self.judge(reply, now) {
            Judgement::Good(known, keep) => {
                let identity = self.identity(*known, identities).map_err(|reason| (Refusal::Bad(reason), until))?;
                let bytes = identity.heap_bytes() + keep.bytes;
                Ok((Rc::new(identity), keep.expires.map_or(until, |expires| expires.min(until)), bytes))
            }
            Judgement::Bad(reason) => Err((Refusal::Bad(reason), until)),
            Judgement::Early(starts) => Err((Refusal::Bad(Reason::NotYetValid), until.min(starts))),
            Judgement::Unclear => Err((Refusal::Unclear, now.after(PAUSE))),
            Judgement::None => Err((Refusal::Unanswered, now.after(PAUSE))),
        }
    }

    fn identity(&self, known: Known, identities: &Identities) -> Result<Identity, Reason> {
        identities.make(Proven {
            method: Method::Oauth2,
            provider: self.name.clone(),
            subject: known.subject,
            role_names: self.grants.roles(&known.claims),
            scopes: self.grants.scopes(&known.claims),
            claims: Some(known.claims),
            headers: Vec::new(),
        })
    }
}
