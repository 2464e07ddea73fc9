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
pub(super) fn equals_at(text: &[u8], i: usize, lower: &[u8]) -> bool {
    look(lower.len());
    text.get(i..i.saturating_add(lower.len())).is_some_and(|part| part.eq_ignore_ascii_case(lower))
}

/// Whether `text` is one of `words`, in any case.
#[inline(never)]
pub(super) fn is_one_of(text: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| word.len() == text.len() && equals_at(text, 0, word))
}

/// The first place at or after `i` where `lower` (in lower case) stands, in either case.
#[inline(never)]
pub(super) fn find(text: &[u8], i: usize, lower: &[u8]) -> Option<usize> {
    let first = at(lower, 0);
    let mut pos = i;
    loop {
        let rest = text.get(pos..)?;
        let skipped = next_of(first, first.to_ascii_uppercase(), rest);
        // Vector instructions pass many bytes at a time.
        spend(skipped.unwrap_or(rest.len()) / 8);
        pos += skipped?;
        if starts_at(text, pos, lower) {
            return Some(pos);
        }
        pos += 1;
    }
}

/// The first place of either in `text`: often near, where a look costs less than the call that finds what is far.
#[inline]
pub(super) fn next_of(one: u8, other: u8, text: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let Some((near, far)) = text.split_first_chunk() else { return memchr::memchr2(one, other, text) };
    let near = u64::from_le_bytes(*near);
    // The lowest of the highest bits stands in the first byte that is the same.
    let same = |byte: u8| {
        let differs = near ^ (EACH * u64::from(byte));
        differs.wrapping_sub(EACH) & !differs
    };
    let places = (same(one) | same(other)) & (EACH * 0x80);
    if places != 0 {
        return Some(places.trailing_zeros() as usize / 8);
    }
    memchr::memchr2(one, other, far).map(|place| 8 + place)
}

/// Whether `lower` (in lower case) stands anywhere in `text`, in either case.
#[inline(never)]
pub(super) fn contains(text: &[u8], lower: &[u8]) -> bool {
    find(text, 0, lower).is_some()
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
    fn the_next_of_two_is_found_wherever_it_stands() {
        for len in 0..40 {
            for place in 0..len {
                let mut text = vec![b'.'; len];
                text[place] = b'%';
                assert_eq!(next_of(b'x', b'%', &text), Some(place));
                assert_eq!(next_of(b'x', b'y', &text), None);
            }
        }
    }
}
