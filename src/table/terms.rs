//! Which sizes of a set and which clock skews the workers of one plugin go by: several, while a configuration changes.
//!
//! A configuration reaches one worker after another, and connections that drain keep the one before. What one worker
//! records, the others must find: so each lists its terms in one stored value and reads that about once a second. Terms
//! stay listed until all that was recorded under them is too old for everybody.
//!
//! Where the longest skew grows, what was recorded before is not held for as long as it would be accepted. So for
//! timestamps from before that moment the shorter skew goes on: what it had refused then it refuses still.

use super::bytes::Reader;
use super::{MAX_TRIES, Space, TableError};
use crate::store::{SharedStore, Write};
use crate::time::Timestamp;
use std::time::Duration;

/// How often a worker reads what the others go by.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this long every worker has read it.
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// How often a worker says that it goes by its terms.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// Terms of this many kinds at once; a worker with others may record nothing.
const MOST: usize = 16;

const FORMAT: u8 = 1;

/// What one configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Stored values of the set.
    pub(super) sets: u64,
    /// How far a timestamp may be from now.
    pub(super) skew: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    terms: Terms,
    since: Timestamp,
    /// The longest skew before these came.
    skew_before: Duration,
    /// When a worker that goes by them last said so.
    said: Timestamp,
}

/// What a look brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The last one is recent enough.
    AsBefore,
    /// What may have changed.
    Anew,
    /// There is no room to say what this worker goes by.
    NoRoom,
}

/// The terms of one worker and, as of its last look, of all others.
#[derive(Debug)]
pub(super) struct AllTerms {
    key: String,
    own: Terms,
    listed: Vec<Listed>,
    looked: Option<Timestamp>,
}

impl AllTerms {
    /// Of the set under the one letter `table`; this worker goes by `own`.
    pub(super) fn new(space: &Space, table: &str, own: Terms) -> Self {
        Self { key: format!("{}terms/{table}", space.prefix), own, listed: Vec::new(), looked: None }
    }

    /// Reads what the others go by if it is time.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub(super) fn look(&mut self, store: &dyn SharedStore, now: Timestamp) -> Result<Look, TableError> {
        if self.looked.is_some_and(|looked| looked <= now && now < looked.after(LOOK_EVERY)) {
            return Ok(Look::AsBefore);
        }
        for _ in 0..MAX_TRIES {
            let stored = store.get(&self.key)?;
            let mut listed = decode(stored.as_ref().map_or(&[], |stored| &stored.value));
            let written = match (self.say(&mut listed, now), &stored) {
                (false, _) => Write::Done,
                (true, _) if listed.len() > MOST => return Ok(Look::NoRoom),
                (true, Some(stored)) => store.replace(&self.key, &encode(&listed), stored.cas)?,
                (true, None) => store.create(&self.key, &encode(&listed))?,
            };
            if written == Write::Done {
                (self.listed, self.looked) = (listed, Some(now));
                return Ok(Look::Anew);
            }
        }
        Err(TableError::Contended)
    }

    /// Sizes that others go by.
    pub(super) fn other_sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.listed.iter().map(|listed| listed.terms.sets).collect();
        crate::order::sort(&mut sizes);
        sizes.dedup();
        sizes.retain(|sets| *sets != self.own.sets);
        sizes
    }

    /// For how long after its timestamp somebody may accept it.
    pub(super) fn longest_skew(&self) -> Duration {
        longest_skew(&self.listed).unwrap_or_default().max(self.own.skew)
    }

    /// Whether what was signed then may have been recorded and is not held any more.
    pub(super) fn forgot(&self, signed_at: Timestamp, now: Timestamp) -> bool {
        let forgot = |listed: &Listed| {
            let held = listed.skew_before;
            held < listed.terms.skew
                && signed_at < listed.since.after(KNOWN_AFTER).after(held)
                && now > signed_at.after(held)
        };
        self.listed.iter().any(forgot)
    }

    /// Lists this worker's terms and leaves out what nobody has gone by for long enough. Whether that is to be written.
    fn say(&self, listed: &mut Vec<Listed>, now: Timestamp) -> bool {
        let is_own = |listed: &Listed| listed.terms == self.own;
        if listed.iter().any(|listed| is_own(listed) && now < listed.said.after(SAY_EVERY)) {
            return false;
        }
        // Recorded when it was said or a minute later, with a timestamp that was ahead as far as it may be.
        let longest = longest_skew(listed).unwrap_or_default().max(self.own.skew);
        let matters = 2 * SAY_EVERY + longest.saturating_mul(2);
        listed.retain(|listed| is_own(listed) || now < listed.said.after(matters));
        if let Some(own) = listed.iter_mut().find(|listed| is_own(listed)) {
            own.said = now;
            return true;
        }
        let skew_before = longest_skew(listed).unwrap_or(self.own.skew);
        listed.push(Listed { terms: self.own, since: now, skew_before, said: now });
        true
    }
}

fn longest_skew(listed: &[Listed]) -> Option<Duration> {
    listed.iter().map(|listed| listed.terms.skew).max()
}

/// Bytes of another form list nothing.
fn decode(bytes: &[u8]) -> Vec<Listed> {
    let mut reader = Reader::new(bytes);
    if reader.u8() != Some(FORMAT) {
        return Vec::new();
    }
    let listed = std::iter::from_fn(|| {
        let terms = Terms { sets: reader.u64()?, skew: Duration::from_nanos(reader.u64()?) };
        let since = Timestamp::from_unix_nanos(reader.u64()?);
        let skew_before = Duration::from_nanos(reader.u64()?);
        let said = Timestamp::from_unix_nanos(reader.u64()?);
        Some(Listed { terms, since, skew_before, said })
    });
    listed.take(MOST).collect()
}

fn encode(listed: &[Listed]) -> Vec<u8> {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let mut bytes = vec![FORMAT];
    for Listed { terms, since, skew_before, said } in listed {
        let fields = [terms.sets, nanos(terms.skew), since.unix_nanos(), nanos(*skew_before), said.unix_nanos()];
        bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    }
    bytes
}
