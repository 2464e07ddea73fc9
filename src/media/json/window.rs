//! The document 64 bytes at a time, with a bit for each that is of interest: comparisons without a branch, which vector
//! instructions do for sixteen bytes at once. Some blocks are looked at ahead of time, so that whoever walks seldom has to
//! ask whether they are.
//!
//! Most strings hold nothing but plain text, and end before anything else of interest stands there. Only where something
//! does are more questions asked of the same bytes.

use super::{Block, Visitor};

const SIZE: usize = Block::SIZE;
/// Blocks of a window.
const BLOCKS: usize = 8;

/// The part of a document that is being read. It only moves forward.
#[derive(Debug)]
pub(super) struct Window {
    /// Where it begins: a multiple of its length, or nowhere yet.
    base: usize,
    /// What the visitor suspects, and all that is not plain text of a string; nothing behind the document.
    suspects: [u64; BLOCKS],
    closer: Closer,
}

/// A closer look at a block.
#[derive(Debug)]
struct Closer {
    base: usize,
    /// Quotes, backslashes and control characters.
    stops: u64,
    /// What is no ASCII.
    high: u64,
    /// What the visitor marked.
    marked: u64,
}

/// The bytes of a string up to the first quote, backslash or control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where that stands.
    pub(super) end: usize,
    pub(super) ascii: bool,
    /// The visitor marked some of them.
    pub(super) marked: bool,
}

impl Window {
    pub(super) const fn new() -> Self {
        let closer = Closer { base: usize::MAX, stops: 0, high: 0, marked: 0 };
        Self { base: usize::MAX, suspects: [0; BLOCKS], closer }
    }

    /// Where the string ends whose first byte is at `start`, when it is ASCII without escapes in which nothing is marked.
    #[inline]
    pub(super) fn plain<V: Visitor>(&mut self, document: &[u8], start: usize) -> Option<usize> {
        let suspect = self.suspect::<V>(document, start)?;
        if document.get(suspect) == Some(&b'"') {
            Some(suspect)
        } else {
            self.plain_after_all::<V>(document, start, suspect)
        }
    }

    /// The first byte at or after `start` that is suspect.
    #[inline]
    pub(super) fn suspect<V: Visitor>(&mut self, document: &[u8], start: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let base = at - at % (SIZE * BLOCKS);
            if base != self.base {
                if base >= document.len() {
                    return None;
                }
                self.load::<V>(document, base);
            }
            let block = self.suspects.get(at / SIZE % BLOCKS).copied().unwrap_or_default();
            let suspects = block >> (at % SIZE);
            if suspects != 0 {
                return Some(at + suspects.trailing_zeros() as usize);
            }
            at += SIZE - at % SIZE;
        }
    }

    /// The same of a string in which something suspect stands at `suspect`.
    #[inline(never)]
    fn plain_after_all<V: Visitor>(&mut self, document: &[u8], start: usize, suspect: usize) -> Option<usize> {
        let run = self.run::<V>(document, start)?;
        let plain = run.ascii && !run.marked && run.end >= suspect && document.get(run.end) == Some(&b'"');
        plain.then_some(run.end)
    }

    /// The run that begins at `start`; `None`: the document ends before it does.
    pub(super) fn run<V: Visitor>(&mut self, document: &[u8], start: usize) -> Option<Run> {
        let mut at = start;
        let (mut high, mut marked) = (0, 0);
        loop {
            let base = at - at % SIZE;
            if base != self.closer.base {
                if base >= document.len() {
                    return None;
                }
                with_block(document, base, |block| self.closer.load::<V>(block, base));
            }
            let offset = at % SIZE;
            let stops = self.closer.stops >> offset;
            if stops != 0 {
                let length = stops.trailing_zeros();
                let within = (1 << length) - 1;
                high |= self.closer.high >> offset & within;
                marked |= self.closer.marked >> offset & within;
                return Some(Run { end: at + length as usize, ascii: high == 0, marked: marked != 0 });
            }
            high |= self.closer.high >> offset;
            marked |= self.closer.marked >> offset;
            at = base + SIZE;
        }
    }

    #[inline(never)]
    fn load<V: Visitor>(&mut self, document: &[u8], base: usize) {
        self.base = base;
        for (at, suspects) in (base..).step_by(SIZE).zip(&mut self.suspects) {
            *suspects = if at < document.len() { with_block(document, at, |block| V::suspect(block)) } else { 0 };
        }
    }
}

impl Closer {
    #[inline]
    fn load<V: Visitor>(&mut self, block: &Block<'_>, base: usize) {
        self.base = base;
        self.stops = block.stops();
        self.high = block.high();
        self.marked = V::mark(block);
    }
}

/// Shows the block at `base`, which is in the document.
#[inline]
fn with_block<T>(document: &[u8], base: usize, show: impl FnOnce(&Block<'_>) -> T) -> T {
    let padded;
    let bytes = match document.get(base..base + SIZE + 2).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => bytes,
        None => {
            padded = last_block(document, base);
            &padded
        }
    };
    show(&Block { bytes })
}

/// Behind the document there is nothing that would end a string. Apart, because filling memory is a call out of the module.
#[cold]
#[inline(never)]
fn last_block(document: &[u8], base: usize) -> [u8; SIZE + 2] {
    let mut padded = [b' '; SIZE + 2];
    let rest = document.get(base..).unwrap_or_default();
    padded.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
    padded
}

#[cfg(test)]
mod tests {
    use super::super::{Location, Token};
    use super::*;
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    /// Marks every `a` before a `b`.
    struct Pairs;

    impl Visitor for Pairs {
        type Break = ();

        fn token(&mut self, _token: Token<'_>, _location: &Location<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn suspect(block: &Block<'_>) -> u64 {
            let is_suspect = |byte: &u8| matches!(byte, b'a' | 0..0x20 | b'"' | b'\\' | 0x80..);
            block.bytes().iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is_suspect(byte)))
        }

        fn mark(block: &Block<'_>) -> u64 {
            let [second, _] = block.following();
            let pairs = block.bytes().iter().zip(second).rev();
            pairs.fold(0, |bits, pair| bits << 1 | u64::from(pair == (&b'a', &b'b')))
        }
    }

    /// The same, a byte at a time.
    fn naive(document: &[u8], start: usize) -> Option<Run> {
        let rest = document.get(start..)?;
        let length = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))?;
        let marked = (start..start + length).any(|at| document[at] == b'a' && document.get(at + 1) == Some(&b'b'));
        Some(Run { end: start + length, ascii: rest[..length].is_ascii(), marked })
    }

    #[test]
    fn finds_what_ends_a_string_at_every_place_of_a_window() {
        for special in 0..=255_u8 {
            for length in [0, 1, 7, 15, 16, 31, 62, 63, 64, 65, 127, 128, 129] {
                let document = [&vec![b'x'; length][..], &[special, b'y']].concat();
                assert_eq!(Window::new().run::<Pairs>(&document, 0), naive(&document, 0), "{special} after {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_search_wherever_strings_begin(
            document in prop::collection::vec(prop::sample::select(&b"aaabbb\"\\\x1f\xc3 xyzxyzxyzxyzxyzxyz"[..]), 0..300),
            mut starts in prop::collection::vec(0_usize..300, 1..12),
        ) {
            starts.sort_unstable();
            let mut window = Window::new();
            for start in starts {
                let run = naive(&document, start);
                prop_assert_eq!(window.run::<Pairs>(&document, start), run);
                let plain = run.filter(|run| run.ascii && !run.marked && document[run.end] == b'"').map(|run| run.end);
                prop_assert_eq!(window.plain::<Pairs>(&document, start), plain);
            }
        }
    }
}
