//! A bounded set of keys that are each held until they expire: what replays and revocations stand on.
//!
//! A key is a keyed hash of 128 bits, of which its place takes some and its entry holds 64. An entry that has not expired
//! is never evicted; a set without room says so. One compare-and-set on the set covers looking and inserting, so of
//! all workers that insert a key at once exactly one is told that it is new.
//!
//! An entry that has expired stays until its place is needed, and the one that expired first goes first: a clock that
//! jumps ahead and comes back has lost what was inserted over meanwhile, and nothing else.
//!
//! Who must not be crowded out inserts a whole list at once ([`ExpiringSet::insert_all`]): others leave it half of each set
//! ([`Room::Half`]), and a set that has no room for all of it says of every key it does not hold that it is not known.

use super::bytes::Reader;
use super::hash::Message;
use super::{Fill, MAX_TRIES, Space, TableError};
use crate::order;
use crate::store::{Cas, SharedStore, StoreError, Stored, Write};
use crate::time::Timestamp;

/// Keys of one stored value, [`ENTRY_BYTES`] each. Sets fill unevenly: with half of the entries in use one set in 8,000 has more
/// to hold than its 32, with three quarters one in 20.
const WAYS: usize = 32;

const ENTRY_BYTES: usize = 12;

const FORMAT: u8 = 1;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inserted {
    /// It was not there and is held now.
    New,
    /// It is there already and stays until the later of both expiries.
    Seen,
    /// It was not there and there is no room: it is not held.
    Full,
}

/// How much of a set a key may find taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// All but one place.
    Whole,
    /// Less than half: the rest is kept for lists.
    Half,
}

/// Whether a key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// It is.
    Held,
    /// It is not.
    Absent,
    /// It is not, but a list that might name it found no room in its set.
    Lacking,
}

/// A bounded set of keys with expiry, shared by all workers.
#[derive(Debug)]
pub(super) struct ExpiringSet {
    space: Space,
    table: &'static str,
    sets: u64,
}

/// A key's place: the set and what its entry holds.
struct Place {
    key: String,
    tag: u64,
}

/// Tag and second of expiry.
type Entry = (u64, u32);

impl ExpiringSet {
    /// `entries` keys, rounded up to whole sets, under the one letter `table`.
    pub(super) fn new(space: Space, table: &'static str, entries: u32) -> Self {
        Self { space, table, sets: u64::from(entries).div_ceil(WAYS as u64).max(1) }
    }

    /// The same table as workers see it for which it has `sets` sets.
    pub(super) fn resized(&self, sets: u64) -> Self {
        Self { space: self.space.clone(), table: self.table, sets: sets.max(1) }
    }

    /// In which of its stored values `key` belongs.
    pub(super) fn index(&self, key: &[u8]) -> u64 {
        let [place, _] = self.hash(key);
        place % self.sets
    }

    /// How many stored values it has.
    pub(super) const fn sets(&self) -> u64 {
        self.sets
    }

    /// Holds `key` until `expires`, rounded up to a second. A key that has expired already is not held, and new.
    pub(super) fn insert(
        &self,
        store: &dyn SharedStore,
        key: &[u8],
        expires: Timestamp,
        (room, now): (Room, Timestamp),
    ) -> Result<Inserted, TableError> {
        let place = self.place(key);
        let entry = (place.tag, second_after(expires));
        for _ in 0..MAX_TRIES {
            let mut set = Set::at(store.get(&place.key)?);
            let inserted = set.insert(entry, room, now);
            if set.write(store, &place.key)? == Write::Done {
                return Ok(inserted);
            }
        }
        Err(TableError::Contended)
    }

    /// Holds each of `keys` until its moment, like [`ExpiringSet::insert`]. Whether there was room for all of them. A set
    /// without knows so until the last moment of those it lacks, or until a list that names keys of it finds room.
    pub(super) fn insert_all(
        &self,
        store: &dyn SharedStore,
        keys: impl Iterator<Item = (impl AsRef<[u8]>, Timestamp)>,
        now: Timestamp,
    ) -> Result<bool, TableError> {
        let located = |(key, expires): (_, Timestamp)| {
            let [place, tag] = self.hash(AsRef::<[u8]>::as_ref(&key));
            (place % self.sets, (tag, second_after(expires)))
        };
        let mut located: Vec<(u64, Entry)> = keys.map(located).collect();
        order::sort(&mut located);
        let mut all = true;
        for of_one_set in located.chunk_by(|(one, _), (other, _)| one == other) {
            all &= self.insert_some(store, of_one_set, now)?;
        }
        Ok(all)
    }

    /// The same for keys of one set.
    fn insert_some(&self, store: &dyn SharedStore, keys: &[(u64, Entry)], now: Timestamp) -> Result<bool, TableError> {
        let Some((index, _)) = keys.first() else { return Ok(true) };
        let key = self.space.key(self.table, *index);
        for _ in 0..MAX_TRIES {
            let mut set = Set::at(store.get(&key)?);
            let full = |entry: &Entry| set.insert(*entry, Room::Whole, now) == Inserted::Full;
            let lacking = keys.iter().map(|(_, entry)| *entry).filter(full).map(|(_, expires)| expires).max();
            set.lack_until(lacking.unwrap_or_default());
            if set.write(store, &key)? == Write::Done {
                return Ok(lacking.is_none());
            }
        }
        Err(TableError::Contended)
    }

    /// Whether `key` is held at `now`: one read, and the cheapest kind where nothing was ever held near it.
    pub(super) fn look(&self, store: &dyn SharedStore, key: &[u8], now: Timestamp) -> Result<Lookup, TableError> {
        let place = self.place(key);
        let Some(stored) = store.get(&place.key)? else { return Ok(Lookup::Absent) };
        let set = Set::at(Some(stored));
        if set.living(now).any(|(tag, _)| *tag == place.tag) {
            return Ok(Lookup::Held);
        }
        Ok(if u64::from(set.lacks_until) > now.unix_seconds() { Lookup::Lacking } else { Lookup::Absent })
    }

    /// How full one set is, chosen by `lot`.
    pub(super) fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        let stored = store.get(&self.space.key(self.table, lot % self.sets))?;
        Ok(Fill { used: Set::at(stored).living(now).count(), room: WAYS })
    }

    fn place(&self, key: &[u8]) -> Place {
        let [place, tag] = self.hash(key);
        Place { key: self.space.key(self.table, place % self.sets), tag }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.space.hash(&Message::of(&[self.table.as_bytes(), key]))
    }
}

/// One stored value: the format, the entries, and four bytes more where it lacks something.
struct Set {
    /// Those that have expired as well.
    entries: Vec<Entry>,
    /// Until when a key that was to be held may not be; 0: never.
    lacks_until: u32,
    /// The version that was read.
    stored: Option<Cas>,
    /// It is not what was read any more.
    changed: bool,
}

impl Set {
    /// Bytes of another format hold nothing.
    fn at(stored: Option<Stored>) -> Self {
        let mut set = Self { entries: Vec::new(), lacks_until: 0, stored: None, changed: false };
        let Some(Stored { value, cas }) = stored else { return set };
        set.stored = Some(cas);
        let Some((&FORMAT, bytes)) = value.split_first() else { return set };
        let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        set.entries = entries.iter().take(WAYS).filter_map(entry).collect();
        set.lacks_until = rest.try_into().map_or(0, u32::from_le_bytes);
        set
    }

    fn living(&self, now: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| lives(entry, now))
    }

    fn insert(&mut self, new: Entry, room: Room, now: Timestamp) -> Inserted {
        let known = self.entries.iter_mut().find(|(tag, _)| *tag == new.0);
        if let Some(held) = known.filter(|held| lives(held, now)) {
            self.changed |= held.1 < new.1;
            held.1 = held.1.max(new.1);
            return Inserted::Seen;
        }
        if !lives(&new, now) {
            return Inserted::New;
        }
        let most = match room {
            Room::Whole => WAYS,
            Room::Half => WAYS / 2,
        };
        if self.living(now).count() >= most {
            return Inserted::Full;
        }
        self.changed = true;
        match self.place_for(new.0) {
            Some(place) => *place = new,
            None => self.entries.push(new),
        }
        Inserted::New
    }

    /// The place of an expired entry that a new one takes: its own, else, where all are taken, that which expired first.
    fn place_for(&mut self, tag: u64) -> Option<&mut Entry> {
        let is_full = self.entries.len() >= WAYS;
        let own = self.entries.iter().position(|(held, _)| *held == tag);
        let first = || self.entries.iter().enumerate().min_by_key(|(_, (_, expires))| *expires).map(|(at, _)| at);
        let at = own.or_else(|| is_full.then(first).flatten())?;
        self.entries.get_mut(at)
    }

    fn lack_until(&mut self, second: u32) {
        self.changed |= self.lacks_until != second;
        self.lacks_until = second;
    }

    fn write(&self, store: &dyn SharedStore, key: &str) -> Result<Write, TableError> {
        if !self.changed {
            return Ok(Write::Done);
        }
        let mut value = Vec::with_capacity(1 + self.entries.len() * ENTRY_BYTES + 4);
        value.push(FORMAT);
        for (tag, expires) in &self.entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&expires.to_le_bytes());
        }
        if self.lacks_until > 0 {
            value.extend_from_slice(&self.lacks_until.to_le_bytes());
        }
        Ok(match self.stored {
            Some(cas) => store.replace(key, &value, cas)?,
            None => store.create(key, &value)?,
        })
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let mut reader = Reader::new(bytes);
    Some((reader.u64()?, reader.u32()?))
}

fn lives((_, expires): &Entry, now: Timestamp) -> bool {
    u64::from(*expires) > now.unix_seconds()
}

/// The second from which on `moment` has passed.
fn second_after(moment: Timestamp) -> u32 {
    u32::try_from(moment.unix_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn set(store: &MemoryStore, entries: u32) -> ExpiringSet {
        ExpiringSet::new(Space::open(store, "test", [3; 16]).unwrap(), "r", entries)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_790_000_000 + seconds)
    }

    fn whole(seconds: u64) -> (Room, Timestamp) {
        (Room::Whole, at(seconds))
    }

    fn contains(set: &ExpiringSet, store: &MemoryStore, key: &[u8], now: Timestamp) -> Result<bool, TableError> {
        set.look(store, key, now).map(|found| found == Lookup::Held)
    }

    #[test]
    fn of_all_workers_that_insert_a_key_at_once_one_is_told_it_is_new() {
        let store = MemoryStore::new();
        let new: usize = std::thread::scope(|scope| {
            let work = || {
                let set = set(&store, 64);
                let insert = |key: u32| set.insert(&store, &key.to_le_bytes(), at(9), whole(0));
                (0..40).filter(|key| insert(*key).unwrap() == Inserted::New).count()
            };
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(new, 40);
    }

    #[test]
    fn a_full_set_says_so_and_forgets_nothing_that_has_not_expired() {
        let store = MemoryStore::new();
        let set = set(&store, 128);
        let keys: Vec<[u8; 4]> = (0..1000u32).map(u32::to_le_bytes).collect();
        let held: Vec<_> =
            keys.iter().filter(|key| set.insert(&store, *key, at(60), whole(0)).unwrap() == Inserted::New).collect();
        assert_eq!(held.len(), 128);
        assert!(held.iter().all(|key| set.insert(&store, *key, at(60), whole(59)).unwrap() == Inserted::Seen));
        // Four sets and the seed.
        assert_eq!((store.keys(), set.insert(&store, b"x", at(61), whole(59)).unwrap()), (5, Inserted::Full));
        assert_eq!(set.insert(&store, b"x", at(61), whole(60)).unwrap(), Inserted::New);
    }

    #[test]
    fn foreign_bytes_hold_nothing_and_are_replaced() {
        let store = MemoryStore::new();
        let set = set(&store, 1);
        assert_eq!(set.insert(&store, b"x", at(9), whole(0)).unwrap(), Inserted::New);
        store.damage(|_, value| *value = vec![9; 30]);
        assert!(!contains(&set, &store, b"x", at(0)).unwrap());
        assert_eq!(set.insert(&store, b"x", at(9), whole(0)).unwrap(), Inserted::New);
        assert!(contains(&set, &store, b"x", at(0)).unwrap());
        store.damage(|_, value| value.truncate(7));
        assert!(!contains(&set, &store, b"x", at(0)).unwrap());
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_comes_back_loses_only_what_was_inserted_over() {
        let store = MemoryStore::new();
        let set = set(&store, 32);
        let held =
            |from: u8, to: u8, now| (from..to).filter(|key| contains(&set, &store, &[*key], at(now)).unwrap()).count();
        for key in 0..31 {
            assert_eq!(set.insert(&store, &[key], at(100 + u64::from(key)), whole(0)), Ok(Inserted::New));
        }
        let far = 8 * 86_400;
        assert_eq!(held(0, 31, far), 0);
        for key in 100..103 {
            assert_eq!(set.insert(&store, &[key], at(far + 60), whole(far)), Ok(Inserted::New));
        }
        assert_eq!(
            (held(0, 31, 1), held(0, 2, 1)),
            (29, 0),
            "the first place was free; those that expire first made way"
        );
        assert!((2..31).all(|key| set.insert(&store, &[key], at(90), whole(1)) == Ok(Inserted::Seen)));
        assert_eq!(set.insert(&store, &[0], at(90), whole(1)), Ok(Inserted::Full), "what lives is never inserted over");
        assert_eq!(set.insert(&store, &[2], at(200), whole(102)), Ok(Inserted::New), "in the place that it had");
        assert_eq!((held(2, 31, 102), held(100, 103, 102)), (29, 3));
        assert_eq!(store.keys(), 2);
    }

    #[test]
    fn a_list_finds_half_of_each_set_and_what_finds_no_room_is_not_known_until_it_does() {
        let store = MemoryStore::new();
        let set = set(&store, 32);
        let half = |key: u8| set.insert(&store, &[key], at(60), (Room::Half, at(0))).unwrap();
        assert_eq!((0..40).filter(|key| half(*key) == Inserted::New).count(), 16);
        let list = |keys: std::ops::Range<u8>, now| {
            let until = |key: u8| at(if key < 117 { 90 } else { 100 + u64::from(key) });
            set.insert_all(&store, keys.map(|key| ([key], until(key))), at(now)).unwrap()
        };
        let look = |key: u8, now| set.look(&store, &[key], at(now)).unwrap();
        assert!(list(100..116, 0));
        assert_eq!((look(115, 0), look(116, 0), look(0, 0)), (Lookup::Held, Lookup::Absent, Lookup::Held));
        assert!(!list(100..120, 0));
        assert_eq!(half(200), Inserted::Full);
        assert_eq!([100, 115, 116, 119, 200].map(|key| look(key, 0)), {
            let [held, lacking] = [Lookup::Held, Lookup::Lacking];
            [held, held, lacking, lacking, lacking]
        });
        assert_eq!((look(119, 218), look(119, 219)), (Lookup::Lacking, Lookup::Absent), "all of them have ended");
        assert!(list(100..120, 60), "the others have made way");
        assert_eq!((look(119, 60), look(200, 60)), (Lookup::Held, Lookup::Absent));
        let before = store.get(&set.space.key("r", 0)).unwrap();
        assert!(list(100..120, 60));
        assert_eq!(store.get(&set.space.key("r", 0)).unwrap(), before, "the same once more writes nothing");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn agrees_with_a_plain_map(steps in proptest::collection::vec((0..30u8, 0..20u64, 0..4u64), 1..200)) {
            let store = MemoryStore::new();
            let set = set(&store, 32);
            let mut map: HashMap<u8, u64> = HashMap::new();
            let mut now = 0;
            for (key, lifetime, wait) in steps {
                now += wait;
                map.retain(|_, expires| *expires > now);
                prop_assert_eq!(contains(&set, &store, &[key], at(now)).unwrap(), map.contains_key(&key));
                let expected = if map.contains_key(&key) { Inserted::Seen } else { Inserted::New };
                prop_assert_eq!(set.insert(&store, &[key], at(now + lifetime), whole(now)).unwrap(), expected);
                let held = map.entry(key).or_insert(0);
                *held = (now + lifetime).max(*held);
            }
        }
    }
}
