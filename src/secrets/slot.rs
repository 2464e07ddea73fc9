//! One secret of the configuration: its values as they come and go.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::refresh::Remote;
use super::value::SecretValue;
use crate::time::Timestamp;

/// Former values that may be valid at the same time; of more rotations within one overlap the oldest goes.
const MAX_FORMER: usize = 3;

/// One entry of `secrets` on one worker.
pub struct SecretSlot {
    name: Rc<str>,
    number: u16,
    held: RefCell<Held>,
    version: Cell<u64>,
    pub(super) remote: Option<Remote>,
}

#[derive(Clone, Default)]
struct Held {
    current: Option<SecretValue>,
    /// The newest first, each with the end of its overlap.
    former: Vec<(SecretValue, Timestamp)>,
}

impl SecretSlot {
    /// A secret whose value is known and never changes.
    pub fn fixed(name: &str, value: SecretValue) -> Rc<Self> {
        let held = Held { current: Some(value), former: Vec::new() };
        Rc::new(Self { name: name.into(), number: 0, held: RefCell::new(held), version: Cell::new(1), remote: None })
    }

    /// A secret that is fetched; `number` tells it from the others of the configuration.
    pub fn fetched(name: &str, number: u16, remote: Remote) -> Rc<Self> {
        let held = RefCell::default();
        Rc::new(Self { name: name.into(), number, held, version: Cell::new(0), remote: Some(remote) })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it from the other fetched secrets of the configuration.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Changes whenever [`Self::accepted`] does, and only grows. 0: no value has arrived yet.
    pub const fn version(&self) -> u64 {
        self.version.get()
    }

    /// Whether its value comes from a store.
    pub const fn is_fetched(&self) -> bool {
        self.remote.is_some()
    }

    /// Whether no value has arrived yet.
    pub const fn is_missing(&self) -> bool {
        self.version.get() == 0
    }

    /// The value to sign, encrypt or introduce oneself with.
    pub fn current(&self) -> Option<SecretValue> {
        self.held.borrow().current.clone()
    }

    /// The values to accept: the current one, then those before it whose overlap has not ended.
    pub fn accepted(&self) -> Vec<SecretValue> {
        let held = self.held.borrow();
        held.current.iter().chain(held.former.iter().map(|(value, _)| value)).cloned().collect()
    }

    /// Takes a value that was read at `now`. The one before it stays valid for `overlap`.
    pub(super) fn store(&self, value: SecretValue, overlap: Duration, now: Timestamp) {
        let mut held = self.held.borrow_mut();
        if held.current.as_ref() == Some(&value) {
            return;
        }
        held.former.retain(|(former, _)| *former != value);
        if let Some(before) = held.current.replace(value) {
            held.former.insert(0, (before, now.after(overlap)));
            held.former.truncate(MAX_FORMER);
        }
        self.version.set(self.version.get() + 1);
    }

    /// Forgets former values whose overlap has ended.
    pub(super) fn expire(&self, now: Timestamp) {
        let mut held = self.held.borrow_mut();
        let before = held.former.len();
        held.former.retain(|(_, until)| *until > now);
        if held.former.len() != before {
            self.version.set(self.version.get() + 1);
        }
    }

    /// Goes on with what an earlier configuration of this worker knew of the same secret, where that is newer.
    pub fn adopt(&self, earlier: &Self) {
        let (Some(own), Some(theirs)) = (&self.remote, &earlier.remote) else { return };
        if earlier.is_missing() || self.name != earlier.name || !own.adopt(theirs) {
            return;
        }
        self.held.borrow_mut().clone_from(&earlier.held.borrow());
        self.version.set(self.version.get().max(earlier.version()) + 1);
    }
}

impl fmt::Debug for SecretSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSlot").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}
