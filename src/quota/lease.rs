//! One lease: what is left of the hits that were taken for one key, how many to ask for next, and when.
//!
//! A lease ends with the service's window: with the reset that the service tells, or else one configured window after
//! its first grant. What is unused then is lost, at most [`Terms::most`] and a quarter more.
//!
//! Near the limit leases shrink, so that what is left reaches all proxies. A service that tells what is left is asked
//! for an eighth of it at most. One that does not is asked for half as much each time that it refuses, and a little more
//! each time that it does not; only the refusal of a single hit means that there is nothing left.

use std::time::Duration;

use super::message::{Answer, Standing};
use crate::time::Timestamp;

/// What is agreed for one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most hits of one lease, at least 1.
    pub most: u32,
    /// The limit's window.
    pub window: Duration,
    /// How long one question may take.
    pub timeout: Duration,
}

/// The state of one key's quota in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub(super) since: Timestamp,
    pub(super) expires: Timestamp,
    /// The service refused a single hit; it is asked again then.
    pub(super) exhausted: Option<Timestamp>,
    /// A question is on its way until then at the latest.
    pub(super) asked_until: Timestamp,
    pub(super) available: u32,
    /// How many hits to ask for next.
    pub(super) size: u32,
    /// What the service said was left when it was last asked.
    pub(super) remaining: Option<u32>,
}

/// What came of taking one hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken.
    Leased {
        /// Hits left in the whole fleet, as far as they are known.
        remaining: Option<u32>,
        /// Until the lease ends.
        reset_after: Duration,
        /// The lease runs low, and nobody has asked for more.
        low: bool,
    },
    /// The service said that there is nothing left.
    Exhausted {
        /// Until there is, as far as is known.
        retry_after: Duration,
        /// It is time to ask again all the same.
        ask: bool,
    },
    /// Nothing is known, or the lease is used up.
    Nothing,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A request waits.
    Wait,
    /// The lease runs low; nobody waits.
    Ahead,
}

/// Clocks of workers are read at slightly different moments; more than this means that the clock was set back.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// Services tell resets in whole seconds; more than this means another window.
const RESET_SLACK: Duration = Duration::from_secs(2);
/// A service that does not tell its reset is asked again after a fiftieth of the window, at least this long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

impl Lease {
    /// Whether anything of it still holds.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires && self.since <= now.after(CLOCK_SLACK)
    }

    /// Takes one hit.
    pub fn take(&mut self, now: Timestamp) -> Taken {
        if !self.is_alive(now) {
            return Taken::Nothing;
        }
        let reset_after = self.expires.since(now);
        if self.available > 0 {
            self.available -= 1;
            let remaining = self.remaining.map(|remaining| remaining.saturating_add(self.available));
            return Taken::Leased { remaining, reset_after, low: self.wants_more(now) };
        }
        match self.exhausted {
            Some(again) => Taken::Exhausted { retry_after: reset_after, ask: again <= now },
            None => Taken::Nothing,
        }
    }

    /// Puts back a hit that was not used after all.
    pub fn give_back(&mut self, now: Timestamp) {
        if self.is_alive(now) {
            self.available = self.available.saturating_add(1);
        }
    }

    /// How many hits to ask for now; notes that they are asked for. `None`: somebody else sees to it.
    pub fn ask(&mut self, terms: &Terms, why: Why, now: Timestamp) -> Option<u32> {
        if !self.is_alive(now) {
            *self = Self::fresh(terms, now);
        }
        if why == Why::Ahead && !self.wants_more(now) {
            return None;
        }
        let hits = match self.exhausted {
            Some(_) => 1,
            // Another worker has asked for the whole and was not yet answered.
            None if now < self.asked_until => self.size.div_ceil(8),
            None => self.size,
        };
        if self.exhausted.is_some() {
            self.exhausted = Some(now.after(pause(terms)));
        }
        self.asked_until = now.after(terms.timeout);
        Some(hits.max(1))
    }

    /// Takes note of the answer to a question for `hits`; `None`: there was none.
    pub fn settle(&mut self, terms: &Terms, hits: u32, answer: Option<Answer>, now: Timestamp) {
        if !self.is_alive(now) {
            *self = Self::fresh(terms, now);
        }
        self.asked_until = Timestamp::default();
        match answer {
            Some(Answer::Granted(standing)) => self.granted(terms, hits, standing, now),
            Some(Answer::OverLimit(standing)) => self.refused(terms, hits, standing, now),
            None => {}
        }
    }

    fn fresh(terms: &Terms, now: Timestamp) -> Self {
        Self { since: now, expires: now.after(terms.window), size: terms.most, ..Self::default() }
    }

    fn wants_more(&self, now: Timestamp) -> bool {
        let may_ask = self.exhausted.is_none_or(|again| again <= now);
        may_ask && self.available <= self.size / 4 && self.asked_until <= now
    }

    fn granted(&mut self, terms: &Terms, hits: u32, standing: Option<Standing>, now: Timestamp) {
        let told = standing.and_then(|standing| standing.reset).map(|reset| now.after(reset));
        // Who had nothing and now has something is in a new window.
        let ends = told.or(self.exhausted.map(|_| now.after(terms.window)));
        if let Some(ends) = ends {
            if ends > self.expires.after(RESET_SLACK) {
                self.available = 0;
                self.since = now;
            }
            self.expires = ends;
        }
        self.size = match standing {
            Some(standing) => standing.remaining / 8,
            None if self.exhausted.is_some() => terms.most,
            None => self.size.saturating_add(terms.most.div_ceil(16)),
        };
        self.size = self.size.clamp(1, terms.most);
        self.available = self.available.saturating_add(hits);
        self.remaining = standing.map(|standing| standing.remaining);
        self.exhausted = None;
    }

    fn refused(&mut self, terms: &Terms, hits: u32, standing: Option<Standing>, now: Timestamp) {
        let left = standing.map(|standing| standing.remaining);
        self.remaining = left;
        if hits > 1 && left != Some(0) {
            self.size = (hits / 2).min(left.unwrap_or(u32::MAX)).min(self.size).max(1);
            return;
        }
        let told = standing.and_then(|standing| standing.reset).map(|reset| now.after(reset));
        match (told, self.exhausted) {
            (Some(told), _) => self.expires = told,
            // A window that was exhausted then has ended by then, whenever it began.
            (None, None) => self.expires = now.after(terms.window),
            (None, Some(_)) => {}
        }
        self.exhausted = Some(told.unwrap_or(now.after(pause(terms))));
        self.size = 1;
    }
}

fn pause(terms: &Terms) -> Duration {
    (terms.window / 50).max(SHORTEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { most: 100, window: Duration::from_secs(60), timeout: Duration::from_millis(20) };
    const GRANTED: Option<Answer> = Some(Answer::Granted(None));
    const OVER: Option<Answer> = Some(Answer::OverLimit(None));

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_000_000 + millis)
    }

    fn told(remaining: u32, reset: u64) -> Option<Standing> {
        Some(Standing { remaining, reset: Some(Duration::from_secs(reset)) })
    }

    fn low(taken: Taken) -> Option<bool> {
        match taken {
            Taken::Leased { low, .. } => Some(low),
            _ => None,
        }
    }

    #[test]
    fn a_lease_is_used_up_and_asks_for_more_before_it_is() {
        let mut lease = Lease::default();
        assert_eq!(lease.take(at(0)), Taken::Nothing);
        assert_eq!(lease.ask(&TERMS, Why::Wait, at(0)), Some(100));
        lease.settle(&TERMS, 100, GRANTED, at(1));
        let taken: Vec<bool> = (0..100).map_while(|n| low(lease.take(at(1 + n)))).collect();
        assert_eq!((taken.len(), taken.iter().position(|low| *low)), (100, Some(74)), "a quarter is left at the 75th");
        assert_eq!(lease.take(at(101)), Taken::Nothing);
    }

    #[test]
    fn only_one_asks_ahead_and_who_must_wait_meanwhile_asks_for_little() {
        let mut lease = Lease::default();
        assert_eq!(lease.ask(&TERMS, Why::Ahead, at(0)), Some(100));
        assert_eq!(lease.ask(&TERMS, Why::Ahead, at(1)), None);
        assert_eq!(lease.ask(&TERMS, Why::Wait, at(1)), Some(13));
        assert_eq!(lease.ask(&TERMS, Why::Ahead, at(30)), Some(100), "the first question was never answered");
    }

    #[test]
    fn what_is_unused_ends_with_the_window() {
        for (standing, ends) in [(None, 60_000), (told(9_000, 7), 7_000)] {
            let mut lease = Lease::default();
            lease.ask(&TERMS, Why::Wait, at(0));
            lease.settle(&TERMS, 100, Some(Answer::Granted(standing)), at(0));
            let mut earlier = lease;
            assert!(low(earlier.take(at(ends - 1))).is_some());
            assert_eq!(lease.take(at(ends)), Taken::Nothing);
        }
    }

    #[test]
    fn a_lease_of_the_last_window_is_not_carried_into_the_next() {
        let mut lease = Lease::default();
        lease.ask(&TERMS, Why::Wait, at(0));
        lease.settle(&TERMS, 100, Some(Answer::Granted(told(900, 3))), at(0));
        lease.settle(&TERMS, 10, Some(Answer::Granted(told(990, 60))), at(2_900));
        assert_eq!(lease.available, 10);
    }

    #[test]
    fn a_refusal_halves_the_next_question_until_a_single_hit_is_refused() {
        let mut lease = Lease::default();
        let mut asked = Vec::new();
        while let Some(hits) = lease.ask(&TERMS, Why::Ahead, at(0)) {
            asked.push(hits);
            lease.settle(&TERMS, hits, OVER, at(0));
        }
        assert_eq!(asked, [100, 50, 25, 12, 6, 3, 1]);
        let retry_after = Duration::from_secs(60);
        assert_eq!(lease.take(at(0)), Taken::Exhausted { retry_after, ask: false });
        let retry_after = Duration::from_millis(58_800);
        assert_eq!(
            lease.take(at(1_200)),
            Taken::Exhausted { retry_after, ask: true },
            "a fiftieth of the window later"
        );
        assert_eq!(lease.ask(&TERMS, Why::Wait, at(1_200)), Some(1));
        assert_eq!(lease.take(at(1_200)), Taken::Exhausted { retry_after, ask: false }, "one asks for all");
        lease.settle(&TERMS, 1, GRANTED, at(1_201));
        assert_eq!((lease.available, lease.size), (1, 100), "the window has begun anew");
    }

    #[test]
    fn a_service_that_tells_what_is_left_is_asked_for_less_of_less() {
        let mut lease = Lease::default();
        lease.ask(&TERMS, Why::Wait, at(0));
        for (left, next) in [(5_000, 100), (400, 50), (16, 2), (0, 1)] {
            lease.settle(&TERMS, 10, Some(Answer::Granted(told(left, 30))), at(0));
            assert_eq!(lease.size, next, "{left}");
        }
        lease.available = 0;
        lease.settle(&TERMS, 1, Some(Answer::OverLimit(told(0, 30))), at(0));
        let retry_after = Duration::from_secs(30);
        assert_eq!(lease.take(at(0)), Taken::Exhausted { retry_after, ask: false });
        assert_eq!(lease.take(at(30_000)), Taken::Nothing, "then it is asked anew");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_a_refusal_longer() {
        let mut lease = Lease::default();
        lease.settle(&TERMS, 1, OVER, at(3_600_000));
        assert!(matches!(lease.take(at(3_600_000)), Taken::Exhausted { .. }));
        assert_eq!(lease.take(at(0)), Taken::Nothing);
    }

    #[test]
    fn an_answer_that_never_came_lets_others_ask() {
        let mut lease = Lease::default();
        lease.ask(&TERMS, Why::Ahead, at(0));
        lease.settle(&TERMS, 100, None, at(1));
        assert_eq!((lease.available, lease.ask(&TERMS, Why::Ahead, at(1))), (0, Some(100)));
    }
}
