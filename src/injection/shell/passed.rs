//! What is remembered of a line while its marks are read.

use super::super::bytes::{at, cut, find, from, starts_at};
use super::super::work::spend;
use super::WORD;
use super::calls::CALLS;
use super::command::{Ahead, ends_with};

/// How far the code of a PHP tag is read.
const CODE_REACH: usize = 400;

/// What is remembered of a view, so that no place is searched for each trigger anew.
#[derive(Default)]
pub(super) struct Passed {
    /// Where the second word begins, as far as a space parts it from the first; the length when there is none.
    second_word: Option<usize>,
    /// From where code was looked for last, and where it was found.
    code: Option<(usize, usize)>,
    /// The same of a connection.
    connection: Option<(usize, usize)>,
    /// Whether the view is a list of plain words.
    lists: Option<bool>,
    /// Where the first `=` stands; the length when there is none.
    assigned: Option<usize>,
    /// What was looked at behind commands.
    pub(super) ahead: Ahead,
}

impl Passed {
    /// Whether a space stands between words before `i`.
    pub(super) fn spaced(&mut self, view: &[u8], i: usize) -> bool {
        let second = *self.second_word.get_or_insert_with(|| {
            let black = |from_here: usize| from(view, from_here).iter().position(|byte| !byte.is_ascii_whitespace());
            let gap = black(0).and_then(|first| Some(first + memchr::memchr(b' ', from(view, first))?));
            gap.and_then(|gap| Some(gap + black(gap)?)).unwrap_or(view.len())
        });
        second < i
    }

    /// Whether the view is nothing but plain words with separators between them: `java; php; python`.
    pub(super) fn lists(&mut self, view: &[u8]) -> bool {
        *self.lists.get_or_insert_with(|| is_list(view))
    }

    /// Whether a name and its value stand before `i`, as in a query string.
    pub(super) fn assigns(&mut self, view: &[u8], i: usize) -> bool {
        *self.assigned.get_or_insert_with(|| memchr::memchr(b'=', view).unwrap_or(view.len())) < i
    }

    /// Whether a connection is made within reach of `i`.
    pub(super) fn connects(&mut self, view: &[u8], i: usize) -> bool {
        let place = match self.connection {
            Some((since, place)) if since <= i && i <= place => place,
            _ => {
                let place = find(view, i, b"connect(").unwrap_or(view.len());
                self.connection = Some((i, place));
                place
            }
        };
        place < i + CODE_REACH && place < view.len()
    }

    /// Whether code that runs or includes something stands within reach of `i`.
    pub(super) fn coded(&mut self, view: &[u8], i: usize) -> bool {
        let place = match self.code {
            Some((since, place)) if since <= i && i <= place => place,
            _ => {
                let place = next_code(view, i);
                self.code = Some((i, place));
                place
            }
        };
        place < i + CODE_REACH && place < view.len()
    }
}

/// Whether words of letters alone are parted by single separators, the first of more than the one letter that stands for a
/// value in a probe.
fn is_list(view: &[u8]) -> bool {
    spend(view.len());
    let mut parts =
        view.trim_ascii_end().split(|byte| matches!(byte, b';' | b'|' | b'&' | b'\n')).map(<[u8]>::trim_ascii);
    parts.clone().next().is_some_and(|first| first.len() > 1) && parts.all(is_plain_text)
}

/// Whether `text` is words of letters, with what joins them in names and an apostrophe inside them.
fn is_plain_text(text: &[u8]) -> bool {
    let lettered = |end: Option<&u8>| end.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    let plain = |byte: &u8| lettered(Some(byte)) || matches!(byte, b' ' | b'_' | b'-' | b',' | b'\'');
    lettered(text.first()) && lettered(text.last()) && text.iter().all(plain)
}

/// The first place at or after `i` where code runs or includes something; the length when there is none.
fn next_code(view: &[u8], i: usize) -> usize {
    let mut pos = i;
    while let Some(place) = next_mark(view, pos) {
        spend(1 + (place - pos) / 8);
        spend(WORD);
        let told = match at(view, place) {
            b'(' if !matches!(at(view, place.wrapping_sub(1)) | 0x20, b'm' | b'c' | b'u' | b'n' | b'l' | b't') => false,
            b'(' => {
                let before = cut(view, i.max(place.saturating_sub(12)), place);
                CALLS.iter().any(|call| ends_with(before, call))
            }
            b'$' => at(view, place + 1) == b'_',
            _ => place > i && starts_at(view, place - 1, b"include"),
        };
        if told {
            return place;
        }
        pos = place + 1;
    }
    view.len()
}

/// The next bracket, variable or end of `in`; one often follows soon after the other.
#[inline]
fn next_mark(view: &[u8], pos: usize) -> Option<usize> {
    for near in pos..pos + 4 {
        if matches!(view.get(near)?, b'(' | b'$' | b'n') {
            return Some(near);
        }
    }
    memchr::memchr3(b'(', b'$', b'n', from(view, pos + 4)).map(|found| pos + 4 + found)
}
