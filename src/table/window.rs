//! One sliding window: admissions counted in fiftieths of the window.
//!
//! Time is cut into buckets of a fiftieth of the window, at whole multiples. At a time `t` in bucket `k` the count is
//! that of the buckets `k-50 ..= k`, all of it, so it covers an interval that ends at `t` and begins at the start of
//! bucket `k-50`: at least one window back, and less than 1.02 windows back. From this both bounds follow:
//!
//! - (a) An admission at `t` is granted only if the count with it stays within the limit. Of any interval as long as
//!   the window, take its last admission, at `t`: all others in the interval were counted then. So no interval of one
//!   window, ends included, holds more than the limit.
//! - (b) A refusal of `n` permits means that the count, which is that of the last 1.02 windows, was above `limit - n`.
//!
//! Windows are whole seconds, so a fiftieth is a whole number of nanoseconds and nothing is rounded.

use super::bytes::{Reader, varint};
use std::borrow::Cow;

/// Buckets that make up one window; one more is counted.
const BUCKETS: u64 = 50;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The width of a bucket in nanoseconds.
pub(super) const fn bucket_width(seconds: u32) -> u64 {
    match seconds as u64 * (NANOS_PER_SECOND / BUCKETS) {
        0 => 1,
        width => width,
    }
}

/// When an admission at `time` no longer counts.
pub(super) const fn expiry(time: u64, seconds: u32) -> u64 {
    let width = bucket_width(seconds);
    (time / width).saturating_add(BUCKETS + 1).saturating_mul(width)
}

/// The counts of one window. Encoded: seconds `u32`, newest bucket's count `u32`, total `u32`, length of the rest
/// `u16`, then per older bucket that holds any its number modulo 256 and its count as a varint, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    seconds: u32,
    newest: u64,
    newest_count: u32,
    total: u32,
    older: Cow<'a, [u8]>,
}

impl<'a> Window<'a> {
    /// Without admissions, at `time`.
    pub(super) fn empty(seconds: u32, time: u64) -> Self {
        let newest = time / bucket_width(seconds);
        Self { seconds, newest, newest_count: 0, total: 0, older: Cow::Borrowed(&[]) }
    }

    /// What [`Window::encode`] wrote when the counter's time was `time`; `None` where the bytes end early.
    pub(super) fn decode(reader: &mut Reader<'a>, time: u64) -> Option<Self> {
        let seconds = reader.u32()?;
        let newest_count = reader.u32()?;
        let total = reader.u32()?.max(newest_count);
        let length = reader.u16()?;
        let older = Cow::Borrowed(reader.take(usize::from(length))?);
        Some(Self { seconds, newest: time / bucket_width(seconds), newest_count, total, older })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seconds.to_le_bytes());
        out.extend_from_slice(&self.newest_count.to_le_bytes());
        out.extend_from_slice(&self.total.to_le_bytes());
        let length = u16::try_from(self.older.len()).unwrap_or(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(self.older.get(..usize::from(length)).unwrap_or(&[]));
    }

    pub(super) fn seconds(&self) -> u32 {
        self.seconds
    }

    /// Permits that count now.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Moves on to `time`, which never runs backwards, and forgets what no longer counts.
    pub(super) fn advance(&mut self, time: u64) {
        let bucket = time / bucket_width(self.seconds);
        if bucket.saturating_sub(self.newest) > BUCKETS {
            *self = Self::empty(self.seconds, time);
            return;
        }
        if bucket > self.newest {
            self.close_newest();
            self.newest = bucket;
        }
        while let Some((age, count, length)) = self.oldest() {
            if age <= BUCKETS {
                break;
            }
            self.total = self.total.saturating_sub(count);
            self.forget_oldest(length);
        }
        if self.older.is_empty() {
            self.total = self.newest_count;
        }
    }

    /// Counts `cost` permits at the time it was advanced to.
    pub(super) fn charge(&mut self, cost: u32) {
        self.newest_count = self.newest_count.saturating_add(cost);
        self.total = self.total.saturating_add(cost);
    }

    /// Takes back `cost` permits charged at `time`, as far as they still count.
    pub(super) fn uncharge(&mut self, cost: u32, time: u64) {
        let bucket = time / bucket_width(self.seconds);
        if bucket >= self.newest {
            let back = cost.min(self.newest_count);
            self.newest_count -= back;
            self.total = self.total.saturating_sub(back);
            return;
        }
        let mut rewritten = Vec::with_capacity(self.older.len());
        let mut returned = 0;
        for (number, age, count) in self.older_buckets() {
            let back = if self.newest - bucket == age { cost.min(count) } else { 0 };
            returned = u32::saturating_add(returned, back);
            if count > back {
                rewritten.push(number);
                varint(count - back, &mut rewritten);
            }
        }
        self.total = self.total.saturating_sub(returned);
        self.older = Cow::Owned(rewritten);
    }

    /// When `cost` more permits fit within `limit` if nobody else takes any; `None` where they never do.
    pub(super) fn fits_at(&self, cost: u32, limit: u32) -> Option<u64> {
        let most = limit.checked_sub(cost)?;
        let mut left = self.total;
        let mut last = None;
        for (_, age, count) in self.older_buckets() {
            if left <= most {
                break;
            }
            left = left.saturating_sub(count);
            last = Some(self.newest.saturating_sub(age));
        }
        if left > most {
            last = Some(self.newest);
        }
        Some(last.map_or(0, |bucket| self.end_of(bucket)))
    }

    /// When everything that counts now will be forgotten; 0 where nothing counts.
    pub(super) fn clear_at(&self) -> u64 {
        if self.newest_count > 0 {
            return self.end_of(self.newest);
        }
        let last = self.older_buckets().last();
        last.map_or(0, |(_, age, _)| self.end_of(self.newest.saturating_sub(age)))
    }

    fn end_of(&self, bucket: u64) -> u64 {
        bucket.saturating_add(BUCKETS + 1).saturating_mul(bucket_width(self.seconds))
    }

    fn older_buckets(&self) -> Older<'_> {
        Older { rest: &self.older, newest: self.newest }
    }

    fn close_newest(&mut self) {
        if self.newest_count == 0 {
            return;
        }
        let older = self.older.to_mut();
        older.push(self.newest as u8);
        varint(self.newest_count, older);
        self.newest_count = 0;
    }

    /// Age in buckets, count and encoded length of the oldest of the older buckets.
    fn oldest(&self) -> Option<(u64, u32, usize)> {
        let mut older = self.older_buckets();
        let (_, age, count) = older.next()?;
        Some((age, count, self.older.len() - older.rest.len()))
    }

    fn forget_oldest(&mut self, length: usize) {
        match &mut self.older {
            Cow::Borrowed(bytes) => *bytes = bytes.get(length..).unwrap_or(&[]),
            Cow::Owned(bytes) => drop(bytes.drain(..length.min(bytes.len()))),
        }
    }
}

/// The older buckets as (number modulo 256, age, count), oldest first. Ages are below 256: see [`Window::advance`].
struct Older<'a> {
    rest: &'a [u8],
    newest: u64,
}

impl Iterator for Older<'_> {
    type Item = (u8, u64, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.rest);
        let number = reader.u8()?;
        let count = reader.varint()?;
        self.rest = reader.rest();
        Some((number, u64::from((self.newest as u8).wrapping_sub(number)), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = NANOS_PER_SECOND;

    fn reread(window: &Window<'_>, time: u64) -> Window<'static> {
        let mut bytes = Vec::new();
        window.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = Window::decode(&mut reader, time).unwrap();
        Window { older: Cow::Owned(read.older.into_owned()), ..read }
    }

    #[test]
    fn counts_a_permit_for_one_window_and_at_most_a_fiftieth_more() {
        for start in [0, 1, SECOND / 50 - 1, 7 * SECOND + 13] {
            let mut window = Window::empty(1, start);
            window.charge(3);
            assert_eq!(window.clear_at(), expiry(start, 1));
            let mut still = window.clone();
            still.advance(start + SECOND);
            assert_eq!(still.total(), 3, "{start}");
            window.advance(start + SECOND + SECOND / 50);
            assert_eq!(window.total(), 0, "{start}");
        }
    }

    #[test]
    fn bytes_that_are_no_window_do_no_harm() {
        let mut bytes = 1u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[9, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0xff, 0xff, 0xff]);
        let mut window = Window::decode(&mut Reader::new(&bytes), 5 * SECOND).unwrap();
        window.advance(6 * SECOND);
        window.uncharge(9, 5 * SECOND);
        assert!(window.fits_at(1, 1).is_some());
        assert!(Window::decode(&mut Reader::new(&bytes[..12]), 0).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Naive oracle: a list of (bucket, count).
        #[test]
        fn agrees_with_a_plain_list_of_buckets(
            start in 0u64..400 * SECOND,
            steps in proptest::collection::vec((0u64..SECOND / 8, 0u32..400, any::<bool>(), any::<prop::sample::Index>()), 1..120),
        ) {
            let width = bucket_width(1);
            let mut time = start;
            let mut window = Window::empty(1, time);
            let mut list: Vec<(u64, u32)> = Vec::new();
            for (step, cost, back, which) in steps {
                window = reread(&window, time);
                time += step;
                window.advance(time);
                list.retain(|(bucket, _)| bucket + 50 >= time / width);
                if back && !list.is_empty() {
                    let entry = which.index(list.len());
                    let returned = cost.min(list[entry].1);
                    window.uncharge(cost, list[entry].0 * width);
                    list[entry].1 -= returned;
                    list.retain(|(_, count)| *count > 0);
                } else if cost > 0 {
                    window.charge(cost);
                    match list.last_mut() {
                        Some((bucket, count)) if *bucket == time / width => *count += cost,
                        _ => list.push((time / width, cost)),
                    }
                }
                let total: u32 = list.iter().map(|(_, count)| count).sum();
                prop_assert_eq!(window.total(), total);
                prop_assert_eq!(window.clear_at(), list.last().map_or(0, |(bucket, _)| (bucket + 51) * width));
                // The promised moment is the first at which the permits fit.
                let limit = total.max(2) - 1;
                let at = window.fits_at(1, limit).unwrap();
                if total < limit {
                    prop_assert_eq!(at, 0);
                } else {
                    let (mut then, mut before) = (window.clone(), window.clone());
                    then.advance(at);
                    before.advance(at - 1);
                    prop_assert!(then.total() < limit && before.total() >= limit);
                }
            }
        }
    }
}
