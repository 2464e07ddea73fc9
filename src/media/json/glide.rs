//! The walk over what a visitor passes over: the same grammar and the same limits, for text and numbers as most documents
//! are made of. Whatever is unusual is left where it stands to the [`Walker`], which alone refuses and shows.

use std::borrow::Cow;

use super::walker::{NOBODY, Stands, Walker};
use super::{Container, Frame, Visitor};

impl<V: Visitor> Walker<'_, V> {
    /// Goes on as far as nothing has to be shown, nothing is wrong, and no limit is met.
    #[inline(never)]
    pub(super) fn glide(&mut self, stands: Stands) -> Stands {
        let mut glide = Position { at: self.at, stands };
        while let Some(next) = match glide.stands {
            Stands::BeforeValue => self.glide_over_value(glide.at),
            Stands::AfterValue => self.glide_to_entry(glide.at),
        } {
            glide = next;
        }
        self.at = glide.at;
        glide.stands
    }

    #[inline]
    fn glide_over_value(&mut self, at: usize) -> Option<Position> {
        let at = self.space_ends(at);
        let after = |at| Some(Position { at, stands: Stands::AfterValue });
        match *self.document.get(at)? {
            b'"' => {
                let text = self.glide_text(at + 1)?;
                after(at + text.len() + 2)
            }
            b'{' => self.glide_into(Container::Object, at),
            b'[' => self.glide_into(Container::Array, at),
            b'0'..=b'9' | b'-' => after(self.glide_number(at)?),
            b't' => after(self.glide_literal(at, b"true")?),
            b'f' => after(self.glide_literal(at, b"false")?),
            b'n' => after(self.glide_literal(at, b"null")?),
            _ => None,
        }
    }

    /// From the end of a value to the value of the next entry, or out of the container.
    #[inline]
    fn glide_to_entry(&mut self, at: usize) -> Option<Position> {
        let frame = self.frames.last()?;
        let at = self.space_ends(at);
        match (*self.document.get(at)?, frame.container) {
            (b',', Container::Object) => self.glide_over_key(at + 1),
            (b',', Container::Array) => self.glide_to_element(at + 1),
            (b'}', Container::Object) | (b']', Container::Array) => {
                self.frames.pop();
                self.visit.close();
                Some(Position { at: at + 1, stands: Stands::AfterValue })
            }
            _ => None,
        }
    }

    #[inline]
    fn glide_into(&mut self, container: Container, at: usize) -> Option<Position> {
        let depth = self.frames.len();
        // What is empty ends as it begins.
        let next = self.space_ends(at + 1);
        if depth >= self.limits.depth || matches!(self.document.get(next)?, b']' | b'}') {
            return None;
        }
        let owner = match container {
            Container::Object => depth,
            Container::Array => self.frames.last().map_or(NOBODY, |frame| frame.owner),
        };
        self.frames.push(Frame { container, count: 0, key: Cow::Borrowed(&[]), owner });
        let entered = match container {
            Container::Object => self.glide_over_key(next),
            Container::Array => self.glide_to_element(next),
        };
        if entered.is_none() {
            self.frames.pop();
        } else {
            self.visit.open(container);
        }
        entered
    }

    #[inline]
    fn glide_over_key(&mut self, at: usize) -> Option<Position> {
        let at = self.space_ends(at);
        if self.entries >= self.limits.entries || *self.document.get(at)? != b'"' {
            return None;
        }
        let key = self.glide_text(at + 1)?;
        let at = self.space_ends(at + key.len() + 2);
        if *self.document.get(at)? != b':' {
            return None;
        }
        let frame = self.frames.last_mut()?;
        frame.count += 1;
        frame.key = Cow::Borrowed(key);
        self.entries += 1;
        Some(Position { at: at + 1, stands: Stands::BeforeValue })
    }

    #[inline]
    fn glide_to_element(&mut self, at: usize) -> Option<Position> {
        if self.entries >= self.limits.entries {
            return None;
        }
        self.frames.last_mut()?.count += 1;
        self.entries += 1;
        Some(Position { at, stands: Stands::BeforeValue })
    }
}

/// How far it went.
#[derive(Clone, Copy, Debug)]
struct Position {
    at: usize,
    stands: Stands,
}

impl<'a, V: Visitor> Walker<'a, V> {
    /// The text at `start`, behind its quote, when it need not be shown.
    #[inline]
    fn glide_text(&mut self, start: usize) -> Option<&'a [u8]> {
        let end = self.window.plain::<V>(self.document, start)?;
        let text = self.document.get(start..end)?;
        (text.len() <= self.limits.string_length && self.visit.passes_over(text)).then_some(text)
    }

    /// The end of the number at `start`, when it need not be shown.
    #[inline]
    fn glide_number(&mut self, start: usize) -> Option<usize> {
        let digits = |from: usize| {
            let rest = self.document.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let sign = usize::from(self.document.get(start) == Some(&b'-'));
        let whole = digits(start + sign);
        // A zero before other digits, no digits at all.
        if whole == start + sign || whole > start + sign + 1 && self.document.get(start + sign) == Some(&b'0') {
            return None;
        }
        let end = match self.document.get(whole) {
            Some(b'.') => Some(digits(whole + 1)).filter(|end| *end > whole + 1)?,
            _ => whole,
        };
        if matches!(self.document.get(end), Some(b'e' | b'E')) || end - start > self.limits.number_length {
            return None;
        }
        self.visit.passes_over_bare(self.document.get(start..end)?).then_some(end)
    }

    #[inline]
    fn glide_literal(&mut self, start: usize, written: &[u8]) -> Option<usize> {
        let end = start + written.len();
        let stands = self.document.get(start..end)? == written;
        (stands && self.visit.passes_over_bare(written)).then_some(end)
    }

    /// The first byte at or after `at` that is no white space.
    #[inline]
    fn space_ends(&self, at: usize) -> usize {
        let mut at = at;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.document.get(at) {
            at += 1;
        }
        at
    }
}
