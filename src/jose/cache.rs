//! Verified tokens of one worker, remembered with what was found out about them.
//!
//! A token is found by a keyed hash of its last bytes (its signature) and then compared as a whole: no crafted token can
//! be taken for another one, and a lookup costs less than any digest of the token. Only verified tokens get in, so
//! nobody but an issuer chooses what is stored, and the comparison runs only for who already knows a signature.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hasher};

/// How much of a token's end is hashed: 192 bits of its signature. What is no token is hashed whole.
const HASHED_BYTES: usize = 32;
/// What an entry costs beside its token and value: index, slot, allocation.
const ENTRY_OVERHEAD: usize = 96;
/// Entries passed over at most to find one not used lately; the next goes whatever its use.
const MAX_SECOND_CHANCES: usize = 16;

/// A bounded map from tokens to `V`; entries not used lately go first (CLOCK).
#[derive(Debug)]
pub struct TokenCache<V> {
    seed: [u64; 2],
    hashed_bytes: usize,
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    entries: Vec<Entry<V>>,
    index: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    hand: usize,
}

#[derive(Debug)]
struct Entry<V> {
    hash: u64,
    token: Box<[u8]>,
    value: V,
    cost: usize,
    used: bool,
}

impl<V> TokenCache<V> {
    /// An empty cache of at most `max_entries` and about `max_bytes`, keyed by a random `seed`.
    pub fn new(max_entries: usize, max_bytes: usize, seed: [u64; 2]) -> Self {
        let (entries, index) = (Vec::new(), HashMap::default());
        Self { seed, hashed_bytes: HASHED_BYTES, max_entries, max_bytes, bytes: 0, entries, index, hand: 0 }
    }

    /// The same for names, which may differ anywhere: two that ended alike would take each other's place.
    #[must_use]
    pub fn of_names(self) -> Self {
        Self { hashed_bytes: usize::MAX, ..self }
    }

    /// What is known about exactly this token, if `is_current` says that it still holds (the keys it was verified with
    /// are still the provider's, it is not expired); otherwise it is forgotten.
    pub fn lookup(&mut self, token: &[u8], is_current: impl FnOnce(&V) -> bool) -> Option<&V> {
        let position = *self.index.get(&self.hash(token))?;
        let entry = self.entries.get_mut(position).filter(|entry| *entry.token == *token)?;
        if !is_current(&entry.value) {
            self.remove(position);
            return None;
        }
        entry.used = true;
        self.entries.get(position).map(|entry| &entry.value)
    }

    /// Remembers a verified token; `value_bytes` is what `value` holds on the heap. A token that alone would take more
    /// than a sixteenth of the space is not kept.
    pub fn insert(&mut self, token: &[u8], value: V, value_bytes: usize) {
        let cost = token.len() + value_bytes + size_of::<Entry<V>>() + ENTRY_OVERHEAD;
        let hash = self.hash(token);
        if let Some(position) = self.index.get(&hash) {
            self.remove(*position);
        }
        if self.max_entries == 0 || cost > self.max_bytes / 16 {
            return;
        }
        while self.entries.len() >= self.max_entries || self.bytes + cost > self.max_bytes {
            self.evict();
        }
        self.index.insert(hash, self.entries.len());
        self.entries.push(Entry { hash, token: token.into(), value, cost, used: false });
        self.bytes += cost;
    }

    /// The number of tokens remembered.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    fn evict(&mut self) {
        for _ in 0..MAX_SECOND_CHANCES {
            match self.entries.get_mut(self.hand) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.hand += 1;
                }
                Some(_) => break,
                None => self.hand = 0,
            }
        }
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        self.remove(self.hand);
        self.hand += 1;
    }

    fn remove(&mut self, position: usize) {
        if position >= self.entries.len() {
            return;
        }
        let entry = self.entries.swap_remove(position);
        self.index.remove(&entry.hash);
        self.bytes -= entry.cost;
        if let Some(moved) = self.entries.get(position) {
            self.index.insert(moved.hash, position);
        }
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let end = token.get(token.len().saturating_sub(self.hashed_bytes)..).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        let [first, second] = self.seed;
        hasher.write_u64(first);
        hasher.write_u64(second);
        hasher.write(end);
        hasher.finish()
    }
}

/// Passes on what is a keyed hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cache(max_entries: usize) -> TokenCache<u32> {
        TokenCache::new(max_entries, 1 << 20, [1, 2])
    }

    fn known(cache: &mut TokenCache<u32>, token: &str) -> Option<u32> {
        cache.lookup(token.as_bytes(), |_| true).copied()
    }

    #[test]
    fn knows_exactly_the_tokens_it_was_given() {
        let mut cache = cache(10);
        cache.insert(b"a.b.c", 1, 0);
        assert_eq!(known(&mut cache, "a.b.c"), Some(1));
        for other in ["a.b.d", "a.b.", "a.b.cc", "x.b.c", "", "A.b.c"] {
            assert_eq!(known(&mut cache, other), None, "{other}");
        }
        cache.insert(b"a.b.c", 2, 0);
        assert_eq!((known(&mut cache, "a.b.c"), cache.len()), (Some(2), 1));
    }

    #[test]
    fn never_takes_one_token_for_another_with_the_same_signature() {
        let mut cache = cache(10);
        let signature = "s".repeat(HASHED_BYTES);
        cache.insert(format!("user.{signature}").as_bytes(), 1, 0);
        assert_eq!(known(&mut cache, &format!("root.{signature}")), None);
        assert_eq!(known(&mut cache, &format!("user.{signature}")), Some(1));
    }

    #[test]
    fn names_that_end_alike_are_kept_beside_each_other() {
        let mut cache = cache(100).of_names();
        let names: Vec<String> =
            (0..100).map(|number| format!("{number}@a-domain-of-more-than-32-bytes.example.com")).collect();
        for (number, name) in (0..).zip(&names) {
            cache.insert(name.as_bytes(), number, 0);
        }
        for (number, name) in (0..).zip(&names) {
            assert_eq!(known(&mut cache, name), Some(number), "{name}");
        }
    }

    #[test]
    fn forgets_a_token_that_no_longer_holds() {
        let mut cache = cache(10);
        cache.insert(b"old", 1, 0);
        cache.insert(b"new", 2, 0);
        assert_eq!(cache.lookup(b"old", |generation| *generation == 2), None);
        assert_eq!(known(&mut cache, "old"), None);
        assert_eq!((known(&mut cache, "new"), cache.len()), (Some(2), 1));
    }

    #[test]
    fn keeps_what_is_used_and_drops_what_is_not() {
        let mut cache = cache(100);
        for number in 0..10_000 {
            cache.insert(format!("token-{number}").as_bytes(), number, 0);
            assert!(known(&mut cache, "token-0").is_some(), "after {number}");
        }
        assert_eq!(cache.len(), 100);
    }

    #[test]
    fn stays_within_its_bytes_and_takes_no_giant() {
        let mut cache = TokenCache::new(1000, 64 * 1024, [1, 2]);
        for number in 0..1000 {
            cache.insert(format!("{number:0>1000}").as_bytes(), number, 500);
            assert!(cache.bytes <= 64 * 1024);
        }
        assert!(cache.len() > 30);
        let before = cache.len();
        cache.insert(&[b'x'; 4096], 0, 0);
        assert_eq!((cache.len(), known(&mut cache, &"x".repeat(4096))), (before, None));
    }

    #[test]
    fn remembers_nothing_when_it_has_no_room() {
        let mut cache = cache(0);
        cache.insert(b"a", 1, 0);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn finds_tokens_of_another_seed_elsewhere() {
        assert_ne!(cache(1).hash(b"token"), TokenCache::<u32>::new(1, 1, [1, 3]).hash(b"token"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_a_plain_map_on_everything_it_still_knows(
            steps in prop::collection::vec((0_u8..4, 0_u32..40), 0..300),
            max_entries in 1_usize..20,
        ) {
            let (mut cache, mut model) = (cache(max_entries), HashMap::new());
            for (action, number) in steps {
                let token = format!("t{number}");
                match action {
                    0 | 1 => {
                        cache.insert(token.as_bytes(), number + u32::from(action), 0);
                        model.insert(token.clone(), number + u32::from(action));
                        // What was just put in is there.
                        prop_assert_eq!(known(&mut cache, &token), model.get(&token).copied());
                    }
                    2 => if let Some(value) = known(&mut cache, &token) {
                        prop_assert_eq!(Some(&value), model.get(&token));
                    },
                    _ => {
                        prop_assert_eq!(cache.lookup(token.as_bytes(), |_| false), None);
                        model.remove(&token);
                        prop_assert_eq!(known(&mut cache, &token), None);
                    }
                }
                prop_assert!(cache.len() <= max_entries);
                prop_assert_eq!(cache.len(), cache.index.len());
                prop_assert_eq!(cache.bytes, cache.entries.iter().map(|entry| entry.cost).sum::<usize>());
            }
        }
    }
}
