//! Replay protection: each signature or nonce is accepted once, by whichever worker sees it first.

use super::expiring::ExpiringSet;
use super::{Fill, Space, TableError};
use crate::store::{SharedStore, StoreError};
use crate::time::Timestamp;

pub use super::expiring::Inserted;

/// The keys that were seen, each until its own expiry.
#[derive(Debug)]
pub struct ReplaySet {
    seen: ExpiringSet,
}

impl ReplaySet {
    /// Room for `entries` keys, rounded up to whole sets of 32; fixed memory.
    pub fn new(space: Space, entries: u32) -> Self {
        Self { seen: ExpiringSet::new(space, "r", entries) }
    }

    /// Records `key` until `expires`. Only [`Inserted::New`] may pass: a full set cannot tell.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn insert(
        &self,
        store: &dyn SharedStore,
        key: &[u8],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Inserted, TableError> {
        self.seen.insert(store, key, expires, now)
    }

    /// How full one set is, chosen by `lot`.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        self.seen.fill(store, lot, now)
    }
}
