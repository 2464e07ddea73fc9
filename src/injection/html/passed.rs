//! What has been read of a page and is remembered, so that tags inside tags and signs of script do not cost their square.

use super::super::LONG;
use super::super::bytes::{at, cut, from, is_word, next_of};
use super::super::needles::Needles;
use super::super::work::look;
use super::TAG_REACH;
use super::words::SINKS;

/// What a tag's attributes may say that makes it act; the order is that of the bits below.
static SIGNS: Needles = Needles::new(&[
    b"refresh",
    b"set-cookie",
    b"url=",
    b"utf-7",
    b"http-equiv=\"link",
    b"href",
    b"stylesheet",
    b"import",
    b"srcdoc",
    b"xlink:href",
    b"datasrc",
    b"dataformatas",
    b"namespace=",
    b"implementation=",
    b"style",
    b"javascript:",
    b"-moz-binding",
    b"behavior:",
    b"behaviour:",
    b"binding:",
    b"vbscript:",
    b"@im\\port",
    b"ession(",
]);
/// The length of the longest of them.
const MAX_SIGN: usize = 16;
pub(super) const META: u64 = 0b1_1111;
pub(super) const HREF: u64 = 1 << 5;
pub(super) const SHEET: u64 = 0b11 << 6;
pub(super) const ACTS: u64 = 0b11_1111 << 8;
pub(super) const STYLE: u64 = 1 << 14;
pub(super) const STYLED: u64 = 0xFF << 15;

/// What has been read of tags, so that tags inside tags do not cost their square.
#[derive(Default)]
pub(super) struct Attributes {
    /// The next `>` and from where it was looked for.
    end: Option<(usize, usize)>,
    /// The signs found up to a place.
    signs: u64,
    read: usize,
}

impl Attributes {
    /// The end of the tag whose attributes begin at `start`; one that nothing ends is read for [`TAG_REACH`].
    pub(super) fn end(&mut self, view: &[u8], start: usize) -> usize {
        let end = match self.end {
            Some((from, end)) if from <= start && start <= end => end,
            _ => {
                let end = next_of(b'>', b'>', from(view, start)).map_or(view.len(), |len| start + len);
                self.end = Some((start, end));
                end
            }
        };
        if end < view.len() { end } else { end.min(start + TAG_REACH) }
    }

    /// The signs between `start` and `end`; those of a tag around it count as well.
    pub(super) fn signs(&mut self, view: &[u8], start: usize, end: usize) -> u64 {
        if start >= self.read {
            self.signs = 0;
        }
        let unread = start.max(self.read.saturating_sub(MAX_SIGN - 1));
        if self.read < end {
            // What is far from any end is read in long pieces, of which little is read twice.
            let ahead = match self.end {
                Some((_, close)) if view.len() > LONG => close.min(end + TAG_REACH),
                _ => end,
            };
            let end = ahead.max(end);
            look(end - unread);
            self.signs |= SIGNS.found_in(cut(view, unread, end), self.signs);
            self.read = end;
        }
        self.signs
    }
}

/// What is remembered of a view, so that no place is searched for each trigger anew.
#[derive(Default)]
pub(super) struct Passed {
    /// From where a sign of script or an end of it was looked for last, and where it was found.
    sign: Option<(usize, Sign)>,
    last_comma: Option<usize>,
    last_call: Option<usize>,
}

/// Where script shows as such, or a tag ends before it does.
#[derive(Clone, Copy)]
struct Sign {
    start: usize,
    end: usize,
    script: bool,
}

impl Passed {
    /// Whether `start..end` reads as script: a call, a template literal, an assignment or a known object, before any `>`.
    pub(super) fn runs(&mut self, view: &[u8], start: usize, end: usize) -> bool {
        let sign = match self.sign {
            Some((since, sign)) if since <= start && start <= sign.start => sign,
            _ => {
                let sign = Sign::next(view, start);
                look(sign.end - start);
                self.sign = Some((start, sign));
                sign
            }
        };
        sign.script && sign.end <= end
    }

    pub(super) fn has_comma(&mut self, view: &[u8], i: usize) -> bool {
        *self.last_comma.get_or_insert_with(|| memchr::memrchr(b',', view).unwrap_or(0)) > i
    }

    pub(super) fn has_call(&mut self, view: &[u8], i: usize) -> bool {
        *self.last_call.get_or_insert_with(|| memchr::memrchr(b'(', view).unwrap_or(0)) > i
    }
}

impl Sign {
    /// The first at or after `start`.
    fn next(view: &[u8], start: usize) -> Self {
        let mut i = start;
        while i < view.len() {
            let byte = at(view, i);
            if byte.is_ascii_alphabetic() {
                let len = from(view, i).iter().take_while(|&&byte| is_word(byte)).count();
                if SINKS.contains(cut(view, i, i + len)) {
                    return Self { start: i, end: i + len, script: true };
                }
                i += len;
            } else if matches!(byte, b'(' | b'`' | b'=' | b'>') {
                return Self { start: i, end: i + 1, script: byte != b'>' };
            } else {
                i += 1;
            }
        }
        Self { start: i, end: i, script: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_is_longer_than_what_is_read_again() {
        assert_eq!(SIGNS.longest(), MAX_SIGN);
    }
}
