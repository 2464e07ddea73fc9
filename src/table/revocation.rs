//! Revoked tokens (`jti`) and sessions (`sid`), each until the token would have expired anyway.

use super::expiring::{ExpiringSet, Inserted};
pub use super::expiring::{Lookup, Room};
use super::{Fill, Space, TableError};
use crate::store::{SharedStore, StoreError};
use crate::time::Timestamp;

/// What became of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Revoked {
    /// It holds on every worker from now on.
    Held,
    /// There is no room: it does not hold.
    Full,
}

/// The revoked identifiers.
#[derive(Debug)]
pub struct Revocations {
    revoked: ExpiringSet,
}

impl Revocations {
    /// Room for `entries` identifiers, rounded up to whole sets of 32; fixed memory.
    pub fn new(space: Space, entries: u32) -> Self {
        Self { revoked: ExpiringSet::new(space, "v", entries) }
    }

    /// Revokes `id` until `expires`, or longer where it is revoked for longer already.
    ///
    /// The caller makes identifiers of different issuers and kinds differ. Where somebody revokes by lists, `room` is half.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn revoke(
        &self,
        store: &dyn SharedStore,
        id: &[u8],
        expires: Timestamp,
        (room, now): (Room, Timestamp),
    ) -> Result<Revoked, TableError> {
        Ok(match self.revoked.insert(store, id, expires, (room, now))? {
            Inserted::New | Inserted::Seen => Revoked::Held,
            Inserted::Full => Revoked::Full,
        })
    }

    /// Revokes every one of a list, each until its moment. [`Revoked::Full`]: what found no room, and what else may have
    /// found none, is [`Lookup::Lacking`].
    ///
    /// # Errors
    /// As for [`Revocations::revoke`]; some of them may be revoked.
    pub fn revoke_all(
        &self,
        store: &dyn SharedStore,
        list: impl Iterator<Item = (impl AsRef<[u8]>, Timestamp)>,
        now: Timestamp,
    ) -> Result<Revoked, TableError> {
        Ok(if self.revoked.insert_all(store, list, now)? { Revoked::Held } else { Revoked::Full })
    }

    /// Whether `id` is revoked: one read, the cheapest kind (of an absent key) while few are.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails.
    pub fn look(&self, store: &dyn SharedStore, id: &[u8], now: Timestamp) -> Result<Lookup, TableError> {
        self.revoked.look(store, id, now)
    }

    /// How full one set is, chosen by `lot`.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        self.revoked.fill(store, lot, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_revocation_holds_on_every_worker_until_it_expires_or_says_that_it_does_not() {
        let store = MemoryStore::new();
        let open = || Revocations::new(Space::open(&store, "test", [3; 16]).unwrap(), 32);
        let (ours, theirs) = (open(), open());
        let at = Timestamp::from_unix_seconds;
        assert_eq!(ours.revoke(&store, b"sid", at(100), (Room::Whole, at(10))), Ok(Revoked::Held));
        assert_eq!(ours.revoke(&store, b"sid", at(50), (Room::Whole, at(10))), Ok(Revoked::Held));
        assert_eq!(theirs.look(&store, b"sid", at(99)), Ok(Lookup::Held));
        assert_eq!(theirs.look(&store, b"sid", at(100)), Ok(Lookup::Absent));
        assert_eq!(theirs.look(&store, b"other", at(99)), Ok(Lookup::Absent));
        let full = (0..40u8)
            .filter(|id| ours.revoke(&store, &[*id], at(100), (Room::Whole, at(10))) == Ok(Revoked::Full))
            .count();
        assert_eq!(full, 40 - 31);
    }
}
