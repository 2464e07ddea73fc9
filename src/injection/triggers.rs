//! Where a class looks around: a byte together with the one before it and the one after.
//!
//! Three tables say for every place of a view at once which classes have a reason to read on there. Most decoys fail by
//! their neighbours, and cost no more than the tables do.

use super::{Class, ClassSet};

/// The most triggers of all classes together.
const MOST: usize = 32;

/// A set of bytes, made by the compiler. Past either end of a view stands NUL.
#[derive(Clone, Copy)]
pub(super) struct Bytes([bool; 256]);

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
impl Bytes {
    /// Every byte.
    pub(super) const ANY: Self = Self([true; 256]);
    /// Letters, digits and `_`.
    pub(super) const WORD: Self = Self::of(b"_0123456789").or(Self::LETTERS);
    /// Letters.
    pub(super) const LETTERS: Self = Self::of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    /// What is no ASCII.
    pub(super) const HIGH: Self = Self::up_to(0x7F).not();
    /// NUL to the space.
    pub(super) const BLANK: Self = Self::up_to(b' ');

    /// These bytes.
    pub(super) const fn of(bytes: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut i = 0;
        while i < bytes.len() {
            set[bytes[i] as usize] = true;
            i += 1;
        }
        Self(set)
    }

    /// Whether `byte` is in it.
    #[inline]
    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// For each byte, which of at most eight `sets` it is in, as bits.
    pub(super) const fn sorts(sets: &[Self]) -> [u8; 256] {
        let mut sorts = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut i = 0;
            while i < sets.len() {
                sorts[byte] |= (sets[i].0[byte] as u8) << i;
                i += 1;
            }
            byte += 1;
        }
        sorts
    }

    const fn up_to(last: u8) -> Self {
        let mut set = [false; 256];
        let mut i = 0;
        while i <= last as usize {
            set[i] = true;
            i += 1;
        }
        Self(set)
    }

    /// The bytes of either.
    pub(super) const fn or(self, other: Self) -> Self {
        let mut set = self.0;
        let mut i = 0;
        while i < 256 {
            set[i] |= other.0[i];
            i += 1;
        }
        Self(set)
    }

    /// Every other byte.
    pub(super) const fn not(self) -> Self {
        let mut set = self.0;
        let mut i = 0;
        while i < 256 {
            set[i] = !set[i];
            i += 1;
        }
        Self(set)
    }
}

/// One reason to look around.
pub(super) struct Trigger {
    pub(super) before: Bytes,
    pub(super) byte: &'static [u8],
    pub(super) after: Bytes,
}

impl Trigger {
    pub(super) const fn new(before: Bytes, byte: &'static [u8], after: Bytes) -> Self {
        Self { before, byte, after }
    }
}

/// For each byte in each of the three places, the triggers that it fits, as bits.
pub(super) struct Triggers {
    before: [u32; 256],
    byte: [u32; 256],
    after: [u32; 256],
    /// Of each class, its triggers.
    of_class: [u32; Class::ALL.len()],
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
impl Triggers {
    /// The tables of all classes, evaluated by the compiler.
    pub(super) const fn new(classes: &[(Class, &[Trigger])]) -> Self {
        let mut tables = Self { before: [0; 256], byte: [0; 256], after: [0; 256], of_class: [0; Class::ALL.len()] };
        let mut bit = 0;
        let mut class = 0;
        while class < classes.len() {
            let (named, triggers) = classes[class];
            let mut i = 0;
            while i < triggers.len() {
                assert!(bit < MOST);
                let trigger = &triggers[i];
                let mut byte = 0;
                while byte < 256 {
                    tables.before[byte] |= (trigger.before.0[byte] as u32) << bit;
                    tables.after[byte] |= (trigger.after.0[byte] as u32) << bit;
                    byte += 1;
                }
                let mut j = 0;
                while j < trigger.byte.len() {
                    tables.byte[trigger.byte[j] as usize] |= 1 << bit;
                    j += 1;
                }
                tables.of_class[named as usize] |= 1 << bit;
                bit += 1;
                i += 1;
            }
            class += 1;
        }
        tables
    }
}

impl Triggers {
    /// The triggers of `classes`.
    pub(super) fn of(&self, classes: ClassSet) -> u32 {
        let wanted = Class::ALL.into_iter().zip(self.of_class).filter(|(class, _)| classes.contains(*class));
        wanted.fold(0, |all, (_, triggers)| all | triggers)
    }

    /// The triggers of `class`; to be evaluated by the compiler.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn of_class(&self, class: Class) -> u32 {
        self.of_class[class as usize]
    }

    /// Which of `wanted` fire at a byte.
    #[inline]
    pub(super) fn at(&self, byte: u8, wanted: u32) -> u32 {
        self.byte.get(usize::from(byte)).copied().unwrap_or(0) & wanted
    }

    /// Which of `fired` go on firing between two bytes.
    #[inline]
    pub(super) fn between(&self, before: u8, after: u8, fired: u32) -> u32 {
        let in_place = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
        fired & in_place(&self.before, before) & in_place(&self.after, after)
    }
}
