//! Many strings looked for at once, by the first bytes of each.

use super::bytes::{at, equals_at};
use crate::lanes::{self, Lanes};

/// Strings to look for all at once, in lower case; at most 64.
pub(super) struct Needles {
    needles: &'static [&'static [u8]],
    /// For each sort of byte in the first two places, which needles have it there: few are left to be compared.
    places: [[u64; 64]; 2],
    /// For each of the first three places, and each half of a byte there, which of eight groups of needles have it.
    halves: [[[u8; 16]; 2]; 3],
}

/// How many bytes tell whether any needle may begin at the first sixteen of them.
const WINDOW: usize = 18;
/// A text that is long enough to be read by windows even for many needles.
const LONG: usize = 64;

/// Sixty-four sorts of bytes: no letter is of the sort of a digit or of most marks, and the case makes no difference.
#[inline]
const fn sort(byte: u8) -> usize {
    (byte & 31 | byte >> 1 & 32) as usize
}

impl Needles {
    /// Prepares `needles`, evaluated by the compiler.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn new(needles: &'static [&'static [u8]]) -> Self {
        let mut prepared = Self { needles, places: [[0; 64]; 2], halves: [[[0; 16]; 2]; 3] };
        let mut i = 0;
        while i < needles.len() {
            let group = 1 << (i * 8 / needles.len());
            let mut place = 0;
            while place < 3 {
                let mut byte = 0;
                while byte < 256 {
                    // Behind the end of a needle stands anything.
                    if place >= needles[i].len() || needles[i][place] == (byte as u8).to_ascii_lowercase() {
                        prepared.halves[place][0][byte & 15] |= group;
                        prepared.halves[place][1][byte >> 4] |= group;
                        if place < 2 {
                            prepared.places[place][sort(byte as u8)] |= 1 << i;
                        }
                    }
                    byte += 1;
                }
                place += 1;
            }
            i += 1;
        }
        prepared
    }

    /// Those that may begin with two bytes of these sorts.
    #[inline]
    fn candidates(&self, first: usize, second: usize) -> u64 {
        let [firsts, seconds] = &self.places;
        firsts.get(first).copied().unwrap_or(0) & seconds.get(second).copied().unwrap_or(0)
    }

    /// Those of `candidates` that stand at `i`.
    #[inline(never)]
    fn confirmed(&self, text: &[u8], i: usize, mut candidates: u64) -> u64 {
        let head = head_of(text.get(i..).unwrap_or_default());
        let mut here = 0;
        while candidates != 0 {
            let index = candidates.trailing_zeros();
            candidates &= candidates - 1;
            let Some(needle) = self.needles.get(index as usize) else { break };
            // Most have another letter in the third or fourth place.
            let other = head.is_some_and(|head| head_of(needle).is_some_and(|lower| lower != head));
            if !other && equals_at(text, i, needle) {
                here |= 1 << index;
            }
        }
        here
    }

    /// Those that `text` goes on with at `i`, but for what is `found` already.
    #[inline]
    fn at(&self, text: &[u8], i: usize, found: u64) -> u64 {
        let candidates = self.candidates(sort(at(text, i)), sort(at(text, i + 1))) & !found;
        if candidates == 0 { 0 } else { self.confirmed(text, i, candidates) }
    }

    /// A bit for each of the first sixteen places of `window` where any of them may begin.
    #[inline]
    fn beginnings(&self, window: &[u8; WINDOW]) -> u64 {
        let mut groups = Lanes::splat(0xFF);
        for (place, [low, high]) in self.halves.iter().enumerate() {
            if let Some(bytes) = window.get(place..place + 16).and_then(|bytes| bytes.first_chunk()) {
                groups = groups.and(Lanes::load(bytes).classify(low, high));
            }
        }
        !groups.equals(Lanes::splat(0)).bits() & 0xFFFF
    }

    /// Which of them stand in `text` or are `found` already; where one is `enough`, no more than the first.
    #[inline]
    fn look_by_windows(&self, text: &[u8], mut found: u64, enough: bool) -> u64 {
        let last = text.len().saturating_sub(WINDOW);
        let mut start = 0;
        loop {
            let mut left = text.get(start..).and_then(<[u8]>::first_chunk).map_or(0, |window| self.beginnings(window));
            while left != 0 {
                found |= self.at(text, start + left.trailing_zeros() as usize, found);
                if enough && found != 0 {
                    return found;
                }
                left &= left - 1;
            }
            if start == last {
                return found | self.at(text, last + 16, found) | self.at(text, last + 17, found);
            }
            // The last two windows have places in common.
            start = (start + 16).min(last);
        }
    }

    /// The same by two bytes after the other.
    #[inline]
    fn look_by_pairs(&self, text: &[u8], mut found: u64, enough: bool) -> u64 {
        let mut before = sort(0);
        for (i, &byte) in text.iter().enumerate() {
            let here = sort(byte);
            let candidates = self.candidates(before, here) & !found;
            if candidates != 0 && i > 0 {
                found |= self.confirmed(text, i - 1, candidates);
                if enough && found != 0 {
                    return found;
                }
            }
            before = here;
        }
        found | self.at(text, text.len().saturating_sub(1), found)
    }

    /// Which of them stand in `text`, in either case, or are `found` already: a bit for each, in their order.
    #[inline(never)]
    pub(super) fn found_in(&self, text: &[u8], found: u64) -> u64 {
        if lanes::CLASSIFY_FAST && text.len() >= WINDOW {
            self.look_by_windows(text, found, false)
        } else {
            self.look_by_pairs(text, found, false)
        }
    }

    /// Whether any of them stands in `text`.
    #[inline(never)]
    pub(super) fn any_in(&self, text: &[u8]) -> bool {
        // Those that are looked for alike are many, so that a window tells little of a short text.
        if lanes::CLASSIFY_FAST && text.len() >= LONG {
            self.look_by_windows(text, 0, true) != 0
        } else {
            self.look_by_pairs(text, 0, true) != 0
        }
    }

    /// The length of the longest.
    #[cfg(test)]
    pub(super) fn longest(&self) -> usize {
        self.needles.iter().map(|needle| needle.len()).max().unwrap_or(0)
    }

    /// Whether `text` goes on with any of them at `i`.
    #[inline]
    pub(super) fn any_at(&self, text: &[u8], i: usize) -> bool {
        self.at(text, i, 0) != 0
    }
}

/// The first four bytes, if there are as many, with letters in one case; some marks are taken for others.
#[inline]
fn head_of(text: &[u8]) -> Option<u32> {
    text.first_chunk().map(|head| u32::from_le_bytes(*head) | 0x2020_2020)
}

#[cfg(test)]
mod tests {
    use super::*;

    static SOME: Needles = Needles::new(&[b"`", b"ex(", b"sam", b"same", b"<#b "]);

    #[test]
    fn needles_are_found_in_any_case() {
        assert_eq!(SOME.found_in(b"a SAME", 0), 0b1100);
        assert_eq!(SOME.found_in(b"a SAME", 1), 0b1101);
        assert_eq!(SOME.found_in("é`é EX(".as_bytes(), 0), 0b11);
        assert!(SOME.any_at(b"`", 0) && !SOME.any_at(b"sa", 0) && !SOME.any_in(b"s a m") && !SOME.any_in(b""));
    }

    #[test]
    fn needles_are_found_wherever_they_stand_by_windows_as_by_pairs() {
        for (i, needle) in SOME.needles.iter().enumerate() {
            for len in needle.len()..60 {
                for start in 0..=len - needle.len() {
                    let mut text = vec![b'@'; len];
                    text[start..start + needle.len()].copy_from_slice(needle);
                    for enough in [true, false] {
                        assert!(SOME.look_by_pairs(&text, 0, enough) >> i & 1 != 0, "{len} {start}");
                        if len >= WINDOW {
                            let found = SOME.look_by_windows(&text, 0, enough);
                            assert_eq!(found, SOME.look_by_pairs(&text, 0, enough), "{len} {start}");
                        }
                    }
                }
            }
        }
    }
}
