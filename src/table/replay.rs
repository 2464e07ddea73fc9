//! Replay protection: each signature or nonce is accepted once, by whichever worker sees it first, whatever becomes of the
//! configuration meanwhile (`terms`).

use std::time::Duration;

use super::expiring::{ExpiringSet, Inserted, Room};
use super::terms::{AllTerms, Look, Terms};
use super::{Fill, Space, TableError};
use crate::store::{SharedStore, StoreError};
use crate::time::Timestamp;

/// What became of a key. Only a new one may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    /// It was not seen before, and is recorded now.
    New,
    /// It was seen before.
    Seen,
    /// There is no room, so that whether it was seen could not be told later.
    Full,
    /// It is so old that it may have been seen and forgotten before `max_clock_skew` was raised.
    Forgotten,
}

/// The keys that were seen, each for as long as it could be accepted.
#[derive(Debug)]
pub struct ReplaySet {
    seen: ExpiringSet,
    /// Where workers look whose set has another size.
    resized: Vec<ExpiringSet>,
    terms: AllTerms,
}

impl ReplaySet {
    /// Room for `entries` keys, rounded up to whole sets of 32; fixed memory. Timestamps may be `skew` from now.
    pub fn new(space: Space, entries: u32, skew: Duration) -> Self {
        let seen = ExpiringSet::new(space.clone(), "r", entries);
        let terms = AllTerms::new(&space, "r", Terms { sets: seen.sets(), skew });
        Self { seen, resized: Vec::new(), terms }
    }

    /// Records `key`, signed at a time that is acceptable now, until it is not any more.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn record(
        &mut self,
        store: &dyn SharedStore,
        key: &[u8],
        signed_at: Timestamp,
        now: Timestamp,
    ) -> Result<Recorded, TableError> {
        match self.terms.look(store, now)? {
            Look::AsBefore => {}
            Look::Anew => self.keep_up(),
            Look::NoRoom => return Ok(Recorded::Full),
        }
        if self.terms.forgot(signed_at, now) {
            return Ok(Recorded::Forgotten);
        }
        // One second more, so that no moment is left in between.
        let until = signed_at.after(self.terms.longest_skew()).after(Duration::from_secs(1));
        match self.seen.insert(store, key, until, (Room::Whole, now))? {
            Inserted::Seen => return Ok(Recorded::Seen),
            Inserted::Full => return Ok(Recorded::Full),
            Inserted::New if self.resized.is_empty() => return Ok(Recorded::New),
            Inserted::New => {}
        }
        let mut searched = vec![self.seen.index(key)];
        for resized in &self.resized {
            // Tables of all sizes have their first stored values in common.
            let index = resized.index(key);
            if searched.contains(&index) {
                continue;
            }
            searched.push(index);
            // One that is full refuses by itself.
            if resized.insert(store, key, until, (Room::Whole, now))? == Inserted::Seen {
                return Ok(Recorded::Seen);
            }
        }
        Ok(Recorded::New)
    }

    fn keep_up(&mut self) {
        let sizes = self.terms.other_sizes().into_iter();
        self.resized = sizes.map(|sets| self.seen.resized(sets)).collect();
    }

    /// How full one set is, chosen by `lot`.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        self.seen.fill(store, lot, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn set(store: &MemoryStore, entries: u32, skew: u64) -> ReplaySet {
        ReplaySet::new(Space::open(store, "test", [3; 16]).unwrap(), entries, Duration::from_secs(skew))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_790_000_000 + seconds)
    }

    /// How many of these keys pass, all signed at one time.
    fn pass(set: &mut ReplaySet, store: &MemoryStore, keys: std::ops::Range<u32>, signed: u64, now: u64) -> usize {
        let new = |key: &u32| set.record(store, &key.to_le_bytes(), at(signed), at(now)).unwrap() == Recorded::New;
        keys.filter(new).count()
    }

    #[test]
    fn another_size_knows_what_was_seen_whoever_saw_it() {
        for (before, after) in [(65_536, 131_072), (131_072, 65_536), (256, 1_000)] {
            let store = MemoryStore::new();
            let (mut old, mut new) = (set(&store, before, 300), set(&store, after, 300));
            assert_eq!(pass(&mut old, &store, 0..20, 0, 0), 20);
            assert_eq!(pass(&mut new, &store, 0..20, 0, 1), 0, "{before} {after}");
            assert_eq!(pass(&mut new, &store, 20..40, 0, 1), 20);
            // The old one has looked meanwhile.
            assert_eq!(pass(&mut old, &store, 20..40, 0, 1), 0);
            assert_eq!(pass(&mut old, &store, 40..60, 3, 3), 20);
            assert_eq!(pass(&mut new, &store, 40..60, 3, 303), 0);
            assert_eq!(pass(&mut set(&store, after, 300), &store, 40..60, 3, 303), 0);
        }
    }

    #[test]
    fn nobody_looks_at_a_former_size_for_ever() {
        let store = MemoryStore::new();
        let (mut old, mut new) = (set(&store, 64, 300), set(&store, 128, 300));
        assert_eq!(pass(&mut old, &store, 0..1, 0, 0), 1);
        assert_eq!(pass(&mut new, &store, 1..2, 1, 1), 1);
        assert_eq!(new.resized.len(), 1);
        for now in [300, 719] {
            assert_eq!((pass(&mut new, &store, 2..3, now, now), new.resized.len()), (1, 1));
        }
        assert_eq!((pass(&mut new, &store, 2..3, 1_400, 1_400), new.resized.len()), (1, 0));
    }

    #[test]
    fn a_longer_skew_accepts_nothing_that_was_seen_and_forgotten() {
        let store = MemoryStore::new();
        let mut old = set(&store, 64, 2);
        assert_eq!(pass(&mut old, &store, 0..4, 10, 10), 4);
        // Ahead as far as it may be.
        assert_eq!(pass(&mut old, &store, 4..8, 12, 10), 4);
        assert_eq!(pass(&mut old, &store, 8..9, 14, 14), 1);
        let mut new = set(&store, 64, 300);
        for now in 14..310 {
            assert_eq!(pass(&mut new, &store, 0..4, 10, now), 0, "{now}");
            assert_eq!(pass(&mut new, &store, 4..8, 12, now), 0, "{now}");
        }
    }

    #[test]
    fn a_longer_skew_holds_for_what_is_signed_after_it() {
        let store = MemoryStore::new();
        assert_eq!(pass(&mut set(&store, 64, 2), &store, 0..1, 10, 10), 1);
        let mut new = set(&store, 64, 300);
        assert_eq!(pass(&mut new, &store, 1..2, 14, 14), 1);
        assert_eq!(new.record(&store, b"x", at(14), at(40)), Ok(Recorded::Forgotten));
        assert_eq!(new.record(&store, b"x", at(18), at(300)), Ok(Recorded::New));
        assert_eq!(new.record(&store, b"x", at(18), at(318)), Ok(Recorded::Seen));
    }

    #[test]
    fn who_still_has_the_shorter_skew_holds_for_the_longer() {
        let store = MemoryStore::new();
        let (mut old, mut new) = (set(&store, 64, 2), set(&store, 64, 300));
        assert_eq!(pass(&mut old, &store, 0..1, 10, 10), 1);
        assert_eq!(pass(&mut new, &store, 1..2, 11, 11), 1);
        assert_eq!(pass(&mut old, &store, 2..3, 20, 20), 1);
        assert_eq!(pass(&mut new, &store, 2..3, 20, 200), 0);
    }

    #[test]
    fn without_room_for_its_terms_a_worker_lets_nothing_pass() {
        let store = MemoryStore::new();
        let mut recorded = (1..=17).map(|n| set(&store, n * 32, 300).record(&store, b"x", at(n.into()), at(n.into())));
        assert_eq!(recorded.next(), Some(Ok(Recorded::New)));
        assert_eq!(recorded.nth(14), Some(Ok(Recorded::Seen)));
        assert_eq!(recorded.next(), Some(Ok(Recorded::Full)));
    }

    #[test]
    fn a_worker_whose_clock_was_set_back_still_looks_at_what_the_others_go_by() {
        let store = MemoryStore::new();
        let (mut old, mut new) = (set(&store, 64, 2), set(&store, 64, 300));
        assert_eq!(pass(&mut old, &store, 0..1, 900, 900), 1);
        assert_eq!(pass(&mut new, &store, 1..2, 5, 5), 1);
        assert_eq!(pass(&mut old, &store, 2..3, 20, 20), 1);
        assert_eq!(pass(&mut new, &store, 2..3, 20, 200), 0);
    }

    #[test]
    fn damaged_terms_are_listed_anew() {
        let store = MemoryStore::new();
        let mut set = set(&store, 64, 300);
        assert_eq!(pass(&mut set, &store, 0..1, 0, 0), 1);
        store.damage(|key, value| {
            if key.contains("terms") {
                value.truncate(9);
            }
        });
        assert_eq!((pass(&mut set, &store, 0..1, 0, 2), pass(&mut set, &store, 1..2, 2, 2)), (0, 1));
    }
}
