//! A value that one elected worker renews and that every worker takes, such as a key set: the election is a lease in the
//! shared data, taken by compare-and-set, and the value is shared with the moment at which it was asked for.
//!
//! Two stored values: `lease` says when the next renewal is due and who is at it; `value` holds the moment and the bytes.

use std::time::Duration;

use super::bytes::Reader;
use super::{MAX_TRIES, Space, TableError};
use crate::store::{SharedStore, StoreError, Stored, Write};
use crate::time::Timestamp;

/// A value that workers share and one of them renews.
#[derive(Debug)]
pub struct Published {
    lease: String,
    value: String,
}

/// What was published last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// When it was asked for.
    pub asked: Timestamp,
    /// The value.
    pub value: Vec<u8>,
}

/// Whose value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stands {
    /// What was just published.
    Ours,
    /// Another worker's, which was asked for later.
    Theirs,
}

/// When the next renewal is due, and whether somebody is at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease {
    due: Timestamp,
    held_until: Timestamp,
    /// Renewals that failed since the last good one.
    failures: u32,
}

impl Published {
    /// The value called `name`, which must say everything that makes two values different things.
    pub fn new(space: &Space, name: &str) -> Self {
        let prefix = &space.prefix;
        Self { lease: format!("{prefix}{name}/lease"), value: format!("{prefix}{name}/value") }
    }

    /// What was published last.
    ///
    /// # Errors
    /// The host's.
    pub fn read(&self, store: &dyn SharedStore) -> Result<Option<Publication>, StoreError> {
        Ok(store.get(&self.value)?.and_then(|stored| publication(&stored.value)))
    }

    /// Publishes a value that was asked for at `asked`, unless another one was asked for later. What claims to have been
    /// asked for after `now` was written before the clock stepped back, and goes.
    ///
    /// # Errors
    /// The host's, and [`TableError::Contended`].
    pub fn publish(
        &self,
        store: &dyn SharedStore,
        asked: Timestamp,
        value: &[u8],
        now: Timestamp,
    ) -> Result<Stands, TableError> {
        let bytes = [&asked.unix_nanos().to_le_bytes()[..], value].concat();
        for _ in 0..MAX_TRIES {
            let stored = store.get(&self.value)?;
            let other = stored.as_ref().and_then(|stored| publication(&stored.value)).map(|found| found.asked);
            if other.is_some_and(|other| other > asked && other <= now) {
                return Ok(Stands::Theirs);
            }
            if write(store, &self.value, &bytes, stored.as_ref())? == Write::Done {
                return Ok(Stands::Ours);
            }
        }
        Err(TableError::Contended)
    }

    /// Elects this worker to renew the value, if that is due and nobody is at it, for `hold`: how often renewing failed
    /// so far. `longest` is the longest time to which [`Self::schedule`] is ever told to wait: a renewal that is due
    /// later than that was scheduled before the clock stepped back.
    ///
    /// # Errors
    /// The host's.
    pub fn elect(
        &self,
        store: &dyn SharedStore,
        now: Timestamp,
        hold: Duration,
        longest: Duration,
    ) -> Result<Option<u32>, StoreError> {
        let stored = store.get(&self.lease)?;
        let lease = stored.as_ref().map(|stored| Lease::read(&stored.value)).unwrap_or_default();
        if lease.due.lies_ahead(now, longest) || lease.held_until.lies_ahead(now, hold) {
            return Ok(None);
        }
        let held = Lease { held_until: now.after(hold), ..lease };
        let written = write(store, &self.lease, &held.bytes(), stored.as_ref())?;
        Ok((written == Write::Done).then_some(lease.failures))
    }

    /// Says when the next renewal is due, after this many failures in a row, and gives the lease back.
    ///
    /// # Errors
    /// The host's.
    pub fn schedule(&self, store: &dyn SharedStore, due: Timestamp, failures: u32) -> Result<(), StoreError> {
        store.put(&self.lease, &Lease { due, held_until: Timestamp::default(), failures }.bytes())
    }
}

fn write(store: &dyn SharedStore, key: &str, bytes: &[u8], stored: Option<&Stored>) -> Result<Write, StoreError> {
    match stored {
        Some(stored) => store.replace(key, bytes, stored.cas),
        None => store.create(key, bytes),
    }
}

fn publication(bytes: &[u8]) -> Option<Publication> {
    let mut reader = Reader::new(bytes);
    let asked = Timestamp::from_unix_nanos(reader.u64()?);
    Some(Publication { asked, value: reader.rest().to_vec() })
}

impl Lease {
    /// What cannot be read is due.
    fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes);
        let mut moment = || reader.u64().map(Timestamp::from_unix_nanos);
        let (due, held_until) = (moment(), moment());
        match (due, held_until, reader.u32()) {
            (Some(due), Some(held_until), Some(failures)) => Self { due, held_until, failures },
            _ => Self::default(),
        }
    }

    fn bytes(self) -> Vec<u8> {
        let moments = [self.due, self.held_until].map(|moment| moment.unix_nanos().to_le_bytes()).concat();
        [&moments[..], &self.failures.to_le_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::store::racing::RacingStore;

    const HOLD: Duration = Duration::from_secs(7);
    const LONGEST: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn published(store: &MemoryStore, name: &str) -> Published {
        Published::new(&Space::open(store, "test", [1; 16]).unwrap(), name)
    }

    #[test]
    fn one_worker_is_elected_and_another_only_when_it_gave_up_or_never_came_back() {
        let store = MemoryStore::new();
        let value = published(&store, "keys");
        let elect = |seconds| value.elect(&store, at(seconds), HOLD, LONGEST).unwrap();
        assert_eq!((elect(0), elect(0), elect(6)), (Some(0), None, None));
        assert_eq!((elect(7), elect(8)), (Some(0), None), "the first never came back");
        value.schedule(&store, at(20), 3).unwrap();
        assert_eq!((elect(9), elect(19), elect(20), elect(20)), (None, None, Some(3), None));
    }

    #[test]
    fn of_workers_that_look_at_once_one_is_elected() {
        let store = MemoryStore::new();
        let value = published(&store, "keys");
        for round in [0, 1] {
            let rival_was = std::cell::Cell::new(None);
            let racing = RacingStore::new(&store, |number, _, inner| {
                if number == 0 {
                    rival_was.set(value.elect(inner, at(round * 1000), HOLD, LONGEST).unwrap());
                }
            });
            assert_eq!(value.elect(&racing, at(round * 1000), HOLD, LONGEST).unwrap(), None, "round {round}");
            assert_eq!(rival_was.get(), Some(0), "round {round}");
        }
    }

    #[test]
    fn what_was_asked_for_later_stands_whoever_comes_last() {
        let store = MemoryStore::new();
        let value = published(&store, "keys");
        assert_eq!(value.read(&store).unwrap(), None);
        assert_eq!(value.publish(&store, at(2), b"new", at(3)).unwrap(), Stands::Ours);
        assert_eq!(value.publish(&store, at(1), b"old", at(4)).unwrap(), Stands::Theirs);
        assert_eq!(value.read(&store).unwrap().unwrap(), Publication { asked: at(2), value: b"new".to_vec() });
        assert_eq!(value.publish(&store, at(5), b"newer", at(6)).unwrap(), Stands::Ours);
        assert_eq!(published(&store, "other").read(&store).unwrap(), None);
    }

    #[test]
    fn a_clock_that_stepped_back_stops_neither_renewal_nor_publication() {
        let store = MemoryStore::new();
        let value = published(&store, "keys");
        assert_eq!(value.elect(&store, at(100_000), HOLD, LONGEST).unwrap(), Some(0));
        assert_eq!(value.elect(&store, at(0), HOLD, LONGEST).unwrap(), Some(0));
        value.schedule(&store, at(100_000), 0).unwrap();
        assert_eq!(value.elect(&store, at(1), HOLD, LONGEST).unwrap(), Some(0));
        assert_eq!(value.publish(&store, at(100_000), b"future", at(100_001)).unwrap(), Stands::Ours);
        assert_eq!(value.publish(&store, at(1), b"now", at(2)).unwrap(), Stands::Ours);
    }

    #[test]
    fn damage_is_written_over() {
        let store = MemoryStore::new();
        let value = published(&store, "keys");
        let _ = value.publish(&store, at(0), b"good", at(0)).unwrap();
        value.schedule(&store, at(1000), 0).unwrap();
        store.damage(|key, value| {
            if !key.ends_with("seed") {
                value.truncate(3)
            }
        });
        assert_eq!(value.read(&store).unwrap(), None);
        assert_eq!(value.elect(&store, at(0), HOLD, LONGEST).unwrap(), Some(0));
        assert_eq!(value.publish(&store, at(0), b"good", at(0)).unwrap(), Stands::Ours);
    }
}
