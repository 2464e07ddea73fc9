//! Bounded tables on the shared data: counters, blocks, replays, revocations.
//!
//! The host's map neither forgets nor lists nor deletes, so a table is a fixed number of keys ([`Space::key`]) whose
//! values have a bounded size. A key of a table is reduced to a keyed hash; the hash chooses one stored value, a set,
//! that holds several entries, and one compare-and-set on it covers finding the entry and making room for it. Nothing
//! that still matters is ever evicted; every table says what it does instead when it is full.

pub mod address;
mod bytes;
mod counter;
mod hash;
pub mod limiter;
pub mod rate;
mod set;
mod window;

use crate::store::{SharedStore, StoreError, Write};
use std::fmt;

/// How often an operation starts anew after somebody else wrote first.
const MAX_TRIES: usize = 128;

/// Why a table could not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The host failed.
    Store(StoreError),
    /// Other workers wrote first every time, or one of them stopped in the middle of a decision that matters here.
    Contended,
}

impl From<StoreError> for TableError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Contended => f.write_str("shared data: lost every race"),
        }
    }
}

impl std::error::Error for TableError {}

/// The part of the shared data that belongs to one plugin, and the hash seed its workers agreed on.
#[derive(Clone, Debug)]
pub struct Space {
    prefix: String,
    seed: [u8; 16],
    worker: u32,
}

/// Changes with the layout of any stored value: a plugin of another version finds none of these keys.
const LAYOUT: u32 = 1;

impl Space {
    /// Opens the part named `plugin`. The first worker to come gives the hash seed, `random`, for all of them.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] where no number for this worker was to be had.
    pub fn open(store: &dyn SharedStore, plugin: &str, random: [u8; 16]) -> Result<Self, TableError> {
        let prefix = format!("{plugin}/{LAYOUT}/");
        let seed = agreed_seed(store, &format!("{prefix}seed"), random)?;
        let worker = next_number(store, &format!("{prefix}workers"))?;
        Ok(Self { prefix, seed, worker })
    }

    /// The stored key of set `index` of `table`.
    fn key(&self, table: &str, index: u64) -> String {
        use fmt::Write as _;
        let mut key = String::with_capacity(self.prefix.len() + table.len() + 8);
        key.push_str(&self.prefix);
        key.push_str(table);
        // Writing to a string cannot fail.
        let _ = write!(key, "{index:x}");
        key
    }

    fn hash(&self, parts: &[&[u8]]) -> [u64; 2] {
        hash::keyed(self.seed, parts)
    }
}

fn agreed_seed(store: &dyn SharedStore, key: &str, random: [u8; 16]) -> Result<[u8; 16], TableError> {
    for _ in 0..MAX_TRIES {
        let Some(stored) = store.get(key)? else {
            let _ = store.create(key, &random)?;
            continue;
        };
        match <[u8; 16]>::try_from(stored.value.as_slice()) {
            Ok(seed) => return Ok(seed),
            Err(_) => drop(store.replace(key, &random, stored.cas)?),
        }
    }
    Err(TableError::Contended)
}

fn next_number(store: &dyn SharedStore, key: &str) -> Result<u32, TableError> {
    for _ in 0..MAX_TRIES {
        let Some(stored) = store.get(key)? else {
            let _ = store.create(key, &[0; 4])?;
            continue;
        };
        let number = <[u8; 4]>::try_from(stored.value.as_slice()).map_or(0, u32::from_le_bytes).wrapping_add(1);
        if store.replace(key, &number.to_le_bytes(), stored.cas)? == Write::Done {
            return Ok(number);
        }
    }
    Err(TableError::Contended)
}
