//! What is made of secrets, made again when one of them changes.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::slot::SecretSlot;

/// A `T` made of some secrets.
pub struct Derived<T> {
    slots: Box<[Rc<SecretSlot>]>,
    make: Box<Make<T>>,
    /// With the version that it was made at.
    made: RefCell<(u64, Rc<T>)>,
}

type Make<T> = dyn Fn(&[Rc<SecretSlot>]) -> T;

impl<T> Derived<T> {
    /// Makes the first one at once, whether or not every secret has a value.
    pub fn new(slots: Vec<Rc<SecretSlot>>, make: impl Fn(&[Rc<SecretSlot>]) -> T + 'static) -> Self {
        let made = RefCell::new((version_of(&slots), Rc::new(make(&slots))));
        Self { slots: slots.into(), make: Box::new(make), made }
    }

    /// The one of the present values.
    pub fn current(&self) -> Rc<T> {
        let version = self.version();
        let (made_at, made) = self.made.borrow().clone();
        if made_at == version {
            return made;
        }
        let made = Rc::new((self.make)(&self.slots));
        self.made.replace((version, made.clone()));
        made
    }

    /// Changes with the values that are accepted: what was concluded under another version has to be concluded anew.
    pub fn version(&self) -> u64 {
        version_of(&self.slots)
    }

    /// The first secret that has no value yet: what is not accepted cannot be called bad before it has.
    pub fn missing(&self) -> Option<&Rc<SecretSlot>> {
        self.slots.iter().find(|slot| slot.is_missing())
    }

    /// The secrets that it is made of.
    pub fn slots(&self) -> &[Rc<SecretSlot>] {
        &self.slots
    }
}

/// Versions only grow, so that any change changes the sum.
fn version_of(slots: &[Rc<SecretSlot>]) -> u64 {
    slots.iter().map(|slot| slot.version()).sum()
}

impl<T> fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived").field("slots", &self.slots).finish_non_exhaustive()
    }
}
