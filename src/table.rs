//! Bounded tables on the shared data: counters, blocks, replays, revocations.
//!
//! The host's map neither forgets nor lists nor deletes, so a table is a fixed number of keys ([`Space::key`]) whose
//! values have a bounded size. A key of a table is reduced to a keyed hash; the hash chooses one stored value, a set,
//! that holds several entries, and one compare-and-set on it covers finding the entry and making room for it. Nothing
//! that still matters is ever evicted; every table says what it does instead when it is full.

pub mod address;
pub mod blocks;
mod bytes;
mod counter;
mod expiring;
pub mod generation;
mod hash;
pub mod limiter;
pub mod published;
pub mod rate;
pub mod replay;
pub mod revocation;
mod set;
pub mod sketch;
pub mod spent;
mod terms;
mod window;

use crate::store::{SharedStore, StoreError};
use hash::Message;
use std::fmt;
use std::time::Duration;

/// How often an operation starts anew after somebody else wrote first.
pub(crate) const MAX_TRIES: usize = 128;

/// How long after its end a set's last entry is cleared away by a reader: a clock that jumped ahead must not lose it.
const LINGER: Duration = Duration::from_secs(3600);

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

/// Entries in use and room for them, in one stored value of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Entries that still matter.
    pub used: usize,
    /// Entries for which the table is made.
    pub room: usize,
}

/// The part of the shared data that belongs to one plugin, and the hash seed its workers agreed on.
#[derive(Clone, Debug)]
pub struct Space {
    prefix: String,
    seed: [u8; 16],
}

/// Changes with the layout of any stored value: a plugin of another version finds none of these keys.
const LAYOUT: u32 = 2;

impl Space {
    /// Opens the part named `plugin`. The first worker to come gives the hash seed, `random`, for all of them.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] where no seed was to be had.
    pub fn open(store: &dyn SharedStore, plugin: &str, random: [u8; 16]) -> Result<Self, TableError> {
        let prefix = format!("{plugin}/{LAYOUT}/");
        let seed = agreed_seed(store, &format!("{prefix}seed"), random)?;
        Ok(Self { prefix, seed })
    }

    /// Where `parts` belong in a table of `sets` stored values under the one letter `table`: the stored key, and what
    /// tells them from others in it.
    pub(crate) fn place(&self, table: &str, parts: &[&[u8]], sets: u64) -> (String, u64) {
        let [place, tag] = self.hash(&Message::of(&[table.as_bytes()]).and(parts));
        (self.key(table, place % sets), tag)
    }

    /// A part of its own for tables that must not meet others of their kind.
    fn part(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}/", self.prefix), seed: self.seed }
    }

    /// The stored key of set `index` of `table`.
    fn key(&self, table: &str, index: u64) -> String {
        let mut key = String::with_capacity(self.prefix.len() + table.len() + 16);
        key.push_str(&self.prefix);
        key.push_str(table);
        // Formatting costs more than all the rest of this.
        let digits = (16 - index.leading_zeros() / 4).max(1);
        key.extend((0..digits).rev().filter_map(|at| char::from_digit((index >> (at * 4)) as u32 & 0xf, 16)));
        key
    }

    fn hash(&self, message: &Message) -> [u64; 2] {
        message.hash(self.seed)
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
