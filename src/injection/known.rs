//! Values that were inspected before and found harmless: clients send the same `User-Agent`, `Referer` and cookies again
//! and again, and looking up is cheaper than looking anew.

use super::{ClassSet, Effort, RuleSet, scan_within};

/// Values that are remembered; a power of two.
const SLOTS: usize = 1024;
/// A longer value is not kept, in bytes: with all slots taken they fill half a megabyte.
const LONGEST: usize = 512;

/// Harmless values of one worker, each whole: no value can be taken for another one.
///
/// A value is remembered when it comes a second time: identifiers of requests, which never do, would push out the others.
#[derive(Debug)]
pub struct KnownHarmless {
    seed: u64,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    value: Box<[u8]>,
    classes: ClassSet,
    /// Mark of the last value that was looked for here in vain.
    missed: u32,
}

/// Where a value is kept, and what tells it from most others that would be.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    mark: u32,
}

impl KnownHarmless {
    /// Knows nothing yet. Who does not know `seed` cannot choose values that take each other's place.
    pub const fn new(seed: u64) -> Self {
        Self { seed: seed | 1, slots: Vec::new() }
    }

    /// Whether [`scan_within`] finds nothing of `classes` in `value`.
    pub fn is_harmless(&mut self, value: &[u8], classes: ClassSet, effort: &mut Effort) -> bool {
        if classes.is_empty() {
            return true;
        }
        if value.len() > LONGEST {
            return scan_within(value, classes, &RuleSet::default(), effort).is_none();
        }
        let place = self.place(value);
        let slot = self.slots.get(place.slot);
        if slot.is_some_and(|slot| *slot.value == *value && slot.classes.contains_all(classes)) {
            return true;
        }
        let harmless = scan_within(value, classes, &RuleSet::default(), effort).is_none();
        if harmless {
            self.met(place, value, classes);
        }
        harmless
    }

    #[inline(never)]
    fn met(&mut self, place: Place, value: &[u8], classes: ClassSet) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, Slot::default());
        }
        let Some(slot) = self.slots.get_mut(place.slot) else { return };
        if slot.missed == place.mark {
            *slot = Slot { value: value.into(), classes, missed: place.mark };
        } else {
            slot.missed = place.mark;
        }
    }

    /// Multiply and rotate, a word at a time: wasm has no product of 128 bits.
    fn place(&self, value: &[u8]) -> Place {
        let factor = 0x9E37_79B9_7F4A_7C15 ^ self.seed << 1;
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(factor).rotate_left(29);
        let (words, rest) = value.as_chunks::<8>();
        let hash = words.iter().fold(self.seed ^ value.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let hash = mix(mix(hash, last), 0);
        Place { slot: usize::try_from(hash >> 32).unwrap_or_default() % SLOTS, mark: hash as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::super::scan;
    use super::*;
    use proptest::prelude::*;

    fn is_harmless(known: &mut KnownHarmless, value: &[u8], classes: ClassSet) -> bool {
        known.is_harmless(value, classes, &mut Effort::default().with(value.len()))
    }

    const BROWSER: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    #[test]
    fn a_value_is_known_for_the_classes_it_was_looked_at_for_and_no_others() {
        let mut known = KnownHarmless::new(7);
        let value = b"1' or '1'='1' union select password from users -- ";
        assert!(is_harmless(&mut known, value, ClassSet::NONE.with(Class::Path)));
        assert!(!is_harmless(&mut known, value, ClassSet::NONE.with(Class::Sqli)));
        assert!(
            !is_harmless(&mut known, value, ClassSet::NONE.with(Class::Sqli)),
            "an attack is never remembered as harmless"
        );
        assert!(is_harmless(&mut known, value, ClassSet::NONE.with(Class::Path)));
    }

    #[test]
    fn a_value_that_was_inspected_is_found_again() {
        for value in [BROWSER, b"en-GB"] {
            let mut known = KnownHarmless::new(7);
            let kept = |known: &KnownHarmless| known.slots[known.place(value).slot].clone();
            assert!(is_harmless(&mut known, value, ClassSet::ALL));
            assert_eq!(&*kept(&known).value, b"", "once is no sign that it comes again");
            assert!(is_harmless(&mut known, value, ClassSet::ALL));
            assert_eq!((&*kept(&known).value, kept(&known).classes), (value, ClassSet::ALL));
        }
    }

    #[test]
    fn values_that_never_come_again_push_nothing_out() {
        let mut known = KnownHarmless::new(7);
        for _ in 0..2 {
            is_harmless(&mut known, BROWSER, ClassSet::ALL);
        }
        for n in 0..20_000 {
            is_harmless(&mut known, format!("request-{n}").as_bytes(), ClassSet::ALL);
        }
        assert_eq!(&*known.slots[known.place(BROWSER).slot].value, BROWSER);
    }

    #[test]
    fn a_million_values_take_no_more_room_than_the_slots() {
        let mut known = KnownHarmless::new(7);
        for n in 0..20_000 {
            for _ in 0..2 {
                is_harmless(&mut known, format!("Mozilla/5.0 (X11; Linux x86_64; n:{n})").as_bytes(), ClassSet::ALL);
            }
        }
        assert_eq!(known.slots.len(), SLOTS);
        assert!(!is_harmless(
            &mut known,
            &[b"<script>alert(1)</script>".as_slice(), &[b'a'; 600]].concat(),
            ClassSet::ALL
        ));
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
                prop_assert_eq!(is_harmless(&mut known, value, ClassSet::ALL), scan(value, ClassSet::ALL).is_none());
            }
        }
    }
}
