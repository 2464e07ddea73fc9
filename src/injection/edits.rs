//! What a decoding replaced in a text, so that the text which comes of it is read again only where it differs.

use super::bytes::{at, bits, cut};
use super::work::look;
use std::ops::Range;

/// How far around what was replaced a text is read again: in bytes, and farther where these have fewer words that differ, since
/// space, marks and the same again may fill up what belongs together.
pub(super) const REACH: usize = 1024;
const WORDS: usize = 64;
/// What lies so near together is read at once.
const NEAR: usize = 2 * REACH;
/// How far the beginning and the end of what is read are moved to those of lines, within which strings mostly end.
const MAX_LINE: usize = 512;
/// How much of a comment may stand between.
const MAX_COMMENT: usize = 16 * REACH;

/// A stretch in which sequences were replaced: where it was, and where what came of it is.
#[derive(Debug)]
struct Stretch {
    was: Range<usize>,
    now: Range<usize>,
}

/// What one decoding replaced, in order: few stretches, since what lies near together is one.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<Stretch>);

impl Edits {
    /// Nothing of a text of `was` bytes is as before in the one of `now`.
    pub(super) fn of_all(was: usize, now: usize) -> Self {
        Self(vec![Stretch { was: 0..was, now: 0..now }])
    }

    /// Notes that `was` became `now`, behind everything that was noted before.
    pub(super) fn note(&mut self, was: Range<usize>, now: Range<usize>) {
        match self.0.last_mut() {
            Some(last) if was.start <= last.was.end + NEAR => (last.was.end, last.now.end) = (was.end, now.end),
            _ => self.0.push(Stretch { was, now }),
        }
    }

    /// Takes `places` of the text before, in their order, to where they are in the text after, and adds these edits.
    pub(super) fn carry(&self, places: &mut Vec<Range<usize>>) {
        let earlier = std::mem::take(places);
        let mut earlier =
            earlier.iter().map(|place| self.moved(place.start).start..self.moved(place.end).end).peekable();
        let mut own = self.0.iter().map(|stretch| stretch.now.clone()).peekable();
        loop {
            let is_earlier = match (earlier.peek(), own.peek()) {
                (Some(one), Some(other)) => one.start <= other.start,
                (one, _) => one.is_some(),
            };
            let Some(next) = (if is_earlier { earlier.next() } else { own.next() }) else { return };
            join(places, next, NEAR);
        }
    }

    /// Where the place `was` is now: one, or all that came of the stretch around it.
    fn moved(&self, was: usize) -> Range<usize> {
        let behind = self.0.partition_point(|stretch| stretch.was.end <= was);
        if let Some(around) = self.0.get(behind).filter(|stretch| stretch.was.start <= was) {
            return around.now.clone();
        }
        let before = behind.checked_sub(1).and_then(|before| self.0.get(before));
        let now = was.saturating_sub(before.map_or(0, |stretch| stretch.was.end.saturating_sub(stretch.now.end)));
        now..now
    }
}

/// All of `text`.
pub(super) const fn whole(text: &[u8]) -> Range<usize> {
    0..text.len()
}

/// Adds `next`, which begins behind the last of `ranges`, or makes the last longer where `gap` or less lies between.
pub(super) fn join(ranges: &mut Vec<Range<usize>>, next: Range<usize>, gap: usize) {
    match ranges.last_mut() {
        Some(last) if next.start <= last.end.saturating_add(gap) => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}

/// What is read again of `text` because of `places` in it.
pub(super) fn around(text: &[u8], places: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut regions: Vec<Range<usize>> = Vec::with_capacity(places.len());
    let mut ahead = Ahead::new(text);
    for place in places {
        let read = regions.last().map_or(0, |last| last.end);
        let start = if place.start <= read { read } else { reach_before(text, read, place.start) };
        if place.start > read {
            ahead = Ahead::new(text);
        }
        join(&mut regions, start..ahead.reach(place), 0);
    }
    regions
}

/// Where what is read before `end` begins: at a line, if it can, behind what has been `read` already.
fn reach_before(text: &[u8], read: usize, end: usize) -> usize {
    let (mut start, mut words) = (end, 0);
    while start > read && words < WORDS {
        let next = start.saturating_sub(REACH).max(read);
        // What ends a comment may have been made of what was replaced.
        let seen = Survey::of(cut(text, next, start + 1));
        words += seen.words;
        start = next;
        if seen.begins_in_comment() {
            let before = cut(text, start.saturating_sub(MAX_COMMENT).max(read), start);
            (start, words) = (start - Survey::of(before).last_opened.map_or(0, |begins| before.len() + 1 - begins), 0);
        }
    }
    let before = cut(text, start.saturating_sub(MAX_LINE).max(read), start);
    start - memchr::memrchr(b'\n', before).map_or(0, |line| before.len() - line - 1)
}

/// How far what is read reaches ahead; nothing is looked at twice.
struct Ahead<'a> {
    text: &'a [u8],
    end: usize,
    /// How many words there were up to `end`, up to the end of the last comment, and up to where each look ended.
    words: usize,
    words_commented: usize,
    looks: Vec<(usize, usize)>,
    /// A comment goes on at `end`, and up to where none ends.
    inside: bool,
    endless: usize,
}

impl<'a> Ahead<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, end: 0, words: 0, words_commented: 0, looks: Vec::new(), inside: false, endless: 0 }
    }

    /// Where what is read because of `place` ends, which begins behind those before.
    fn reach(&mut self, place: &Range<usize>) -> usize {
        if self.end < place.end {
            // What begins a comment may have been made of what was replaced.
            self.pass(place.start.max(place.end.saturating_sub(REACH)), place.end);
        }
        let passed = self.looks.partition_point(|(end, _)| *end < place.end);
        let before = self.looks.get(passed).map_or(self.words, |(_, words)| *words);
        while self.end < self.text.len()
            && (self.end < place.end + REACH || self.words - before.max(self.words_commented) < WORDS)
        {
            let next = if self.end < place.end + REACH { place.end + REACH } else { self.end + REACH };
            self.pass(self.end, self.text.len().min(next));
            if std::mem::take(&mut self.inside) {
                self.end = self.end_of_comment();
                self.words_commented = self.words;
            }
        }
        self.end + memchr::memchr(b'\n', cut(self.text, self.end, self.end + MAX_LINE)).unwrap_or(0)
    }

    fn pass(&mut self, start: usize, end: usize) {
        let seen = Survey::of(cut(self.text, start.saturating_sub(1), end));
        self.inside = seen.ends_in_comment() || self.inside && seen.last_closed.is_none();
        self.words += seen.words;
        self.end = end;
        self.looks.push((end, self.words));
    }

    /// The end of the comment that goes on at `end`, if it is not far.
    fn end_of_comment(&mut self) -> usize {
        let start = self.endless.max(self.end).saturating_sub(1);
        let far = self.end + MAX_COMMENT;
        match Survey::of(cut(self.text, start, far)).first_closed {
            Some(closed) => start + closed + 1,
            None => {
                self.endless = far;
                self.end
            }
        }
    }
}

/// What a first look at a text tells of it.
#[derive(Default)]
struct Survey {
    /// How many words begin otherwise than the one before.
    words: usize,
    /// The places of the second byte of the first and the last `/*`, and of `*/`.
    first_opened: Option<usize>,
    last_opened: Option<usize>,
    first_closed: Option<usize>,
    last_closed: Option<usize>,
}

impl Survey {
    #[inline(never)]
    fn of(text: &[u8]) -> Self {
        let mut seen = Self::default();
        let (mut letters, mut stars, mut slashes, mut before) = (0, 0, 0, 0);
        for (block, bytes) in text.chunks(64).enumerate() {
            look(bytes.len() / 8);
            let star = bits(bytes, |byte| byte == b'*');
            let slash = bits(bytes, |byte| byte == b'/');
            let letter = bits(bytes, |byte| byte.is_ascii_alphanumeric());
            let opened = star & behind(slash, &mut slashes);
            // The star of `/*/` ends nothing.
            let closed = slash & behind(star & !opened, &mut stars);
            let first = |marks: u64| (marks != 0).then(|| block * 64 + marks.trailing_zeros() as usize);
            let last = |marks: u64| marks.checked_ilog2().map(|bit| block * 64 + bit as usize);
            seen.first_opened = seen.first_opened.or_else(|| first(opened));
            seen.first_closed = seen.first_closed.or_else(|| first(closed));
            seen.last_opened = last(opened).or(seen.last_opened);
            seen.last_closed = last(closed).or(seen.last_closed);
            let mut begin = letter & !behind(letter, &mut letters);
            while begin != 0 {
                let letter = at(bytes, begin.trailing_zeros() as usize);
                seen.words += usize::from(letter != before);
                before = letter;
                begin &= begin - 1;
            }
        }
        seen
    }

    /// The first end of a comment has no beginning before it.
    fn begins_in_comment(&self) -> bool {
        self.first_closed.is_some_and(|closed| self.first_opened.is_none_or(|opened| closed < opened))
    }

    /// The last beginning of a comment has no end behind it.
    fn ends_in_comment(&self) -> bool {
        self.last_opened > self.last_closed
    }
}

/// A bit for each byte behind one that has a bit in `marks`; `last` is whether the byte before the block has.
fn behind(marks: u64, last: &mut u64) -> u64 {
    let behind = marks << 1 | *last;
    *last = marks >> 63;
    behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    /// The edits that make `now` of `was`, pair by pair.
    fn edits(pairs: &[(Range<usize>, Range<usize>)]) -> Edits {
        let mut edits = Edits::default();
        pairs.iter().for_each(|(was, now)| edits.note(was.clone(), now.clone()));
        edits
    }

    #[test]
    fn places_move_by_what_was_left_out_before_them() {
        let edits = edits(&[(10_000..13_000, 10_000..10_500), (20_000..20_006, 17_500..17_501)]);
        let mut places = vec![100..101, 6000..6001, 17_000..17_003, 30_000..30_001];
        edits.carry(&mut places);
        assert_eq!(places, [100..101, 6000..6001, 10_000..10_500, 14_500..14_503, 17_500..17_501, 27_495..27_496]);
    }

    #[test]
    fn a_place_within_what_was_replaced_becomes_all_that_came_of_it() {
        let edits = edits(&[(5000..5006, 5000..5001)]);
        let came = 5000..5001;
        for place in [5000..5002, 5003..5004] {
            let mut places = vec![place];
            edits.carry(&mut places);
            assert_eq!(places, slice::from_ref(&came));
        }
        let mut places = vec![4000..5003, 9000..9001];
        edits.carry(&mut places);
        assert_eq!(places, [4000..5001, 8995..8996]);
    }

    #[test]
    fn edits_that_lie_near_together_are_one_however_many_there_are() {
        let mut edits = Edits::default();
        (0..100_000).for_each(|i| edits.note(i * 6..i * 6 + 6, i..i + 1));
        assert_eq!(edits.0.len(), 1);
        let mut places = Vec::new();
        edits.carry(&mut places);
        let all = 0..100_000;
        assert_eq!(places, slice::from_ref(&all));
    }

    #[test]
    fn what_is_read_again_begins_and_ends_with_lines_near_by() {
        let text = "a line of a text that has a number of words\n".repeat(1000).into_bytes();
        let regions = around(&text, &[20_000..20_001, 20_300..20_301, 40_000..40_001]);
        assert_eq!(regions.len(), 2);
        for (region, place) in regions.iter().zip([20_000, 40_000]) {
            assert!(region.start + REACH <= place && place + REACH <= region.end, "{region:?}");
            assert!(region.len() < 3 * REACH, "{region:?}");
            assert!(text[region.start - 1] == b'\n' && text[region.end] == b'\n', "{region:?}");
        }
    }

    #[test]
    fn tells_where_comments_begin_and_end() {
        for (text, begins_inside, ends_inside) in [
            ("a b", false, false),
            ("a /* b", false, true),
            ("a */ b", true, false),
            ("/* a */ b", false, false),
            ("a */ b /* c", true, true),
            ("/*/ a", false, true),
            ("/**/ a", false, false),
        ] {
            for ahead in 0..70 {
                let text = " ".repeat(ahead) + text;
                let seen = Survey::of(text.as_bytes());
                assert_eq!(
                    (seen.begins_in_comment(), seen.ends_in_comment()),
                    (begins_inside, ends_inside),
                    "{text:?}"
                );
            }
        }
        assert_eq!(Survey::of(b"not not not a (b) 'c3' and aaaa").words, 5);
    }

    #[test]
    fn what_is_read_again_is_found_in_a_bounded_number_of_looks_a_byte() {
        for piece in ["/", "*", "/*", "*/", "/* a ", "a", "a b c d ", " ", "\n", "/*/"] {
            let text = piece.repeat(200_000 / piece.len()).into_bytes();
            let places: Vec<Range<usize>> = (0..195_000).step_by(2100).map(|start| start..start + 1).collect();
            let before = super::super::work::looks();
            around(&text, &places);
            let looks = super::super::work::looks() - before;
            assert!(looks <= 4 * text.len(), "{piece:?}: {looks}");
        }
    }

    #[test]
    fn nothing_is_read_twice_and_nothing_past_the_end() {
        for text in [vec![b' '; 9000], b"word ".repeat(1800), vec![b'\n'; 9000]] {
            let places: Vec<Range<usize>> = (0..9000).step_by(700).map(|start| start..start + 3).collect();
            let regions = around(&text, &places);
            assert!(regions.windows(2).all(|two| two[0].end < two[1].start), "{regions:?}");
            assert!(regions.last().is_some_and(|last| last.end == text.len()));
        }
    }
}
