//! The account behind a verified token, looked up at the service that keeps accounts. Answers, good and bad, are kept for
//! a while; one question at a time goes out for each subject.

use std::rc::Rc;
use std::time::Duration;

use crate::account::{Account, Answer, KeptAnswer};
use crate::check::{Background, Callout, CalloutReply, Env};
use crate::checks::authenticate::header_safe;
use crate::config::Verdict;
use crate::endpoint::EndpointOf;
use crate::jose::reason::Reason;
use crate::time::Timestamp;

/// What stands for the subject in the address.
pub const PLACEHOLDER: &str = "{subject}";
/// How long one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long nobody is asked about a subject after a question that was not answered: who comes meanwhile does not wait
/// for another timeout.
const PAUSE: Duration = Duration::from_secs(1);

/// The lookup of one provider's accounts.
#[derive(Debug)]
pub struct AccountLookup {
    /// Its place among the accounts that a worker keeps.
    pub place: usize,
    /// The provider, by its name.
    pub provider: Rc<str>,
    /// Whom to ask.
    pub endpoint: EndpointOf,
    /// How long an answer is kept.
    pub keep: Duration,
    /// What happens when there is no answer.
    pub on_error: Verdict,
}

/// How an account stands.
#[derive(Debug)]
pub enum Standing {
    /// It may call.
    Good(Rc<Account>),
    /// It may not.
    Bad(Reason),
    /// The service refused the question: whoever chose the subject must not gain by it.
    Unclear,
    /// Ask first.
    Ask(Callout),
    /// Nobody knows; `on_error` decides.
    Unknown,
}

impl AccountLookup {
    /// How the account of `subject` stands, given the answer if one has just arrived.
    pub fn standing(&self, subject: &str, reply: Option<&CalloutReply>, env: &mut Env<'_>) -> Standing {
        // As a segment these would lead out of the accounts, encoded or not.
        if matches!(subject, "." | "..") {
            return Standing::Bad(Reason::UnknownUser);
        }
        let answer = match (self.kept(subject, env), reply) {
            // Of those that waited for one answer, the first has read it for all.
            (Some(answer), _) => answer,
            (None, Some(reply)) => self.keep(subject, read(reply), env),
            (None, None) => return Standing::Ask(self.question(subject)),
        };
        match answer {
            Answer::Active(account) => Standing::Good(account),
            Answer::Inactive => Standing::Bad(Reason::Inactive),
            Answer::Unknown => Standing::Bad(Reason::UnknownUser),
            Answer::Unclear => Standing::Unclear,
            Answer::Nothing => Standing::Unknown,
        }
    }

    /// The path of its settings, for events.
    pub fn settings(&self) -> String {
        format!("authentication.jwt.{}.account", self.provider)
    }

    fn kept(&self, subject: &str, env: &mut Env<'_>) -> Option<Answer> {
        let now = env.now;
        let accounts = env.worker.accounts.get_mut(self.place)?;
        let longest = self.keep.max(PAUSE);
        let is_current = |kept: &KeptAnswer| kept.until.lies_ahead(now, longest);
        Some(accounts.lookup(subject.as_bytes(), is_current)?.answer.clone())
    }

    fn keep(&self, subject: &str, answer: Answer, env: &mut Env<'_>) -> Answer {
        let until: Timestamp = match answer {
            Answer::Nothing | Answer::Unclear => env.now.after(PAUSE),
            _ => env.now.after(self.keep),
        };
        if let Some(accounts) = env.worker.accounts.get_mut(self.place) {
            accounts.insert(subject.as_bytes(), KeptAnswer { answer: answer.clone(), until }, answer.heap_bytes());
        }
        answer
    }

    fn question(&self, subject: &str) -> Callout {
        self.endpoint.get(subject, Some(Rc::from(format!("account/{}/{subject}", self.provider))))
    }

    /// The subject of this provider that a flight asks about.
    fn asked_in<'f>(&self, flight: &'f str) -> Option<&'f str> {
        flight.strip_prefix("account/")?.strip_prefix(&*self.provider)?.strip_prefix('/')
    }
}

impl Background for AccountLookup {
    /// An answer is kept also when nobody of those who asked waits any more.
    fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        if let Some(subject) = self.asked_in(flight) {
            self.keep(subject, read(reply), env);
        }
    }
}

/// Roles that cannot stand in a header are nothing that can be told to the upstream.
fn read(reply: &CalloutReply) -> Answer {
    let CalloutReply::Answered { status, body } = reply else { return Answer::Nothing };
    match Answer::read(*status, body) {
        Answer::Active(account) if account.roles.iter().flatten().any(|role| !header_safe(role)) => Answer::Nothing,
        answer => answer,
    }
}
