//! Total, case-blind reading of byte strings: nothing here can index out of bounds.
//!
//! What is called from many places is kept out of line: every worker pays for the module's size at start.

/// The byte at `i`, or NUL past the end.
pub(super) fn at(text: &[u8], i: usize) -> u8 {
    text.get(i).copied().unwrap_or(0)
}

/// The bytes from `i` on; empty past the end.
pub(super) fn from(text: &[u8], i: usize) -> &[u8] {
    text.get(i..).unwrap_or_default()
}

/// The bytes of `start..end`, cut to what exists.
pub(super) fn cut(text: &[u8], start: usize, end: usize) -> &[u8] {
    let end = end.min(text.len());
    text.get(start.min(end)..end).unwrap_or_default()
}

/// Whether the bytes at `i` begin with `lower`, which is in lower case.
#[inline(never)]
pub(super) fn starts_at(text: &[u8], i: usize, lower: &[u8]) -> bool {
    match text.get(i..i.saturating_add(lower.len())) {
        Some(part) => part.eq_ignore_ascii_case(lower),
        None => false,
    }
}

/// The first place at or after `i` where `lower` (in lower case) stands, in either case.
#[inline(never)]
pub(super) fn find(text: &[u8], i: usize, lower: &[u8]) -> Option<usize> {
    let first = at(lower, 0);
    let mut pos = i;
    loop {
        let rest = text.get(pos..)?;
        pos += memchr::memchr2(first, first.to_ascii_uppercase(), rest)?;
        if starts_at(text, pos, lower) {
            return Some(pos);
        }
        pos += 1;
    }
}

/// Whether `lower` (in lower case) stands anywhere in `text`, in either case.
#[inline(never)]
pub(super) fn contains(text: &[u8], lower: &[u8]) -> bool {
    find(text, 0, lower).is_some()
}

/// Strings to look for all at once, in lower case; at most 64.
pub(super) struct Needles {
    needles: &'static [&'static [u8]],
    /// For each possible first byte, which needles begin with it.
    first: [u64; 128],
}

impl Needles {
    /// Prepares `needles`, evaluated by the compiler.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn new(needles: &'static [&'static [u8]]) -> Self {
        let mut first = [0; 128];
        let mut i = 0;
        while i < needles.len() {
            let byte = needles[i][0];
            first[byte as usize] |= 1 << i;
            first[byte.to_ascii_uppercase() as usize] |= 1 << i;
            i += 1;
        }
        Self { needles, first }
    }

    /// Which of them stand in `text`, in either case: a bit for each, in their order.
    #[inline(never)]
    pub(super) fn found_in(&self, text: &[u8]) -> u64 {
        let mut found = 0;
        for (i, &byte) in text.iter().enumerate() {
            let mut candidates = self.first.get(usize::from(byte)).copied().unwrap_or(0) & !found;
            while candidates != 0 {
                let index = candidates.trailing_zeros();
                candidates &= candidates - 1;
                if self.needles.get(index as usize).is_some_and(|needle| starts_at(text, i, needle)) {
                    found |= 1 << index;
                }
            }
        }
        found
    }

    /// Whether any of them stands in `text`.
    pub(super) fn any_in(&self, text: &[u8]) -> bool {
        self.found_in(text) != 0
    }

    /// Whether `text` begins with any of them.
    #[inline(never)]
    pub(super) fn any_at(&self, text: &[u8], i: usize) -> bool {
        let mut candidates = self.first.get(usize::from(at(text, i))).copied().unwrap_or(0);
        while candidates != 0 {
            let index = candidates.trailing_zeros();
            candidates &= candidates - 1;
            if self.needles.get(index as usize).is_some_and(|needle| starts_at(text, i, needle)) {
                return true;
            }
        }
        false
    }
}

/// The first place at or after `i` that is not white space or another control character.
#[inline(never)]
pub(super) fn skip_space(text: &[u8], i: usize) -> usize {
    let mut pos = i;
    while pos < text.len() && at(text, pos) <= b' ' {
        pos += 1;
    }
    pos
}

/// A letter, a digit or `_`.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `needle` is in the sorted list `words`, without regard to case; at most 32 bytes long.
#[inline(never)]
pub(super) fn in_sorted(words: &[&str], needle: &[u8]) -> bool {
    let mut lower = [0u8; 32];
    let Some(slot) = lower.get_mut(..needle.len()) else { return false };
    slot.copy_from_slice(needle);
    slot.make_ascii_lowercase();
    let slot = &*slot;
    words.binary_search_by(|word| word.as_bytes().cmp(slot)).is_ok()
}
