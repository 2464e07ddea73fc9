//! What one worker wrote last, so that the next decision on it needs no read: of all that the host does for a request,
//! handing out bytes costs most.
//!
//! A write does not say which version it got. But versions are numbers of one counter for the whole map (Envoy's shared
//! data takes the next one for every write, of whatever key), so the version of a write is at least one more than that of
//! any write known to be earlier, and exactly that if nobody else wrote in between. [`Recent`] keeps this lowest version
//! beside the value:
//!
//! - If it is the version, a `replace` with it succeeds as long as nobody wrote the key since: the value is the latest.
//! - If the version is higher, so is that of every later write of the key: a `replace` fails, and the key is read.
//!
//! So a value from here may be out of date, but never replaces one that it is not. Where several workers write all the time
//! guesses fail; then they are left out for a while.

use super::{Cas, SharedStore, StoreError, Stored, Write};
use std::cell::{Cell, RefCell};

/// Values that are remembered; a power of two.
const SLOTS: usize = 256;
/// A longer value is not kept, in bytes: with all slots taken they fill a quarter of a megabyte.
const LONGEST: usize = 1024;
/// For how many questions guesses are left out at most.
const LONGEST_REST: u32 = 64;

/// A store that remembers what this worker wrote.
#[derive(Debug, Default)]
pub struct Remembering<S> {
    inner: S,
    recent: RefCell<Recent>,
    /// A version was below the lowest it could be: this host counts otherwise, and nothing is guessed any more.
    distrusted: Cell<bool>,
}

impl<S: SharedStore> Remembering<S> {
    /// A store that knows nothing yet.
    pub fn new(inner: S) -> Self {
        Self { inner, recent: RefCell::default(), distrusted: Cell::new(false) }
    }

    /// Lets `note` write down what happened, where that is of use.
    fn noted<T>(&self, note: impl FnOnce(&mut Recent) -> T) -> Option<T> {
        (!self.distrusted.get()).then(|| note(&mut self.recent.borrow_mut()))
    }

    fn saw(&self, key: &str, version: Cas) {
        if self.noted(|recent| recent.saw(key, version)) == Some(false) {
            self.distrusted.set(true);
        }
    }

    fn wrote(&self, key: &str, value: &[u8], guess: Option<Cas>, outcome: Write) -> Write {
        self.noted(|recent| match outcome {
            Write::Done => recent.wrote(key, value, guess),
            Write::Lost => recent.lost(key, guess),
        });
        outcome
    }
}

impl<S: SharedStore> SharedStore for Remembering<S> {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        // What was written last bears the highest version.
        if let Some(Some(last)) = self.noted(Recent::asks_for)
            && let Some(stored) = self.inner.get(&last)?
        {
            self.saw(&last, stored.cas);
        }
        let stored = self.inner.get(key)?;
        if let Some(stored) = &stored {
            self.saw(key, stored.cas);
        }
        Ok(stored)
    }

    fn recent(&self, key: &str) -> Option<Stored> {
        self.noted(|recent| recent.guess(key)).flatten()
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
        Ok(self.wrote(key, value, None, self.inner.create(key, value)?))
    }

    fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
        Ok(self.wrote(key, value, Some(cas), self.inner.replace(key, value, cas)?))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.inner.put(key, value)?;
        self.noted(|recent| recent.passed(key));
        Ok(())
    }
}

/// The values, and the lowest version that the next write can get.
#[derive(Debug, Default)]
struct Recent {
    /// 0: nothing is known of it.
    next: u32,
    slots: Vec<Slot>,
    /// The key that was written last, and whether its version is wanted.
    last: String,
    wanted: bool,
    /// Questions that are still left out, and how many the last failure cost.
    rest: u32,
    failed: u32,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    key: Box<str>,
    value: Vec<u8>,
    /// The lowest version that its write can have got; 0: nothing is kept here.
    version: u32,
}

impl Recent {
    fn guess(&mut self, key: &str) -> Option<Stored> {
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        let slot = self.slots.get(place(key)).filter(|slot| *slot.key == *key)?;
        Some(Stored { value: slot.value.clone(), cas: Cas::new(slot.version)? })
    }

    /// The key whose version says where the counter stands, after a guess that failed.
    fn asks_for(&mut self) -> Option<String> {
        std::mem::take(&mut self.wanted).then(|| self.last.clone())
    }

    /// This worker wrote `key`; the lowest version that it can have got.
    fn passed(&mut self, key: &str) -> u32 {
        if self.last != key {
            key.clone_into(&mut self.last);
        }
        let version = self.next;
        // Once in four billion writes the counter begins anew, and is to be read.
        self.next = if version == 0 { 0 } else { version.wrapping_add(1) };
        version
    }

    fn wrote(&mut self, key: &str, value: &[u8], guess: Option<Cas>) {
        let least = self.passed(key);
        let version = if value.len() > LONGEST { 0 } else { least };
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        let Some(slot) = self.slots.get_mut(place(key)) else { return };
        if *slot.key != *key {
            slot.key = key.into();
        } else if guess.is_some_and(|guess| guess.version() == slot.version) {
            self.failed = 0;
        }
        slot.version = version;
        slot.value.clear();
        if version != 0 {
            slot.value.extend_from_slice(value);
        }
    }

    fn lost(&mut self, key: &str, guess: Option<Cas>) {
        let slot = self.slots.get(place(key)).filter(|slot| *slot.key == *key);
        if slot.zip(guess).is_some_and(|(slot, guess)| guess.version() == slot.version) {
            self.wanted = true;
            self.failed = (self.failed * 2).clamp(1, LONGEST_REST);
            self.rest = self.failed;
        }
    }

    /// A key was read at this version. False: it is below the lowest that it can be.
    fn saw(&mut self, key: &str, version: Cas) -> bool {
        let after = version.version().wrapping_add(1);
        if self.next == 0 || is_later(after, self.next) {
            self.next = after;
        }
        let slot = self.slots.get_mut(place(key)).filter(|slot| *slot.key == *key && slot.version != 0);
        // What was read is newer than what is kept, or the same.
        slot.is_none_or(|slot| is_later(version.version(), std::mem::take(&mut slot.version)))
    }
}

/// Whether `version` is the same as `other` or after it; the counter goes round.
const fn is_later(version: u32, other: u32) -> bool {
    version.wrapping_sub(other) < 1 << 31
}

/// Who chooses keys that meet makes guesses fail, and no more.
fn place(key: &str) -> usize {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = key.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(hash, last) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn what_was_written_alone_is_replaced_without_a_read() {
        let map = MemoryStore::new();
        let store = Remembering::new(&map);
        settle(&store);
        for round in 0..100_u32 {
            let known = store.recent("a").unwrap();
            assert_eq!(store.replace("a", &round.to_le_bytes(), known.cas), Ok(Write::Done));
            store.put("own", b"").unwrap();
            let known = store.recent("b").unwrap();
            assert_eq!(store.replace("b", &round.to_le_bytes(), known.cas), Ok(Write::Done));
        }
        assert_eq!(map.get("a").unwrap().unwrap().value, 99_u32.to_le_bytes());
    }

    #[test]
    fn what_another_worker_wrote_is_never_replaced_unseen() {
        // Every order of a few writes of ours and of another worker on two keys.
        let mut guessed = 0;
        for order in 0..4_u32.pow(6) {
            let map = MemoryStore::new();
            let (ours, theirs) = (Remembering::new(&map), Remembering::new(&map));
            settle(&ours);
            settle(&theirs);
            for step in 0..6 {
                let (store, key) = match order >> (2 * step) & 3 {
                    0 => (&ours, "a"),
                    1 => (&ours, "b"),
                    2 => (&theirs, "a"),
                    _ => (&theirs, "b"),
                };
                // Every guess is tried.
                store.recent.borrow_mut().rest = 0;
                let before = map.get(key).unwrap().unwrap().value;
                let known = store.recent(key);
                if let Some(known) = known
                    && store.replace(key, &[known.value.as_slice(), &[1]].concat(), known.cas) == Ok(Write::Done)
                {
                    assert_eq!(known.value, before, "order {order:o}, step {step}");
                    guessed += 1;
                    continue;
                }
                let fresh = store.get(key).unwrap().unwrap();
                let longer = [fresh.value.as_slice(), &[1]].concat();
                assert_eq!(store.replace(key, &longer, fresh.cas), Ok(Write::Done));
            }
            assert!(!ours.distrusted.get() && !theirs.distrusted.get());
        }
        assert!(guessed > 1000, "{guessed}");
    }

    #[test]
    fn guesses_that_fail_are_left_out_for_a_while_and_tried_again() {
        let map = MemoryStore::new();
        let store = Remembering::new(&map);
        settle(&store);
        let (mut guessed, rounds) = (0, 1000);
        for _ in 0..rounds {
            map.put("a", b"theirs").unwrap();
            let known = store.recent("a").inspect(|_| guessed += 1);
            if let Some(known) = known {
                assert_eq!(store.replace("a", b"ours", known.cas), Ok(Write::Lost));
            }
            let fresh = store.get("a").unwrap().unwrap();
            assert_eq!(store.replace("a", b"ours", fresh.cas), Ok(Write::Done));
        }
        assert!((1..rounds / 20).contains(&guessed), "{guessed}");
        let alone = (0..200).filter(|_| {
            let known = store.recent("a");
            let guessed = known.is_some_and(|known| store.replace("a", b"", known.cas) == Ok(Write::Done));
            if !guessed {
                let fresh = store.get("a").unwrap().unwrap();
                assert_eq!(store.replace("a", b"", fresh.cas), Ok(Write::Done));
            }
            guessed
        });
        assert!(alone.count() > 100);
    }

    #[test]
    fn a_host_whose_versions_are_each_keys_own_is_not_guessed_at() {
        /// Counts the writes of each key apart, in the first byte of what it stores.
        #[derive(Default)]
        struct Apart(MemoryStore);
        impl SharedStore for Apart {
            fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
                let stored = self.0.get(key)?;
                Ok(stored.and_then(|stored| {
                    let (version, value) = stored.value.split_first()?;
                    Some(Stored { value: value.to_vec(), cas: Cas::new(u32::from(*version))? })
                }))
            }
            fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
                self.0.create(key, &[&[1], value].concat())
            }
            fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
                match self.get(key)? {
                    Some(stored) if stored.cas == cas => {
                        self.0.put(key, &[&[cas.version() as u8 + 1], value].concat())?;
                        Ok(Write::Done)
                    }
                    _ => Ok(Write::Lost),
                }
            }
            fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
                self.0.put(key, &[&[1], value].concat())
            }
        }
        let store = Remembering::new(Apart::default());
        settle(&store);
        for key in ["a", "a", "b", "a", "b", "b"] {
            if let Some(known) = store.recent(key) {
                let _ = store.replace(key, b"x", known.cas);
            }
            let fresh = store.get(key).unwrap().unwrap();
            let _ = store.replace(key, b"x", fresh.cas);
        }
        assert!(store.distrusted.get() && store.recent("a").is_none());
    }

    #[test]
    fn long_values_and_any_number_of_keys_take_bounded_room() {
        let map = MemoryStore::new();
        let store = Remembering::new(&map);
        settle(&store);
        for number in 0..10_000 {
            let _ = store.create(&format!("k{number}"), &[7; 100]);
        }
        assert_eq!(store.recent.borrow().slots.len(), SLOTS);
        let _ = store.create("long", &[0; LONGEST + 1]);
        assert_eq!(store.recent("long"), None);
    }

    /// Two keys that this worker wrote, and the counter known.
    fn settle(store: &impl SharedStore) {
        for key in ["a", "b", "a", "b"] {
            let _ = store.create(key, b"");
            let fresh = store.get(key).unwrap().unwrap();
            let _ = store.replace(key, b"", fresh.cas);
        }
        while store.recent("a").is_none_or(|known| store.replace("a", b"", known.cas) != Ok(Write::Done)) {
            let fresh = store.get("a").unwrap().unwrap();
            if store.replace("a", b"", fresh.cas) != Ok(Write::Done) || store.recent("b").is_none() {
                return;
            }
        }
    }
}
