//! What a decoding replaced in a text, so that the text which comes of it is read again only where it differs.

use super::bytes::{at, bits, cut, from};
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
    for place in places {
        let read = regions.last().map_or(0, |last| last.end);
        if place.end + MAX_COMMENT <= read {
            continue;
        }
        let start = if place.start <= read { read } else { reach_before(text, read, place.start) };
        join(&mut regions, start..reach_behind(text, place), 0);
    }
    regions
}

/// Where what is read before `end` begins: at a line, if it can, behind what has been `read` already.
fn reach_before(text: &[u8], read: usize, end: usize) -> usize {
    let (mut start, mut words) = (end, 0);
    while start > read && words < WORDS {
        let next = start.saturating_sub(REACH).max(read);
        words += words_in(cut(text, next, start));
        // What ends a comment may have been made of what was replaced.
        let part = cut(text, next, start + 1);
        start = next;
        let ends = first_pair(part, *b"*/");
        if ends.is_some_and(|ends| first_pair(cut(part, 0, ends), *b"/*").is_none()) {
            let before = cut(text, start.saturating_sub(MAX_COMMENT).max(read), start);
            (start, words) = (start - last_pair(before, *b"/*").map_or(0, |begins| before.len() - begins), 0);
        }
    }
    let before = cut(text, start.saturating_sub(MAX_LINE).max(read), start);
    start - memchr::memrchr(b'\n', before).map_or(0, |line| before.len() - line - 1)
}

/// Where what is read behind `place` ends.
fn reach_behind(text: &[u8], place: &Range<usize>) -> usize {
    let (mut end, mut words) = (place.end, 0);
    // What begins a comment may have been made of what was replaced.
    let mut unread = place.start.saturating_sub(1);
    while end < text.len() && words < WORDS {
        let next = text.len().min(end + REACH);
        words += words_in(cut(text, end, next));
        let part = cut(text, unread, next);
        end = next;
        let begins = last_pair(part, *b"/*");
        if begins.is_some_and(|begins| first_pair(from(part, begins + 2), *b"*/").is_none()) {
            let behind = cut(text, end, end + MAX_COMMENT);
            (end, words) = (end + first_pair(behind, *b"*/").map_or(0, |ends| ends + 2), 0);
        }
        unread = end.saturating_sub(1);
    }
    end + memchr::memchr(b'\n', cut(text, end, end + MAX_LINE)).unwrap_or(0)
}

/// The first place of two bytes in `text`.
fn first_pair(text: &[u8], [one, other]: [u8; 2]) -> Option<usize> {
    memchr::memchr_iter(one, text).find(|&place| text.get(place + 1) == Some(&other))
}

/// The last place.
fn last_pair(text: &[u8], [one, other]: [u8; 2]) -> Option<usize> {
    memchr::memrchr_iter(one, text).find(|&place| text.get(place + 1) == Some(&other))
}

/// How many words of `text` begin otherwise than the one before.
fn words_in(text: &[u8]) -> usize {
    let (mut words, mut inside, mut before) = (0, 0, 0);
    for block in text.chunks(64) {
        let letters = bits(block, |byte| byte.is_ascii_alphanumeric());
        let mut begin = letters & !(letters << 1 | inside);
        inside = letters >> 63;
        while begin != 0 {
            let first = at(block, begin.trailing_zeros() as usize);
            words += usize::from(first != before);
            before = first;
            begin &= begin - 1;
        }
    }
    words
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
    fn nothing_is_read_twice_and_nothing_past_the_end() {
        for text in [vec![b' '; 9000], b"word ".repeat(1800), vec![b'\n'; 9000]] {
            let places: Vec<Range<usize>> = (0..9000).step_by(700).map(|start| start..start + 3).collect();
            let regions = around(&text, &places);
            assert!(regions.windows(2).all(|two| two[0].end < two[1].start), "{regions:?}");
            assert!(regions.last().is_some_and(|last| last.end == text.len()));
        }
    }
}
