//! What a value could become: every encoding undone, one after the other, to a fixed depth.
//!
//! No view is longer than the value, so memory is bounded by the value itself and time by the number of views.

use super::decode::{Decoded, STEPS, may_be_encoded};
use super::edits::{Edits, around, whole};
use std::borrow::Cow;
use std::ops::Range;

/// How often the whole chain of decodings is repeated on its own result.
const DEPTH: usize = 3;
/// The most views of one value, the value itself included.
const MAX_VIEWS: usize = 10;

/// Calls `inspect` with `value` and then with each distinct decoding of it and where to read that, as long as it returns true.
///
/// Of a long value, with what servers make of it that decode once more than they should, and with what each round ends with: a
/// client could make every step cost. Nor is it read again but around what differs from what was read of it before.
pub(super) fn each_view(value: &[u8], mut inspect: impl FnMut(&[u8], &[Range<usize>]) -> bool) {
    if !inspect(value, &[whole(value)]) || !may_be_encoded(value) {
        return;
    }
    let long = value.len() > super::LONG;
    let mut left = MAX_VIEWS - 1;
    let mut view = Cow::Borrowed(value);
    let mut changes = Changes::default();
    let mut read = |view: &[u8], changes: &mut Changes| {
        if long { inspect(view, &changes.unread(view)) } else { inspect(view, &[whole(view)]) }
    };
    for round in 0..DEPTH {
        let (mut changed, mut unseen) = (false, false);
        let first = round == 0;
        let mut within = changes.within(&view, long && !first);
        for (at, step) in STEPS.iter().enumerate() {
            let Some(Decoded { text, edits }) = step(&view, &within) else { continue };
            view = Cow::Owned(text);
            (changed, unseen) = (true, true);
            if long {
                changes.carry(&edits);
            }
            within = changes.within(&view, long && !first);
            if long && !(first && at == 0) {
                continue;
            }
            if left == 0 || !read(&view, &mut changes) {
                return;
            }
            left -= 1;
            unseen = false;
        }
        if !changed || unseen && !read(&view, &mut changes) {
            break;
        }
        changes.undecoded = std::mem::take(&mut changes.decoded);
    }
}

/// Where a long view differs from earlier ones.
#[derive(Default)]
struct Changes {
    /// From those that were read.
    unread: Vec<Range<usize>>,
    /// From what the round before began with.
    undecoded: Vec<Range<usize>>,
    /// From what this round began with.
    decoded: Vec<Range<usize>>,
}

impl Changes {
    fn carry(&mut self, edits: &Edits) {
        for places in [&mut self.unread, &mut self.undecoded, &mut self.decoded] {
            edits.carry(places);
        }
    }

    /// Where a step may find something to undo in `view`; with `near`, only around what was undone before.
    fn within(&self, view: &[u8], near: bool) -> Vec<Range<usize>> {
        if near { around(view, &self.undecoded) } else { vec![whole(view)] }
    }

    /// Where `view` is to be read, after which it has been.
    fn unread(&mut self, view: &[u8]) -> Vec<Range<usize>> {
        super::regions(view, &std::mem::take(&mut self.unread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(value: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        each_view(value, |view, _| {
            all.push(view.to_vec());
            true
        });
        all
    }

    #[test]
    fn undoes_nested_encodings() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"%2525252e", b"%2e"),
            (b"%253Cb%253E", b"<b>"),
            (b"%u003cb%u003E", b"<b>"),
            (b"&lt;b&#62;&#x3b", b"<b>;"),
            (b"&amp;lt;", b"<"),
            (br"\x3cb\u003e\u{27}\047", b"<b>''"),
            (b"\xC0\xAE\xE0\x80\xAF\xF0\x80\x80\xAE", b"./."),
            ("＜b＞’".as_bytes(), b"<b>'"),
            (b"<\0b\0>\0", b"<b>"),
            (b"a+or+b", b"a or b"),
            (b"PGI+YTwvYj4gb3I=", b"<b>a</b> or"),
            (b"%50%47%49%2BYTwvYj4gb3I=", b"<b>a</b> or"),
        ];
        for (value, decoded) in cases {
            let all = views(value);
            assert!(all.iter().any(|view| view == decoded), "{:?}: {:?}", value.escape_ascii().to_string(), all);
        }
    }

    #[test]
    fn leaves_malformed_sequences_and_still_reads_the_rest() {
        assert_eq!(views(b"%zz %4"), [b"%zz %4".to_vec()]);
        assert!(views(b"%zz %41&#;&bogus;\\xg").contains(&b"%zz A&#;&bogus;\\xg".to_vec()));
    }

    #[test]
    fn views_are_few_and_never_longer_than_the_value() {
        let value = "%2525252525&amp;amp;amp;\\u005cu005c\u{ff05}41".repeat(50);
        let all = views(value.as_bytes());
        assert!(all.len() <= MAX_VIEWS);
        assert!(all.iter().all(|view| view.len() <= value.len()));
    }
}
