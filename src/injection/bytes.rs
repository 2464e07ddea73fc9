//! Total, case-blind reading of byte strings: nothing here can index out of bounds.
//!
//! What is called from many places is kept out of line: every worker pays for the module's size at start.

use super::work::{look, spend};
use crate::lanes;

/// The byte at `i`, or NUL past the end.
#[inline]
pub(super) fn at(text: &[u8], i: usize) -> u8 {
    look(1);
    text.get(i).copied().unwrap_or(0)
}

/// A bit for each byte of `block`, of at most 64, whether `is` holds of it.
///
/// `is` compares without a branch, so that vector instructions do it for many bytes at once.
#[inline]
pub(super) fn bits(block: &[u8], is: impl Fn(u8) -> bool) -> u64 {
    let of = |block: &[u8; 64]| lanes::bits(&block.map(|byte| u8::from(is(byte)) << 7));
    if let Some(block) = block.first_chunk() {
        return of(block);
    }
    let mut padded = [0; 64];
    padded.iter_mut().zip(block).for_each(|(slot, &byte)| *slot = byte);
    of(&padded) & ((1 << block.len()) - 1)
}

/// The [`bits`] of all of `text`, sixty-four bytes in each word.
#[inline]
pub(super) fn bitmap(text: &[u8], words: &mut Vec<u64>, is: impl Fn(u8) -> bool) {
    words.clear();
    words.extend(text.chunks(64).map(|block| bits(block, &is)));
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
#[inline]
pub(super) fn starts_at(text: &[u8], i: usize, lower: &[u8]) -> bool {
    let same = |place: usize| at(text, i + place).to_ascii_lowercase() == at(lower, place);
    same(0) && (lower.len() < 2 || same(1)) && equals_at(text, i, lower)
}

#[inline(never)]
fn equals_at(text: &[u8], i: usize, lower: &[u8]) -> bool {
    look(lower.len());
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
        let skipped = memchr::memchr2(first, first.to_ascii_uppercase(), rest);
        // Vector instructions pass many bytes at a time.
        spend(skipped.unwrap_or(rest.len()) / 8);
        pos += skipped?;
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
    /// For each byte that begins a needle, by its sort, the sorts of those that follow it.
    pairs: [u64; 64],
    /// For each sort of byte in the first two places, which needles have it there: few are left to be compared.
    places: [[u64; 64]; 2],
}

/// Sixty-four sorts of bytes: few are told apart from few others.
#[inline]
const fn sort(byte: u8) -> usize {
    (byte & 63) as usize
}

/// The sort of the byte at `i` of `needle`, in lower case or in upper.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn in_case(needle: &[u8], i: usize, upper: usize) -> usize {
    sort(if upper == 0 { needle[i] } else { needle[i].to_ascii_uppercase() })
}

impl Needles {
    /// Prepares `needles`, evaluated by the compiler.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn new(needles: &'static [&'static [u8]]) -> Self {
        let (mut pairs, mut places) = ([0; 64], [[0; 64]; 2]);
        let mut i = 0;
        while i < needles.len() {
            let mut case = 0;
            while case < 4 {
                let first = in_case(needles[i], 0, case & 1);
                places[0][first] |= 1 << i;
                let mut second = 0;
                while second < 64 {
                    if needles[i].len() == 1 || second == in_case(needles[i], 1, case >> 1) {
                        pairs[first] |= 1 << second;
                        places[1][second] |= 1 << i;
                    }
                    second += 1;
                }
                case += 1;
            }
            i += 1;
        }
        Self { needles, pairs, places }
    }

    /// Whether any of them may begin with these two bytes.
    #[inline]
    fn may_begin(&self, first: u8, second: u8) -> bool {
        self.pairs.get(sort(first)).is_some_and(|seconds| seconds >> sort(second) & 1 != 0)
    }

    /// Those at `i` that `text` goes on with, but for what is `found` already.
    #[inline(never)]
    fn at(&self, text: &[u8], i: usize, found: u64) -> u64 {
        let [first, second] = &self.places;
        let in_place = |place: &[u64; 64], i: usize| place.get(sort(at(text, i))).copied().unwrap_or(0);
        let mut candidates = in_place(first, i) & in_place(second, i + 1) & !found;
        let mut here = 0;
        while candidates != 0 {
            let index = candidates.trailing_zeros();
            candidates &= candidates - 1;
            if self.needles.get(index as usize).is_some_and(|needle| equals_at(text, i, needle)) {
                here |= 1 << index;
            }
        }
        here
    }

    /// Which of them stand in `text`, in either case, or are `found` already: a bit for each, in their order.
    #[inline(never)]
    pub(super) fn found_in(&self, text: &[u8], mut found: u64) -> u64 {
        let mut before = 0;
        for (i, &byte) in text.iter().enumerate() {
            if self.may_begin(before, byte) {
                found |= self.at(text, i.saturating_sub(1), found);
            }
            before = byte;
        }
        found | self.at(text, text.len().saturating_sub(1), found)
    }

    /// Whether any of them stands in `text`.
    pub(super) fn any_in(&self, text: &[u8]) -> bool {
        (0..text.len()).any(|i| self.any_at(text, i))
    }

    /// Whether `text` begins with any of them.
    #[inline]
    pub(super) fn any_at(&self, text: &[u8], i: usize) -> bool {
        self.may_begin(at(text, i), at(text, i + 1)) && self.at(text, i, 0) != 0
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

/// A list of words to be recognised by a hash, without regard to case; at most 255 words of 1 to 63 bytes.
pub(super) struct Words {
    words: &'static [&'static str],
    /// For each first letter, which lengths its words have.
    lengths: [u64; 32],
    /// Open addressing: one more than the place in `words`, or 0.
    index: [u8; Words::SLOTS],
}

impl Words {
    const SLOTS: usize = 512;

    /// Prepares `words`, which are in lower case and begin with a letter; evaluated by the compiler.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn new(words: &'static [&'static str]) -> Self {
        let mut lengths = [0; 32];
        let mut index = [0; Self::SLOTS];
        let mut i = 0;
        while i < words.len() {
            let word = words[i].as_bytes();
            lengths[word[0] as usize & 31] |= 1 << word.len();
            let mut slot = Self::slot(word[0], word[word.len() / 2], word[word.len() - 1], word.len());
            while index[slot] != 0 {
                slot = (slot + 1) % Self::SLOTS;
            }
            index[slot] = i as u8 + 1;
            i += 1;
        }
        Self { words, lengths, index }
    }

    const fn slot(first: u8, middle: u8, last: u8, len: usize) -> usize {
        let key = (first as u32 & 31) | (middle as u32 & 31) << 5 | (last as u32 & 31) << 10 | (len as u32) << 15;
        (key.wrapping_mul(0x9E37_79B1) >> 23) as usize % Self::SLOTS
    }

    /// Whether `text` is one of them.
    #[inline]
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        self.may_contain(text) && self.position(text).is_some()
    }

    /// Whether one of them begins with the letter that `text` begins with, and is as long.
    #[inline]
    pub(super) fn may_contain(&self, text: &[u8]) -> bool {
        let lengths = self.lengths.get(usize::from(at(text, 0) & 31)).copied().unwrap_or(0);
        text.len() < 64 && lengths >> text.len() & 1 != 0
    }

    /// The place of `text` in their list.
    #[inline(never)]
    pub(super) fn position(&self, text: &[u8]) -> Option<usize> {
        let len = text.len();
        let mut slot = Self::slot(at(text, 0), at(text, len / 2), at(text, len.wrapping_sub(1)), len);
        loop {
            let place = usize::from(self.index.get(slot).copied().unwrap_or(0)).wrapping_sub(1);
            let word = self.words.get(place)?;
            if text.eq_ignore_ascii_case(word.as_bytes()) {
                return Some(place);
            }
            slot = (slot + 1) % Self::SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_nothing_else_is() {
        static SOME: Words = Words::new(&["w", "cmd.exe", "apt-get", "python3", "python2", "ssh-copy-id"]);
        for word in SOME.words {
            assert!(SOME.contains(word.as_bytes()) && SOME.contains(word.to_ascii_uppercase().as_bytes()), "{word}");
        }
        for other in ["", "x", "ww", "python4", "apt+get", "cmdxexe", "ssh-copy-ie"] {
            assert!(!SOME.contains(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn needles_are_found_wherever_they_stand() {
        static SOME: Needles = Needles::new(&[b"`", b"ex(", b"sam", b"same"]);
        assert_eq!(SOME.found_in(b"a SAME", 0), 0b1100);
        assert_eq!(SOME.found_in("é`é EX(".as_bytes(), 0), 0b11);
        assert!(SOME.any_at(b"`", 0) && !SOME.any_at(b"sa", 0) && !SOME.any_in(b"s a m"));
    }
}
