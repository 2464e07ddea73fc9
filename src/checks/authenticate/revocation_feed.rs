//! The feed of revocations: what other proxies, services and administrators revoked, read by one elected worker and
//! written into the table that all workers look at.
//!
//! The document is `{"revoked": [{"iss": ISSUER, "jti": TOKEN, "sid": SESSION, "until": SECONDS}, ..]}`. It is taken whole or
//! not at all. What it does not name any more stays revoked until its moment: a feed that is lost revives nobody.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::check::{Background, Callout, CalloutReply, Env};
use crate::endpoint::Endpoint;
use crate::event::{EventType, Notice};
use crate::revocation::{Revocable, RevokedTokens};
use crate::table::published::Published;
use crate::table::revocation::Revoked;
use crate::time::Timestamp;

/// How long one question may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait between two attempts while the service does not answer; the first is a second.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// Added to the timeout: an answer that has not come by then never will.
const GRACE: Duration = Duration::from_secs(3);
/// The path of its settings, for events.
pub const SETTINGS: &str = "authentication.revocation.feed";

/// The feed.
#[derive(Debug)]
pub struct RevocationFeed {
    endpoint: Endpoint,
    interval: Duration,
    /// For how long after its end a token may still be taken somewhere.
    clock_skew: Duration,
    /// SHA-256 of the document that was taken last: the same one again changes nothing. Of one that found no room, nothing.
    taken: Published,
    revoked: Rc<RevokedTokens>,
    /// When this worker asked, and how many questions in a row had failed before.
    asked: Cell<Option<(Timestamp, u32)>>,
}

/// Why a document was not taken.
enum Fault {
    /// There was none, or none of this form.
    Unavailable,
    /// Not everything in it found room.
    Full,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    revoked: Vec<Entry<'a>>,
}

/// Unknown members are passed over: a feed may say more than this version reads.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    jti: Option<Cow<'a, str>>,
    /// A text or a whole number, as in tokens.
    #[serde(default)]
    sid: Option<Value>,
    until: u64,
}

impl RevocationFeed {
    /// The feed at an endpoint, due at once. `taken` must be another one for another address, another size of the table or
    /// another `clock_skew`.
    pub fn new(
        endpoint: Endpoint,
        (interval, clock_skew): (Duration, Duration),
        taken: Published,
        revoked: Rc<RevokedTokens>,
    ) -> Self {
        Self { endpoint, interval, clock_skew, taken, revoked, asked: Cell::new(None) }
    }

    fn take(&self, asked: Timestamp, reply: &CalloutReply, env: &mut Env<'_>) -> Result<(), Fault> {
        let CalloutReply::Answered { status: 200, body } = reply else { return Err(Fault::Unavailable) };
        let digest = Sha256::digest(body);
        if self.was_taken(&digest, env) {
            return Ok(());
        }
        let revoked = read(body, self.clock_skew).ok_or(Fault::Unavailable)?;
        // Where the host fails it is tried again, like a document that did not come.
        match self.revoked.revoke_all(revoked, env).map_err(|_| Fault::Unavailable)? {
            Revoked::Full => {
                // It was heard, and is taken once more.
                let _ = self.taken.publish(env.host.store(), asked, &[], env.now);
                Err(Fault::Full)
            }
            Revoked::Held => {
                // Without this it is taken once more.
                let _ = self.taken.publish(env.host.store(), asked, &digest, env.now);
                Ok(())
            }
        }
    }

    /// What was taken under a clock that was ahead may have seemed to have expired then, and is taken once more.
    fn was_taken(&self, digest: &[u8], env: &Env<'_>) -> bool {
        let taken = self.taken.read(env.host.store()).ok().flatten();
        taken.is_some_and(|taken| taken.value == digest && taken.asked <= env.now)
    }

    /// Twice as long after each failure, by chance up to half of it less.
    fn backoff(&self, failures: u32, env: &mut Env<'_>) -> Duration {
        let backoff = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(6));
        let backoff = backoff.min(LONGEST_BACKOFF).min(self.interval);
        backoff / 200 * (100 + u32::from(env.worker.lot.percentile()))
    }

    fn lost_after(&self) -> Duration {
        self.endpoint.timeout() + GRACE
    }
}

impl Background for RevocationFeed {
    fn due(&self, env: &mut Env<'_>) -> Option<Callout> {
        let longest = self.interval.max(LONGEST_BACKOFF);
        let failures = self.taken.elect(env.host.store(), env.now, self.lost_after(), longest).ok()??;
        self.asked.set(Some((env.now, failures)));
        Some(self.endpoint.get(None))
    }

    fn arrived(&self, reply: &CalloutReply, env: &mut Env<'_>) -> Option<Callout> {
        let (asked, failures) = self.asked.take()?;
        let (reason, failures) = match self.take(asked, reply, env) {
            Ok(()) => (None, 0),
            Err(Fault::Full) => (Some("revocations_table_full"), 0),
            Err(Fault::Unavailable) => (Some("revocation_feed_unavailable"), failures.saturating_add(1)),
        };
        let wait = if failures == 0 { self.interval } else { self.backoff(failures, env) };
        // A schedule that cannot be written is followed too early, at worst.
        let _ = self.taken.schedule(env.host.store(), env.now.after(wait), failures);
        let notice =
            |reason| Notice { dependency: Some(Rc::from(SETTINGS)), ..Notice::new(EventType::Degraded, reason) };
        env.worker.notices.extend(reason.map(notice));
        None
    }
}

/// What a document revokes; `None`: it is none. Every entry names a token, a session or both. A token that has ended is
/// taken for `clock_skew` longer, and so is its revocation.
fn read(body: &[u8], clock_skew: Duration) -> Option<Vec<(Revocable, Timestamp)>> {
    let document: Document<'_> = serde_json::from_slice(body).ok()?;
    let mut revoked = Vec::with_capacity(document.revoked.len());
    for entry in document.revoked {
        let (issuer, until) = (entry.iss.as_deref(), Timestamp::from_unix_seconds(entry.until).after(clock_skew));
        let token = entry.jti.as_deref().map(|jti| Revocable::token(issuer, jti));
        let session = match entry.sid {
            Some(sid) => Some(Revocable::session(issuer, &name(sid)?)),
            None => None,
        };
        if token.is_none() && session.is_none() {
            return None;
        }
        revoked.extend(token.into_iter().chain(session).map(|id| (id, until)));
    }
    Some(revoked)
}

/// A session by its name or its number.
fn name(sid: Value) -> Option<String> {
    match sid {
        Value::String(name) => Some(name),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_and_sessions_of_issuers_and_takes_a_document_whole_or_not_at_all() {
        let read = |text: &[u8]| super::read(text, Duration::from_secs(60));
        let at = |seconds: u64| Timestamp::from_unix_seconds(seconds + 60);
        let text = r#"{"revoked":[{"iss":"a","jti":"1","until":7,"by":"x"},{"sid":"s\u0041","jti":"2","until":8},{"sid":9,"until":7}],"more":1}"#;
        let expected = [
            (Revocable::token(Some("a"), "1"), at(7)),
            (Revocable::token(None, "2"), at(8)),
            (Revocable::session(None, "sA"), at(8)),
            (Revocable::session(None, "9"), at(7)),
        ];
        assert_eq!(read(text.as_bytes()), Some(expected.to_vec()));
        assert_eq!(read(br#"{"revoked":[]}"#), Some(Vec::new()));
        let good = r#"{"iss":"a","jti":"1","until":7}"#;
        for bad in [
            r#"{"jti":"1"}"#,
            r#"{"iss":"a","until":7}"#,
            r#"{"jti":1,"until":7}"#,
            r#"{"sid":1.5,"until":7}"#,
            r#"{"sid":["s"],"until":7}"#,
            r#"{"jti":"1","until":"7"}"#,
            r#"{"jti":"1","until":-7}"#,
            r#"{"jti":"1","until":7.5}"#,
            r#"{"iss":7,"jti":"1","until":7}"#,
            r#"{"jti":"1","jti":"2","until":7}"#,
            "null",
            "[]",
        ] {
            assert_eq!(read(format!(r#"{{"revoked":[{good},{bad}]}}"#).as_bytes()), None, "{bad}");
        }
        for text in ["", "<html>", "[]", "{}", r#"{"revoked":{}}"#, r#"{"revoked":[]"#, r#"{"revoked":[]} x"#] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
