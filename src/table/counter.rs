//! The counter of one key: its windows, its own time, and the charges that may still be taken back.
//!
//! # The counter's time
//!
//! Admissions are counted in the counter's time, which never runs backwards. It is the clock plus `ahead`, a span that
//! begins as zero:
//!
//! - A clock behind the newest time seen by less than the longest window (at least [`SMALL_LAG`]) belongs to a worker
//!   that read it a moment ago: the newest time stands.
//! - A clock further behind was set back, or the newest time came from a clock that had jumped ahead. Taking the
//!   newest time would lock an exhausted key until the clock caught up; starting anew would hand out the limit again.
//!   So `ahead` grows by the difference: no time passed for the counter, every admission keeps its age, and time goes
//!   on from here as the clock does.
//!
//! The counter's time thus passes only as some clock passes; both bounds of `window` hold in it exactly, and a key
//! that was exhausted when the clock jumped is free again at most two windows after the clock is right again.
//!
//! # Pending charges
//!
//! A charge of a decision that spans several counters is counted at once, so that bound (a) holds whatever happens
//! next, and listed as pending, so that no refusal rests on it before its decision is final (bound (b)). See `limiter`.

use super::bytes::Reader;
use super::limiter::Rates;
use super::rate::Rate;
use super::window::{Window, expiry};

/// A lag that is never taken for a clock that was set back.
const SMALL_LAG: u64 = 10_000_000_000;

/// A worker that has not finished its decision after this long is dead; its charge stands.
const PENDING_FOR: u64 = 1_000_000_000;

/// Pending charges of this many workers at once; then a decision asks whether the oldest are final.
const MAX_PENDING: usize = 16;

const JOINING: u8 = 1;
const SHARED: u8 = 2;
const REST: u8 = 4;
const AHEAD: u8 = 8;

/// A charge whose decision may still be abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The worker that decides.
    pub(super) worker: u32,
    /// The worker's own count of its decisions.
    pub(super) sequence: u64,
    pub(super) cost: u32,
    /// The counter's time of the charge.
    pub(super) time: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counter<'a> {
    /// Created while charges for this key may be under way elsewhere: not to be used before these are known.
    pub(super) joining: bool,
    /// Began with counts of other keys, and some still count.
    pub(super) shared: bool,
    /// Takes the keys for which its set has no room.
    pub(super) rest: bool,
    newest: u64,
    ahead: u64,
    windows: [Option<Window<'a>>; 2],
    pub(super) pending: Vec<Pending>,
}

impl<'a> Counter<'a> {
    /// Without admissions.
    pub(super) fn new(rates: &Rates, now: u64) -> Self {
        let window = |rate: Rate| Window::empty(rate.window_seconds(), now);
        let windows = [Some(window(rates.sustained)), rates.burst.map(window)];
        Self { newest: now, windows, ..Self::default() }
    }

    /// A counter for one of the keys that share this one.
    pub(super) fn handed_on(&self) -> Self {
        let shared = self.windows().any(|window| window.total() > 0);
        Self { joining: false, rest: false, shared, ..self.clone() }
    }

    /// What [`Counter::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (flags, windows, pending) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let newest = reader.u64()?;
        let ahead = if flags & AHEAD == 0 { 0 } else { reader.u64()? };
        let first = Window::decode(&mut reader, newest)?;
        let second = if windows < 2 { None } else { Some(Window::decode(&mut reader, newest)?) };
        let windows = [Some(first), second];
        let pending = (0..pending).map(|_| Pending::decode(&mut reader)).collect::<Option<_>>()?;
        let has = |flag| flags & flag != 0;
        Some(Self { joining: has(JOINING), shared: has(SHARED), rest: has(REST), newest, ahead, windows, pending })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        out.push(
            flag(self.joining, JOINING)
                | flag(self.shared, SHARED)
                | flag(self.rest, REST)
                | flag(self.ahead > 0, AHEAD),
        );
        out.push(if self.windows().count() < 2 { 1 } else { 2 });
        let pending = self.pending.iter().take(usize::from(u8::MAX));
        out.push(u8::try_from(pending.len()).unwrap_or(0));
        out.extend_from_slice(&self.newest.to_le_bytes());
        if self.ahead > 0 {
            out.extend_from_slice(&self.ahead.to_le_bytes());
        }
        self.windows().for_each(|window| window.encode(out));
        pending.for_each(|pending| pending.encode(out));
    }

    /// Whether its sustained window is that of `rates`.
    pub(super) fn is_for(&self, rates: &Rates) -> bool {
        self.windows().next().is_some_and(|window| window.seconds() == rates.sustained.window_seconds())
    }

    /// With the burst window of `rates` in place of another one or none. A new one knows of the charges that may still be
    /// taken back, and of nothing else.
    pub(super) fn with_burst_of(mut self, rates: &Rates) -> Self {
        let wanted = rates.burst.map(|rate| rate.window_seconds());
        if self.windows().nth(1).map(Window::seconds) != wanted {
            let [_, burst] = &mut self.windows;
            *burst = wanted.map(|seconds| window_of(&self.pending, seconds, self.newest));
        }
        self
    }

    /// Whether nothing counts any more at `now`, so that its room may be given away.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let time = now.saturating_add(self.ahead);
        self.windows().all(|window| expiry(self.newest, window.seconds()) <= time)
    }

    /// Moves on to the clock's `now` by the rule above.
    pub(super) fn advance(&mut self, now: u64) {
        self.follow_clock(now);
        self.newest = self.newest.max(now.saturating_add(self.ahead));
        self.windows.iter_mut().flatten().for_each(|window| window.advance(self.newest));
        let counts = self.windows().any(|window| window.total() > 0);
        self.shared &= counts;
    }

    /// Stays where it is in time where the clock was set back. Whether it was.
    pub(super) fn follow_clock(&mut self, now: u64) -> bool {
        let longest = self.windows().map(|window| u64::from(window.seconds()) * 1_000_000_000).max().unwrap_or(0);
        let lag = self.newest.saturating_sub(now.saturating_add(self.ahead));
        let set_back = lag >= longest.max(SMALL_LAG);
        if set_back {
            self.ahead = self.ahead.saturating_add(lag);
        }
        set_back
    }

    /// The counter's time: the newest it was advanced to.
    pub(super) fn time(&self) -> u64 {
        self.newest
    }

    /// How long after the clock's `now` the counter's time reaches `time`.
    pub(super) fn wait(&self, time: u64, now: u64) -> u64 {
        time.saturating_sub(now.saturating_add(self.ahead))
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = &Window<'a>> {
        self.windows.iter().flatten()
    }

    /// Counts `cost` permits in every window.
    pub(super) fn charge(&mut self, cost: u32) {
        self.windows.iter_mut().flatten().for_each(|window| window.charge(cost));
    }

    /// Takes back `cost` permits that were charged when the clock said `then`.
    pub(super) fn refund(&mut self, cost: u32, then: u64) {
        let time = then.saturating_add(self.ahead);
        self.windows.iter_mut().flatten().for_each(|window| window.uncharge(cost, time));
    }

    /// Forgets the pending charges that are certain to stand.
    pub(super) fn prune(&mut self, is_final: impl Fn(&Pending) -> bool) {
        let time = self.newest;
        self.pending.retain(|pending| pending.time.saturating_add(PENDING_FOR) > time && !is_final(pending));
    }

    /// Whether one more pending charge has room.
    pub(super) fn may_pend(&self) -> bool {
        self.pending.len() < MAX_PENDING
    }

    /// Takes back the pending charges of one decision. Whether there were any.
    pub(super) fn abandon(&mut self, worker: u32, sequence: u64) -> bool {
        let mut any = false;
        let windows = &mut self.windows;
        self.pending.retain(|pending| {
            let own = pending.worker == worker && pending.sequence == sequence;
            if own {
                windows.iter_mut().flatten().for_each(|window| window.uncharge(pending.cost, pending.time));
            }
            any |= own;
            !own
        });
        any
    }
}

/// The window that holds these charges, in the order of their times.
fn window_of<'a>(pending: &[Pending], seconds: u32, now: u64) -> Window<'a> {
    let mut window = Window::empty(seconds, pending.first().map_or(now, |first| first.time));
    for charge in pending {
        window.advance(charge.time);
        window.charge(charge.cost);
    }
    window.advance(now);
    window
}

impl Pending {
    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { worker: reader.u32()?, sequence: reader.u64()?, cost: reader.u32()?, time: reader.u64()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.worker.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.cost.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
    }
}
