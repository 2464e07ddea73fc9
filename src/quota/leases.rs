//! The leases of a process, shared by its workers: a table of fixed size in the shared data.
//!
//! A set, one stored value, holds up to [`WAYS`] keys' leases; every step is one read and one compare-and-set of it.
//! Where a set has no room, the lease that ends first makes way: its hits are lost, and the service is asked sooner.

use super::lease::{Lease, Taken, Terms, Why};
use super::message::Answer;
use crate::store::{SharedStore, Write};
use crate::table::{MAX_TRIES, Space, TableError};
use crate::time::Timestamp;

/// Leases of one stored value.
const WAYS: usize = 8;
const FORMAT: u8 = 1;
/// Bytes of one lease: its key's hash, four times, three numbers.
const ENTRY: usize = 5 * 8 + 3 * 4;
/// Stands for what is not known.
const UNKNOWN: u32 = u32::MAX;

/// Whose lease: a limit and the value of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The limit's name.
    pub limit: &'a str,
    /// What is counted together.
    pub value: &'a str,
}

/// The leases that all workers of a process share.
#[derive(Debug)]
pub struct Leases {
    space: Space,
    sets: u64,
}

/// A key's hash and its lease.
type Entry = (u64, Lease);

impl Leases {
    /// Room for `entries` leases, rounded up to whole sets.
    pub fn new(space: Space, entries: u32) -> Self {
        Self { space, sets: u64::from(entries).div_ceil(WAYS as u64).max(1) }
    }

    /// Takes one hit.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn take(&self, store: &dyn SharedStore, key: Key<'_>, now: Timestamp) -> Result<Taken, TableError> {
        self.change(store, key, now, |lease| lease.take(now))
    }

    /// Puts back a hit that was not used after all.
    ///
    /// # Errors
    /// As for [`Leases::take`].
    pub fn give_back(&self, store: &dyn SharedStore, key: Key<'_>, now: Timestamp) -> Result<(), TableError> {
        self.change(store, key, now, |lease| lease.give_back(now))
    }

    /// How many hits to ask for now; `None`: another worker sees to it.
    ///
    /// # Errors
    /// As for [`Leases::take`].
    pub fn ask(
        &self,
        store: &dyn SharedStore,
        key: Key<'_>,
        (terms, why): (&Terms, Why),
        now: Timestamp,
    ) -> Result<Option<u32>, TableError> {
        self.change(store, key, now, |lease| lease.ask(terms, why, now))
    }

    /// Takes note of the answer to a question for `hits`; `None`: there was none.
    ///
    /// # Errors
    /// As for [`Leases::take`].
    pub fn settle(
        &self,
        store: &dyn SharedStore,
        key: Key<'_>,
        terms: &Terms,
        (hits, answer): (u32, Option<Answer>),
        now: Timestamp,
    ) -> Result<(), TableError> {
        self.change(store, key, now, |lease| lease.settle(terms, hits, answer, now))
    }

    /// One step of one lease. What it does not change is not written.
    fn change<T>(
        &self,
        store: &dyn SharedStore,
        key: Key<'_>,
        now: Timestamp,
        step: impl Fn(&mut Lease) -> T,
    ) -> Result<T, TableError> {
        let (place, tag) = self.space.place("l", &[key.limit.as_bytes(), key.value.as_bytes()], self.sets);
        for _ in 0..MAX_TRIES {
            let stored = store.get(&place)?;
            let mut entries = decode(stored.as_ref().map_or(&[], |stored| &stored.value));
            let before = entries.iter().find(|(held, _)| *held == tag).map(|(_, lease)| *lease).unwrap_or_default();
            let mut lease = before;
            let result = step(&mut lease);
            if lease == before {
                return Ok(result);
            }
            put(&mut entries, (tag, lease), now);
            let value = encode(&entries);
            let written = match stored {
                Some(stored) => store.replace(&place, &value, stored.cas)?,
                None => store.create(&place, &value)?,
            };
            if written == Write::Done {
                return Ok(result);
            }
        }
        Err(TableError::Contended)
    }
}

fn put(entries: &mut Vec<Entry>, new: Entry, now: Timestamp) {
    entries.retain(|(tag, lease)| *tag != new.0 && lease.is_alive(now));
    if entries.len() >= WAYS
        && let Some((first, _)) = entries.iter().enumerate().min_by_key(|(_, (_, lease))| lease.expires)
    {
        entries.swap_remove(first);
    }
    entries.push(new);
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + entries.len() * ENTRY);
    value.push(FORMAT);
    for (tag, lease) in entries {
        let exhausted = lease.exhausted.unwrap_or_default();
        let times = [lease.since, lease.expires, exhausted, lease.asked_until].map(Timestamp::unix_nanos);
        value.extend([*tag].into_iter().chain(times).flat_map(u64::to_le_bytes));
        let numbers = [lease.available, lease.size, lease.remaining.unwrap_or(UNKNOWN)];
        value.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    }
    value
}

/// Bytes of another format hold no lease; so do those that are damaged, from there on.
fn decode(value: &[u8]) -> Vec<Entry> {
    let Some((&FORMAT, entries)) = value.split_first() else { return Vec::new() };
    entries.as_chunks::<ENTRY>().0.iter().take(WAYS).filter_map(read).collect()
}

fn read(entry: &[u8; ENTRY]) -> Option<Entry> {
    let (times, numbers) = entry.split_at_checked(40)?;
    let [tag, since, expires, exhausted, asked_until] = *times.as_chunks::<8>().0 else { return None };
    let [available, size, remaining] = *numbers.as_chunks::<4>().0 else { return None };
    let time = |bytes| Timestamp::from_unix_nanos(u64::from_le_bytes(bytes));
    let lease = Lease {
        since: time(since),
        expires: time(expires),
        exhausted: Some(time(exhausted)).filter(|time| *time != Timestamp::default()),
        asked_until: time(asked_until),
        available: u32::from_le_bytes(available),
        size: u32::from_le_bytes(size),
        remaining: Some(u32::from_le_bytes(remaining)).filter(|remaining| *remaining != UNKNOWN),
    };
    Some((u64::from_le_bytes(tag), lease))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use std::time::Duration;

    const TERMS: Terms = Terms { most: 10, window: Duration::from_secs(60), timeout: Duration::from_millis(20) };

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000 + millis)
    }

    fn leases(store: &MemoryStore, entries: u32) -> Leases {
        Leases::new(Space::open(store, "leases", [3; 16]).unwrap(), entries)
    }

    fn key(value: &str) -> Key<'_> {
        Key { limit: "fleet", value }
    }

    fn grant(leases: &Leases, store: &MemoryStore, value: &str, now: Timestamp) {
        leases.settle(store, key(value), &TERMS, (10, Some(Answer::Granted(None))), now).unwrap();
    }

    fn takes(leases: &Leases, store: &MemoryStore, value: &str, now: Timestamp) -> bool {
        matches!(leases.take(store, key(value), now).unwrap(), Taken::Leased { .. })
    }

    #[test]
    fn a_lease_reads_back_as_it_was_written() {
        let lease = Lease {
            since: at(1),
            expires: at(2),
            exhausted: Some(at(3)),
            asked_until: at(4),
            available: 5,
            size: 6,
            remaining: Some(7),
        };
        let entries = vec![(1, lease), (2, Lease { exhausted: None, remaining: None, ..lease })];
        assert_eq!(decode(&encode(&entries)), entries);
        assert_eq!(decode(&encode(&entries)[..60]), entries[..1]);
        assert_eq!(decode(b"\x02"), []);
    }

    #[test]
    fn workers_of_a_process_use_one_lease_and_ask_once() {
        let store = MemoryStore::new();
        let workers = [leases(&store, 64), leases(&store, 64)];
        let ask = |worker: &Leases| worker.ask(&store, key("ann"), (&TERMS, Why::Ahead), at(0)).unwrap();
        assert_eq!((ask(&workers[0]), ask(&workers[1])), (Some(10), None));
        grant(&workers[0], &store, "ann", at(1));
        let taken = (0..30).filter(|n| takes(&workers[n % 2], &store, "ann", at(2))).count();
        assert_eq!(taken, 10);
        assert!(!takes(&workers[0], &store, "bob", at(2)), "nobody lives off another's lease");
        workers[1].give_back(&store, key("ann"), at(3)).unwrap();
        assert!(takes(&workers[0], &store, "ann", at(3)));
    }

    #[test]
    fn memory_is_bounded_and_the_lease_that_ends_first_makes_way() {
        let store = MemoryStore::new();
        let leases = leases(&store, WAYS as u32);
        for n in 0..100 {
            grant(&leases, &store, &n.to_string(), at(n));
        }
        assert!(store.bytes() < 600, "{}", store.bytes());
        let alive = (0..100).filter(|n| takes(&leases, &store, &n.to_string(), at(100))).collect::<Vec<_>>();
        assert_eq!(alive, (92..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_worker_that_comes_in_between_loses_no_hit() {
        use crate::store::racing::RacingStore;
        let store = MemoryStore::new();
        let leases = leases(&store, 64);
        grant(&leases, &store, "ann", at(0));
        let racing = RacingStore::new(&store, |number, _, inner| {
            if number == 0 {
                assert!(matches!(leases.take(inner, key("ann"), at(1)), Ok(Taken::Leased { .. })));
            }
        });
        assert!(matches!(leases.take(&racing, key("ann"), at(1)), Ok(Taken::Leased { .. })));
        assert_eq!((0..20).filter(|_| takes(&leases, &store, "ann", at(1))).count(), 8);
    }
}
