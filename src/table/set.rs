//! A set: the counters that share one stored value, so that one compare-and-set covers finding and making room.
//!
//! Encoded: format `u8`, spill mark `u64`, then per counter its tag `u64`, length `u16` and bytes.

use super::bytes::Reader;
use super::counter::Counter;
use super::limiter::Rates;

/// Counters for keys of their own in one set. Eight keep a table that is half full from overflowing (one set in 50)
/// while a set in use by one or two keys stays as small as these.
pub(super) const WAYS: usize = 8;

const FORMAT: u8 = 1;

#[derive(Debug, Default)]
pub(super) struct Set<'a> {
    /// Until this time of the clock, keys of this set may have counts in the overflow table.
    pub(super) spilled_until: u64,
    entries: Vec<(u64, Counter<'a>)>,
}

/// Where a key's counts are, or may go, in its own set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It has a counter, or may have a new one at once.
    Own,
    /// It has a counter that must first take over what the overflow table knows.
    Joining,
    /// There is room, but the overflow table may know the key.
    AfterSpill,
    /// Every counter is another key's and alive.
    Full,
}

impl<'a> Set<'a> {
    /// What [`Set::encode`] wrote. Foreign or damaged bytes read as far as they make sense; the rest is empty.
    pub(super) fn decode(bytes: &'a [u8]) -> Self {
        let mut reader = Reader::new(bytes);
        let (Some(FORMAT), Some(spilled_until)) = (reader.u8(), reader.u64()) else {
            return Self::default();
        };
        let entries = std::iter::from_fn(|| {
            let (tag, length) = (reader.u64()?, reader.u16()?);
            let counter = Counter::decode(reader.take(usize::from(length))?)?;
            Some((tag, counter))
        });
        Self { spilled_until, entries: entries.collect() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(FORMAT);
        out.extend_from_slice(&self.spilled_until.to_le_bytes());
        for (tag, counter) in &self.entries {
            out.extend_from_slice(&tag.to_le_bytes());
            let length_at = out.len();
            out.extend_from_slice(&[0; 2]);
            counter.encode(&mut out);
            // A counter is at most 1.1 KB: two windows of 50 buckets and 16 pending charges.
            let length = u16::try_from(out.len() - length_at - 2).unwrap_or(0);
            if let Some(place) = out.get_mut(length_at..length_at + 2) {
                place.copy_from_slice(&length.to_le_bytes());
            }
        }
        out
    }

    /// Where the key `tag` belongs at `now`.
    pub(super) fn room_for(&self, tag: u64, rates: &Rates, now: u64) -> Room {
        match self.find(tag, rates) {
            Some(counter) if counter.joining => Room::Joining,
            Some(_) => Room::Own,
            None if self.living(now) >= WAYS => Room::Full,
            None if self.spilled_until > now => Room::AfterSpill,
            None => Room::Own,
        }
    }

    pub(super) fn find(&self, tag: u64, rates: &Rates) -> Option<&Counter<'a>> {
        self.entries.iter().find(|(held, counter)| *held == tag && counter.is_for(rates)).map(|(_, counter)| counter)
    }

    pub(super) fn find_mut(&mut self, tag: u64) -> Option<&mut Counter<'a>> {
        self.entries.iter_mut().find(|(held, _)| *held == tag).map(|(_, counter)| counter)
    }

    /// Takes out the counter of the key `tag`, a new one where it has none: the caller knows that it may, and puts it back.
    pub(super) fn take_own(&mut self, tag: u64, rates: &Rates, now: u64) -> Counter<'a> {
        self.take(tag, rates).unwrap_or_else(|| {
            self.make_room(now);
            Counter::new(rates, now)
        })
    }

    /// Takes out the counter that keys of the group `tag` share, or one that takes any group (`rest_tag`) where the set
    /// has no room, with its tag; the caller puts it back. A group that gets its own begins with the counts of the rest,
    /// for its own are among them.
    pub(super) fn take_group(&mut self, tag: u64, rest_tag: u64, rates: &Rates, now: u64) -> (u64, Counter<'a>) {
        if let Some(counter) = self.take(tag, rates) {
            return (tag, counter);
        }
        self.make_room(now);
        if self.living(now) >= WAYS {
            let mut counter = self.take(rest_tag, rates).unwrap_or_else(|| Counter::new(rates, now));
            counter.rest = true;
            return (rest_tag, counter);
        }
        let rest = self.find(rest_tag, rates);
        (tag, rest.map_or_else(|| Counter::new(rates, now), Counter::handed_on))
    }

    /// Sets the time of every counter right whose clock was set back, so that it can end. Whether there was any.
    pub(super) fn follow_clock(&mut self, now: u64) -> bool {
        self.entries.iter_mut().fold(false, |any, (_, counter)| counter.follow_clock(now) | any)
    }

    /// Puts a counter in, in place of any of the same tag.
    pub(super) fn put(&mut self, tag: u64, counter: Counter<'a>) {
        self.remove(tag);
        self.entries.push((tag, counter));
    }

    pub(super) fn remove(&mut self, tag: u64) {
        self.entries.retain(|(held, _)| *held != tag);
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Counter<'a>> {
        self.entries.iter_mut().map(|(_, counter)| counter)
    }

    fn take(&mut self, tag: u64, rates: &Rates) -> Option<Counter<'a>> {
        let at = self.entries.iter().position(|(held, counter)| *held == tag && counter.is_for(rates))?;
        Some(self.entries.swap_remove(at).1)
    }

    fn make_room(&mut self, now: u64) {
        self.entries.retain(|(_, counter)| !counter.is_over(now));
    }

    /// Counters of one key or group that still count.
    pub(super) fn living(&self, now: u64) -> usize {
        self.entries.iter().filter(|(_, counter)| !counter.rest && !counter.is_over(now)).count()
    }
}
