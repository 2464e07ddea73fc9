//! Values that were inspected before and found harmless: clients send the same `User-Agent`, `Referer` and cookies again
//! and again, and looking up is cheaper than looking anew.

use super::{ClassSet, fast, scan};

/// Values that are remembered; a power of two.
const SLOTS: usize = 1024;
/// A longer value is not kept, in bytes: with all slots taken they fill half a megabyte.
const LONGEST: usize = 512;

/// Harmless values of one worker, each whole: no value can be taken for another one.
#[derive(Debug)]
pub struct KnownHarmless {
    seed: u64,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    value: Box<[u8]>,
    classes: ClassSet,
}

impl KnownHarmless {
    /// Knows nothing yet. Who does not know `seed` cannot choose values that take each other's place.
    pub const fn new(seed: u64) -> Self {
        Self { seed: seed | 1, slots: Vec::new() }
    }

    /// Whether [`scan`] finds nothing of `classes` in `value`.
    pub fn is_harmless(&mut self, value: &[u8], classes: ClassSet) -> bool {
        if classes.is_empty() {
            return true;
        }
        if value.len() > LONGEST {
            return fast::is_harmless(value, classes) || scan(value, classes).is_none();
        }
        let position = self.position(value);
        if self.slots.get(position).is_some_and(|slot| *slot.value == *value && slot.classes.contains_all(classes)) {
            return true;
        }
        if fast::is_harmless(value, classes) {
            return true;
        }
        let harmless = scan(value, classes).is_none();
        if harmless {
            self.remember(position, value, classes);
        }
        harmless
    }

    fn remember(&mut self, position: usize, value: &[u8], classes: ClassSet) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        if let Some(slot) = self.slots.get_mut(position) {
            *slot = Slot { value: value.into(), classes };
        }
    }

    /// Multiply and rotate, a word at a time: wasm has no product of 128 bits.
    fn position(&self, value: &[u8]) -> usize {
        let factor = 0x9E37_79B9_7F4A_7C15 ^ self.seed << 1;
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(factor).rotate_left(29);
        let (words, rest) = value.as_chunks::<8>();
        let hash = words.iter().fold(self.seed ^ value.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let hash = mix(mix(hash, last), 0);
        usize::try_from(hash >> 32).unwrap_or_default() % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;
    use proptest::prelude::*;

    const BROWSER: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    #[test]
    fn a_value_is_known_for_the_classes_it_was_looked_at_for_and_no_others() {
        let mut known = KnownHarmless::new(7);
        let value = b"1' or '1'='1' union select password from users -- ";
        assert!(known.is_harmless(value, ClassSet::NONE.with(Class::Path)));
        assert!(!known.is_harmless(value, ClassSet::NONE.with(Class::Sqli)));
        assert!(
            !known.is_harmless(value, ClassSet::NONE.with(Class::Sqli)),
            "an attack is never remembered as harmless"
        );
        assert!(known.is_harmless(value, ClassSet::NONE.with(Class::Path)));
    }

    #[test]
    fn a_value_that_was_inspected_is_found_again() {
        let mut known = KnownHarmless::new(7);
        assert!(known.is_harmless(BROWSER, ClassSet::ALL));
        let slot = known.slots[known.position(BROWSER)].clone();
        assert_eq!((&*slot.value, slot.classes), (BROWSER, ClassSet::ALL));
    }

    #[test]
    fn a_million_values_take_no_more_room_than_the_slots() {
        let mut known = KnownHarmless::new(7);
        for n in 0..20_000 {
            known.is_harmless(format!("Mozilla/5.0 (X11; Linux x86_64; n:{n})").as_bytes(), ClassSet::ALL);
        }
        assert_eq!(known.slots.len(), SLOTS);
        assert!(!known.is_harmless(&[b"<script>alert(1)</script>".as_slice(), &[b'a'; 600]].concat(), ClassSet::ALL));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn says_what_the_engine_says_whatever_was_asked_before(
            values in prop::collection::vec("[a-z '<>=/(;-]{0,30}", 1..12),
            order in prop::collection::vec(0_usize..12, 1..40),
        ) {
            let mut known = KnownHarmless::new(9);
            for at in order {
                let value = values[at % values.len()].as_bytes();
                prop_assert_eq!(known.is_harmless(value, ClassSet::ALL), scan(value, ClassSet::ALL).is_none());
            }
        }
    }
}
