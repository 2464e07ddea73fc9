//! One secret of the configuration: its values as they come and go.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::refresh::{Remote, Rotation};
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
    /// What a value has to be for those that it is made for.
    forms: RefCell<Vec<Form>>,
    pub(super) remote: Option<Remote>,
}

/// Whether a value is one that its user can do anything with.
pub type Form = fn(&SecretValue) -> bool;

#[derive(Clone, Default)]
struct Held {
    current: Option<Known>,
    /// The newest first, each with the end of its overlap.
    former: Vec<(Known, Timestamp)>,
    /// The newest that all others know by now.
    signing: Option<SecretValue>,
    /// How the current one came.
    rotation: Rotation,
}

#[derive(Clone)]
struct Known {
    value: SecretValue,
    /// From when on all others know it.
    spread: Timestamp,
}

impl SecretSlot {
    /// A secret whose value is known and never changes.
    pub fn fixed(name: &str, value: SecretValue) -> Rc<Self> {
        let slot = Self::empty(name, 0, None);
        slot.held.borrow_mut().take(value, Rotation::AT_ONCE, Timestamp::default());
        slot.version.set(1);
        Rc::new(slot)
    }

    /// A secret that is fetched; `number` tells it from the others of the configuration.
    pub fn fetched(name: &str, number: u16, remote: Remote) -> Rc<Self> {
        Rc::new(Self::empty(name, number, Some(remote)))
    }

    fn empty(name: &str, number: u16, remote: Option<Remote>) -> Self {
        let (held, version, forms) = (RefCell::default(), Cell::new(0), RefCell::default());
        Self { name: name.into(), number, held, version, forms, remote }
    }

    /// Takes no other values than of this form from its store: one that is not leaves the last good one in force.
    pub fn require(&self, form: Form) {
        self.forms.borrow_mut().push(form);
    }

    /// Whether all who use it can do something with `value`.
    pub(super) fn fits(&self, value: &SecretValue) -> bool {
        self.forms.borrow().iter().all(|form| form(value))
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of its settings, for events.
    pub fn settings(&self) -> Rc<str> {
        Rc::from(format!("secrets.{}", self.name))
    }

    /// Tells it from the other fetched secrets of the configuration.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Changes whenever [`Self::accepted`] or [`Self::signing`] does, and only grows. 0: no value has arrived yet.
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

    /// The value to introduce oneself with to whoever has its own way to know it: a store, a provider.
    pub fn current(&self) -> Option<SecretValue> {
        self.held.borrow().current.as_ref().map(|known| known.value.clone())
    }

    /// The value to sign or encrypt with: the newest that all who read the same store have read by now, else the one that
    /// they have all known so far. The first is good at once: there is no other.
    pub fn signing(&self) -> Option<SecretValue> {
        self.held.borrow().signing.clone()
    }

    /// The values to accept: the current one, then those before it whose overlap has not ended.
    pub fn accepted(&self) -> Vec<SecretValue> {
        self.held.borrow().all().map(|known| known.value.clone()).collect()
    }

    /// Takes a value that was read at `now`.
    pub(super) fn store(&self, value: SecretValue, rotation: Rotation, now: Timestamp) {
        if self.held.borrow_mut().take(value, rotation, now) {
            self.version.set(self.version.get() + 1);
        }
    }

    /// Signs with what has become known to all, and forgets former values whose overlap has ended.
    pub(super) fn settle(&self, now: Timestamp) {
        if self.held.borrow_mut().settle(now) {
            self.version.set(self.version.get() + 1);
        }
    }

    /// Goes on with what an earlier configuration of this worker knew of the same secret, where that is newer, and good
    /// for all who use it now.
    pub fn adopt(&self, earlier: &Self) {
        let (Some(own), Some(theirs)) = (&self.remote, &earlier.remote) else { return };
        let fits = earlier.held.borrow().all().all(|known| self.fits(&known.value));
        if earlier.is_missing() || self.name != earlier.name || !fits || !own.adopt(theirs) {
            return;
        }
        self.held.borrow_mut().clone_from(&earlier.held.borrow());
        self.version.set(self.version.get().max(earlier.version()) + 1);
    }
}

impl Held {
    /// The current value, then the former ones.
    fn all(&self) -> impl Iterator<Item = &Known> {
        self.current.iter().chain(self.former.iter().map(|(known, _)| known))
    }

    /// Whether it is another value than the current one.
    fn take(&mut self, value: SecretValue, rotation: Rotation, now: Timestamp) -> bool {
        if self.current.as_ref().is_some_and(|current| current.value == value) {
            return false;
        }
        self.rotation = rotation;
        self.former.retain(|(former, _)| former.value != value);
        // Nobody ever stopped to accept what is signed with, should a rotation be taken back.
        let signed_with = self.signing.get_or_insert_with(|| value.clone());
        let spread = if *signed_with == value { now } else { now.after(rotation.spread) };
        if let Some(before) = self.current.replace(Known { value, spread }) {
            self.former.insert(0, (before, now.after(rotation.overlap)));
            self.forget_the_oldest();
        }
        true
    }

    /// Of too many, but not the one that is signed with: of many rotations at a time it is the one that all know.
    fn forget_the_oldest(&mut self) {
        if self.former.len() <= MAX_FORMER {
            return;
        }
        let signing = self.signing.as_ref();
        let oldest = self.former.iter().rposition(|(former, _)| Some(&former.value) != signing);
        oldest.map(|oldest| self.former.remove(oldest));
    }

    /// Nothing waits for longer than at a rotation: what lies further ahead was set before the clock stepped back.
    fn follow_clock(&mut self, now: Timestamp) {
        let (spread, until) = (now.after(self.rotation.spread), now.after(self.rotation.overlap));
        let former = self.former.iter_mut().map(|(known, end)| {
            *end = until.min(*end);
            known
        });
        self.current.iter_mut().chain(former).for_each(|known| known.spread = spread.min(known.spread));
    }

    /// Whether anything is different now.
    fn settle(&mut self, now: Timestamp) -> bool {
        self.follow_clock(now);
        let before = self.former.len();
        self.former.retain(|(_, until)| *until > now);
        // What is signed with is known to all, whatever the clock says.
        let is_known = |known: &&Known| known.spread <= now || self.signing.as_ref() == Some(&known.value);
        let spread = self.all().find(is_known).or(self.current.as_ref());
        let spread = spread.map(|known| known.value.clone());
        let signs_with_another = self.signing != spread;
        self.signing = spread;
        signs_with_another || self.former.len() != before
    }
}

impl fmt::Debug for SecretSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSlot").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}
