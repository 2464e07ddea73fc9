//! A number that only grows, shared by all workers: whoever raises it wants every worker to do something again.

use super::{MAX_TRIES, Space, TableError};
use crate::store::{SharedStore, Write};

/// The number.
#[derive(Debug)]
pub struct Generation {
    key: String,
}

impl Generation {
    /// The number called `name`. It takes no memory before it is raised.
    pub fn new(space: &Space, name: &str) -> Self {
        Self { key: space.key(name, 0) }
    }

    /// How often it was raised.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails.
    pub fn read(&self, store: &dyn SharedStore) -> Result<u64, TableError> {
        Ok(store.get(&self.key)?.map_or(0, |stored| number(&stored.value)))
    }

    /// Raises it by one.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn raise(&self, store: &dyn SharedStore) -> Result<u64, TableError> {
        for _ in 0..MAX_TRIES {
            let stored = store.get(&self.key)?;
            let next = stored.as_ref().map_or(0, |stored| number(&stored.value)).wrapping_add(1);
            let written = match stored {
                Some(stored) => store.replace(&self.key, &next.to_le_bytes(), stored.cas)?,
                None => store.create(&self.key, &next.to_le_bytes())?,
            };
            if written == Write::Done {
                return Ok(next);
            }
        }
        Err(TableError::Contended)
    }
}

/// What is no number counts as never raised.
fn number(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::store::racing::RacingStore;

    #[test]
    fn everybody_sees_it_raised_and_no_raise_is_lost() {
        let inner = MemoryStore::new();
        let space = Space::open(&inner, "p", [7; 16]).unwrap();
        let (ours, theirs) = (Generation::new(&space, "g"), Generation::new(&space, "g"));
        assert_eq!((ours.read(&inner), inner.keys()), (Ok(0), 1));
        let racing = RacingStore::new(&inner, |number, _, store| {
            if number < 3 {
                theirs.raise(store).unwrap();
            }
        });
        assert_eq!(ours.raise(&racing), Ok(4));
        assert_eq!(theirs.read(&inner), Ok(4));
        assert_eq!(Generation::new(&space, "other").read(&inner), Ok(0));
    }

    #[test]
    fn what_is_no_number_is_raised_from_zero() {
        let store = MemoryStore::new();
        let space = Space::open(&store, "p", [7; 16]).unwrap();
        let generation = Generation::new(&space, "g");
        store.put(&space.key("g", 0), b"damaged").unwrap();
        assert_eq!((generation.read(&store), generation.raise(&store)), (Ok(0), Ok(1)));
    }
}
