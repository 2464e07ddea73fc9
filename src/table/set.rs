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

/// What is stored of a counter is decoded when it is asked for: a decision is about one, and a set holds several.
#[derive(Debug, Default)]
pub(super) struct Set<'a> {
    /// Until this time of the clock, keys of this set may have counts in the overflow table.
    pub(super) spilled_until: u64,
    stored: Vec<(u64, &'a [u8])>,
    open: Vec<(u64, Counter<'a>)>,
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
            Some((tag, reader.take(usize::from(length))?))
        });
        Self { spilled_until, stored: entries.collect(), open: Vec::new() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let stored: usize = self.stored.iter().map(|(_, bytes)| bytes.len() + 10).sum();
        let mut out = Vec::with_capacity(stored + 9 + self.open.len() * 128);
        out.push(FORMAT);
        out.extend_from_slice(&self.spilled_until.to_le_bytes());
        for (tag, bytes) in &self.stored {
            out.extend_from_slice(&tag.to_le_bytes());
            // As long as it was when its length was read from two bytes.
            out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        for (tag, counter) in &self.open {
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

    /// The counter of the key `tag` with the sustained window of `rates`, and with their burst.
    pub(super) fn find(&self, tag: u64, rates: &Rates) -> Option<Counter<'a>> {
        let open = self.open.iter().filter(|(held, _)| *held == tag).map(|(_, counter)| counter.clone());
        let stored = self.stored.iter().filter(|(held, _)| *held == tag).filter_map(|(_, b)| Counter::decode(b));
        open.chain(stored).find(|counter| counter.is_for(rates)).map(|counter| counter.with_burst_of(rates))
    }

    pub(super) fn find_mut(&mut self, tag: u64) -> Option<&mut Counter<'a>> {
        if let Some(at) = self.stored.iter().position(|(held, _)| *held == tag) {
            let (_, bytes) = self.stored.swap_remove(at);
            self.open.extend(Counter::decode(bytes).map(|counter| (tag, counter)));
        }
        self.open.iter_mut().find(|(held, _)| *held == tag).map(|(_, counter)| counter)
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
        (tag, rest.map_or_else(|| Counter::new(rates, now), |rest| rest.handed_on()))
    }

    /// Sets the time of every counter right whose clock was set back, so that it can end. Whether there was any.
    pub(super) fn follow_clock(&mut self, now: u64) -> bool {
        self.counters_mut().fold(false, |any, counter| counter.follow_clock(now) | any)
    }

    /// Puts a counter in, in place of any of the same tag.
    pub(super) fn put(&mut self, tag: u64, counter: Counter<'a>) {
        self.remove(tag);
        self.open.push((tag, counter));
    }

    pub(super) fn remove(&mut self, tag: u64) {
        self.stored.retain(|(held, _)| *held != tag);
        self.open.retain(|(held, _)| *held != tag);
    }

    /// Every counter.
    pub(super) fn counters_mut(&mut self) -> impl Iterator<Item = &mut Counter<'a>> {
        self.open_all();
        self.open.iter_mut().map(|(_, counter)| counter)
    }

    fn open_all(&mut self) {
        let stored = std::mem::take(&mut self.stored).into_iter();
        self.open.extend(stored.filter_map(|(tag, bytes)| Some((tag, Counter::decode(bytes)?))));
    }

    fn take(&mut self, tag: u64, rates: &Rates) -> Option<Counter<'a>> {
        let open = self.open.iter().position(|(held, counter)| *held == tag && counter.is_for(rates));
        if let Some(at) = open {
            return Some(self.open.swap_remove(at).1.with_burst_of(rates));
        }
        let at = self.stored.iter().position(|(held, _)| *held == tag)?;
        let (_, bytes) = self.stored.get(at)?;
        let counter = Counter::decode(bytes).filter(|counter| counter.is_for(rates))?;
        self.stored.swap_remove(at);
        Some(counter.with_burst_of(rates))
    }

    fn make_room(&mut self, now: u64) {
        self.follow_clock(now);
        self.open.retain(|(_, counter)| !counter.is_over(now));
    }

    /// Counters of one key or group that still count.
    pub(super) fn living(&self, now: u64) -> usize {
        let lives = |counter: &Counter<'_>| !counter.rest && !counter.is_over(now);
        let stored = self.stored.iter().filter_map(|(_, bytes)| Counter::decode(bytes));
        stored.filter(|counter| lives(counter)).count() + self.open.iter().filter(|(_, c)| lives(c)).count()
    }
}
