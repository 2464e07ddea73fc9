//! The data all workers share, as the host offers it: a map of byte strings with compare-and-set.
//!
//! The shape is Envoy's shared data (proxy-wasm ABI 0.2.1, `proxy_get_shared_data` and `proxy_set_shared_data`): one
//! process-wide map behind one lock, with no expiry, no listing and no deletion. Whatever stands on it must use a
//! bounded set of keys and values; `table` does.

mod recent;

pub use recent::Remembering;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

/// The version of a stored value; it changes with every write of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cas(NonZeroU32);

impl Cas {
    /// The version the host reported; `None` for 0, which the host never gives to a value.
    pub const fn new(version: u32) -> Option<Self> {
        match NonZeroU32::new(version) {
            Some(version) => Some(Self(version)),
            None => None,
        }
    }

    /// The number to hand back to the host.
    pub const fn version(self) -> u32 {
        self.0.get()
    }
}

/// A value with the version it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes; empty also where the host holds a key without a value.
    pub value: Vec<u8>,
    /// What [`SharedStore::replace`] needs.
    pub cas: Cas,
}

/// How a conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Write {
    /// The value is stored.
    Done,
    /// Somebody else wrote first; nothing was changed.
    Lost,
}

/// The host could not read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The status of the host call.
    pub status: u32,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shared data: host status {}", self.status)
    }
}

impl std::error::Error for StoreError {}

/// The shared map. Every operation is atomic on its key; none spans two keys.
pub trait SharedStore {
    /// The value of `key` and its version, or `None` where the key was never written.
    ///
    /// # Errors
    /// The host's status where it is neither success nor "not found".
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreError>;

    /// What this worker wrote last under `key`, where that may still be what stands there: a [`SharedStore::replace`] with
    /// its version succeeds only if it is. For decisions that end with that write; whatever else is decided needs
    /// [`SharedStore::get`].
    fn recent(&self, _key: &str) -> Option<Stored> {
        None
    }

    /// Writes `value` if `key` was never written.
    ///
    /// # Errors
    /// The host's status where it is neither success nor a mismatch.
    fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError>;

    /// Writes `value` if `key` is still at version `cas`.
    ///
    /// # Errors
    /// The host's status where it is neither success nor a mismatch.
    fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError>;

    /// Writes `value` whatever was there. For keys with one writer only.
    ///
    /// # Errors
    /// The host's status where it is not success.
    fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;
}

/// The same map in this process's memory: for the command line tool and native tests, usable by many threads.
#[derive(Debug, Default)]
pub struct MemoryStore {
    shared: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    values: HashMap<String, (Vec<u8>, u32)>,
    last_version: u32,
}

/// Envoy creates an absent key whatever version is named, and no value ever has this one before four billion writes.
const NO_VERSION: u32 = u32::MAX;

impl MemoryStore {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys were ever written.
    pub fn keys(&self) -> usize {
        self.locked(|map| map.values.len())
    }

    /// The bytes of all keys and values together.
    pub fn bytes(&self) -> usize {
        self.locked(|map| map.values.iter().map(|(key, (value, _))| key.len() + value.len()).sum())
    }

    /// Exactly the host's write: version 0 overwrites, an absent key is created, otherwise the version must match.
    fn write(&self, key: &str, value: &[u8], version: u32) -> Write {
        self.locked(|map| {
            let next = map.last_version.checked_add(1).unwrap_or(1);
            let Some((held, held_version)) = map.values.get_mut(key) else {
                map.values.insert(key.to_owned(), (value.to_vec(), next));
                map.last_version = next;
                return Write::Done;
            };
            if version != 0 && version != *held_version {
                return Write::Lost;
            }
            value.clone_into(held);
            *held_version = next;
            map.last_version = next;
            Write::Done
        })
    }

    /// Rewrites every value, as damage or a foreign writer might.
    #[cfg(test)]
    pub(crate) fn damage(&self, mut damage: impl FnMut(&str, &mut Vec<u8>)) {
        self.locked(|map| map.values.iter_mut().for_each(|(key, (value, _))| damage(key, value)));
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Map) -> T) -> T {
        work(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: SharedStore + ?Sized> SharedStore for &S {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        (**self).get(key)
    }

    fn recent(&self, key: &str) -> Option<Stored> {
        (**self).recent(key)
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
        (**self).create(key, value)
    }

    fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
        (**self).replace(key, value, cas)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        (**self).put(key, value)
    }
}

impl SharedStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        Ok(self.locked(|map| {
            let (value, version) = map.values.get(key)?;
            Some(Stored { value: value.clone(), cas: Cas::new(*version)? })
        }))
    }

    fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
        Ok(self.write(key, value, NO_VERSION))
    }

    fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
        Ok(self.write(key, value, cas.version()))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let _ = self.write(key, value, 0);
        Ok(())
    }
}

/// A store for tests that lets somebody else act at a chosen moment, and counts the calls.
#[cfg(test)]
pub(crate) mod racing {
    use super::*;
    use std::cell::{Cell, RefCell};

    type Intruder<'a> = Box<dyn FnMut(usize, &str, &MemoryStore) + 'a>;

    /// Runs `intruder` before every write, with the write's number, its key and the map itself, and where asked another before
    /// every read.
    pub(crate) struct RacingStore<'a> {
        pub(crate) inner: &'a MemoryStore,
        intruder: RefCell<Intruder<'a>>,
        reading: RefCell<Intruder<'a>>,
        pub(crate) gets: Cell<usize>,
        pub(crate) writes: Cell<usize>,
    }

    impl<'a> RacingStore<'a> {
        pub(crate) fn new(inner: &'a MemoryStore, intruder: impl FnMut(usize, &str, &MemoryStore) + 'a) -> Self {
            let intruder = RefCell::new(Box::new(intruder) as Intruder<'a>);
            let reading = RefCell::new(Box::new(|_: usize, _: &str, _: &MemoryStore| {}) as Intruder<'a>);
            Self { inner, intruder, reading, gets: Cell::new(0), writes: Cell::new(0) }
        }

        pub(crate) fn reading(self, intruder: impl FnMut(usize, &str, &MemoryStore) + 'a) -> Self {
            Self { reading: RefCell::new(Box::new(intruder)), ..self }
        }

        /// Gets and writes since the last call.
        pub(crate) fn calls(&self) -> (usize, usize) {
            (self.gets.take(), self.writes.take())
        }

        fn intrude(&self, key: &str) {
            let number = self.writes.get();
            self.writes.set(number + 1);
            (self.intruder.borrow_mut())(number, key, self.inner);
        }
    }

    impl SharedStore for RacingStore<'_> {
        fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
            let number = self.gets.get();
            self.gets.set(number + 1);
            (self.reading.borrow_mut())(number, key, self.inner);
            self.inner.get(key)
        }

        fn create(&self, key: &str, value: &[u8]) -> Result<Write, StoreError> {
            self.intrude(key);
            self.inner.create(key, value)
        }

        fn replace(&self, key: &str, value: &[u8], cas: Cas) -> Result<Write, StoreError> {
            self.intrude(key);
            self.inner.replace(key, value, cas)
        }

        fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
            self.intrude(key);
            self.inner.put(key, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_two_creators_wins() {
        let store = MemoryStore::new();
        assert_eq!(store.create("k", b"a"), Ok(Write::Done));
        assert_eq!(store.create("k", b"b"), Ok(Write::Lost));
        assert_eq!(store.get("k").unwrap().unwrap().value, b"a");
        assert_eq!(store.get("other"), Ok(None));
    }

    #[test]
    fn refuses_a_write_from_an_old_version() {
        let store = MemoryStore::new();
        store.put("k", b"a").unwrap();
        let old = store.get("k").unwrap().unwrap().cas;
        store.put("k", b"a").unwrap();
        assert_eq!(store.replace("k", b"c", old), Ok(Write::Lost));
        let new = store.get("k").unwrap().unwrap().cas;
        assert_eq!(store.replace("k", b"c", new), Ok(Write::Done));
        assert_eq!(store.get("k").unwrap().unwrap().value, b"c");
    }

    #[test]
    fn a_version_is_never_given_twice_across_keys() {
        let store = MemoryStore::new();
        store.put("a", b"").unwrap();
        store.put("b", b"").unwrap();
        assert_ne!(store.get("a").unwrap().unwrap().cas, store.get("b").unwrap().unwrap().cas);
        assert_eq!((store.keys(), store.bytes()), (2, 2));
    }
}
