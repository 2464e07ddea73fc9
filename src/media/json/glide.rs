//! The walk over what a visitor passes over: the same grammar and the same limits, for text and numbers as most documents
//! are made of. Whatever is unusual is left where it stands to the [`Walker`], which alone refuses and shows.

use std::borrow::Cow;
use std::ops::Range;

use super::records::Repeated;
use super::walker::{NOBODY, Stands, Walker, is_space};
use super::{Container, Frame, Visitor};

impl<'a, V: Visitor> Walker<'a, V> {
    /// Goes on as far as nothing has to be shown, nothing is wrong, and no limit is met.
    #[inline(never)]
    pub(super) fn glide(&mut self, stands: Stands) -> Stands {
        let from = self.at;
        let mut glide = Glide { from, at: from, stands, container: self.container(), counted: 0, key: None };
        while let Some(&byte) = self.document.get(glide.at) {
            if byte > b' ' {
                if !self.step(&mut glide, byte) {
                    break;
                }
            } else if is_space(byte) {
                glide.at += 1;
            } else {
                break;
            }
        }
        self.keep(&mut glide);
        self.at = glide.at;
        glide.stands
    }

    /// One step from `byte`; false: it is not for us to take.
    #[inline(always)]
    fn step(&mut self, glide: &mut Glide<'a>, byte: u8) -> bool {
        if byte == b'"' {
            return glide.stands != Stands::AfterValue && self.text(glide);
        }
        match glide.stands {
            Stands::AfterValue => match byte {
                b',' => self.comma(glide),
                b'}' => self.leave(glide, Container::Object),
                b']' => self.leave(glide, Container::Array),
                _ => false,
            },
            Stands::BeforeValue => match byte {
                b'0'..=b'9' | b'-' => self.bare(glide, self.limits.number_length, number),
                b'{' => self.enter(glide, Container::Object),
                b'[' => self.enter(glide, Container::Array),
                b't' => self.bare(glide, 4, |rest| literal(rest, b"true")),
                b'f' => self.bare(glide, 5, |rest| literal(rest, b"false")),
                b'n' => self.bare(glide, 4, |rest| literal(rest, b"null")),
                _ => false,
            },
            Stands::BeforeKey => false,
        }
    }

    /// A key with its colon, or a string.
    #[inline(always)]
    fn text(&mut self, glide: &mut Glide<'a>) -> bool {
        let start = glide.at + 1;
        let Some(end) = self.window.plain::<V>(self.document, start) else { return false };
        let Some(text) = self.document.get(start..end) else { return false };
        if text.len() > self.limits.string_length {
            return false;
        }
        if glide.stands == Stands::BeforeValue {
            if !self.visit.passes_over(text) {
                return false;
            }
            glide.at = end + 1;
            self.go_on(glide);
            return true;
        }
        // The visitor comes last: what it has passed over is not shown to it again.
        if self.entries >= self.limits.entries
            || self.document.get(end + 1) != Some(&b':')
            || !self.visit.passes_over_key(text)
        {
            return false;
        }
        self.entries += 1;
        glide.counted += 1;
        glide.key = Some(text);
        glide.at = end + 2;
        glide.stands = Stands::BeforeValue;
        self.skip_space(glide);
        true
    }

    /// Behind a value: mostly there is a comma.
    #[inline(always)]
    fn go_on(&mut self, glide: &mut Glide<'a>) {
        glide.stands = Stands::AfterValue;
        if self.document.get(glide.at) == Some(&b',') && self.comma(glide) {
            self.skip_space(glide);
        }
    }

    #[inline(always)]
    fn skip_space(&self, glide: &mut Glide<'a>) {
        glide.at += usize::from(self.document.get(glide.at) == Some(&b' '));
    }

    #[inline(always)]
    fn comma(&mut self, glide: &mut Glide<'a>) -> bool {
        match glide.container {
            Some(Container::Object) => glide.stands = Stands::BeforeKey,
            Some(Container::Array) if self.entries < self.limits.entries => self.element_begins(glide),
            _ => return false,
        }
        glide.at += 1;
        true
    }

    #[inline(always)]
    fn element_begins(&mut self, glide: &mut Glide<'a>) {
        self.entries += 1;
        glide.counted += 1;
        glide.stands = Stands::BeforeValue;
    }

    #[inline(always)]
    fn enter(&mut self, glide: &mut Glide<'a>, container: Container) -> bool {
        let depth = self.frames.len();
        let inside = self.document.get(glide.at + 1..).unwrap_or_default();
        // What is empty is left to the walk.
        let empty = matches!(inside.iter().find(|byte| !is_space(**byte)), None | Some(b'}' | b']'));
        if depth >= self.limits.depth || self.entries >= self.limits.entries || empty {
            return false;
        }
        self.keep(glide);
        let owner = match container {
            Container::Object => depth,
            Container::Array => self.frames.last().map_or(NOBODY, |frame| frame.owner),
        };
        self.frames.push(Frame { container, start: glide.at, count: 0, key: Cow::Borrowed(&[]), owner });
        self.visit.open(container);
        glide.container = Some(container);
        match container {
            Container::Object => glide.stands = Stands::BeforeKey,
            Container::Array => self.element_begins(glide),
        }
        glide.at += 1;
        if container == Container::Array {
            self.go_on_alike(glide, None);
        }
        true
    }

    #[inline(always)]
    fn leave(&mut self, glide: &mut Glide<'a>, container: Container) -> bool {
        if glide.container != Some(container) {
            return false;
        }
        let start = self.frames.pop().map_or(0, |frame| frame.start);
        self.visit.close();
        (glide.counted, glide.key) = (0, None);
        glide.container = self.container();
        glide.at += 1;
        let record = start..glide.at;
        self.go_on(glide);
        if container == Container::Object && glide.stands == Stands::BeforeValue {
            self.go_on_alike(glide, (start >= glide.from).then_some(record));
        }
        true
    }

    /// Before an element of an array, behind the one at `last`, if there is one and nothing of it was shown.
    #[inline(always)]
    fn go_on_alike(&mut self, glide: &mut Glide<'a>, last: Option<Range<usize>>) {
        let Some(array) = self.frames.last().map(|frame| frame.start) else { return };
        while self.document.get(glide.at).is_some_and(|byte| is_space(*byte)) {
            glide.at += 1;
        }
        if self.document.get(glide.at) == Some(&b'{')
            && let Some(Repeated { at, stands, begun }) = self.repeat(array, last, glide.at)
        {
            (glide.at, glide.stands) = (at, stands);
            glide.counted += begun;
        }
    }

    /// A number or a literal of at most `most` bytes; `length` says how long it is at the beginning of the rest.
    #[inline(always)]
    fn bare(&mut self, glide: &mut Glide<'a>, most: usize, length: impl Fn(&[u8]) -> usize) -> bool {
        let rest = self.document.get(glide.at..).unwrap_or_default();
        let length = length(rest);
        let written = rest.get(..length).unwrap_or_default();
        if length == 0 || length > most || !self.visit.passes_over_bare(written) {
            return false;
        }
        glide.at += length;
        self.go_on(glide);
        true
    }

    fn container(&self) -> Option<Container> {
        self.frames.last().map(|frame| frame.container)
    }

    /// Writes down what the innermost container has had since it was written down last.
    #[inline]
    fn keep(&mut self, glide: &mut Glide<'a>) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.count += std::mem::take(&mut glide.counted);
        if let Some(key) = glide.key.take() {
            frame.key = Cow::Borrowed(key);
        }
    }
}

/// How far it went.
struct Glide<'a> {
    /// Where it began.
    from: usize,
    at: usize,
    stands: Stands,
    /// The innermost one.
    container: Option<Container>,
    /// Its entries that it does not know of yet.
    counted: usize,
    /// Its last key, if that is new.
    key: Option<&'a [u8]>,
}

/// The length of the number that `rest` begins with; 0 where it is malformed or has an exponent.
#[inline(always)]
pub(super) fn number(rest: &[u8]) -> usize {
    let byte = |at: usize| rest.get(at).copied().unwrap_or_default();
    let digits = |from: usize| {
        let mut end = from;
        while byte(end).is_ascii_digit() {
            end += 1;
        }
        end
    };
    let first = usize::from(byte(0) == b'-');
    let whole = digits(first);
    // None, or more after a zero.
    if whole == first || byte(first) == b'0' && whole > first + 1 {
        return 0;
    }
    let end = if byte(whole) == b'.' { digits(whole + 1) } else { whole };
    if end == whole + 1 || matches!(byte(end), b'e' | b'E') { 0 } else { end }
}

#[inline(always)]
pub(super) fn literal(rest: &[u8], written: &[u8]) -> usize {
    if rest.starts_with(written) { written.len() } else { 0 }
}
