//! A circuit breaker: who failed a few times in a row is left alone for a while, longer each time, and asked once then.
//!
//! Beside it stands a debt: for each time that a request waited in vain, a hundred others go by before one waits again.
//! The circuit alone would let a service that answers every other time delay more than that.

use std::time::Duration;

use crate::time::Timestamp;

/// Failures in a row that open the circuit.
const FAILURES: u32 = 3;
/// How long it stays open at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// Requests that go by for one that waited in vain.
const REQUESTS_PER_VAIN_WAIT: u32 = 100;
/// The most that is owed: ten vain waits.
const MOST_OWED: u32 = 1_000;

/// One worker's circuit to one service.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    failures: u32,
    /// Open until then, if it is open.
    open_until: Option<Timestamp>,
    pause: Duration,
    owed: u32,
}

/// The circuit has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The service is away now.
    Opened,
    /// The service is back.
    Closed,
}

impl Circuit {
    /// The service answers, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// It may be asked in the background: it answers, or it is time to see whether it does again.
    pub fn admits_probe(&self, now: Timestamp) -> bool {
        self.open_until.is_none_or(|until| until <= now)
    }

    /// When the next probe is due, where the circuit is open.
    pub fn reopens_in(&self, now: Timestamp) -> Option<Duration> {
        Some(self.open_until?.since(now))
    }

    /// A request goes by, which pays a little of what is owed.
    pub fn request_passes(&mut self) {
        self.owed = self.owed.saturating_sub(1);
    }

    /// A request may wait for its answer.
    pub fn admits_wait(&self) -> bool {
        self.owed == 0 && self.is_closed()
    }

    /// A request waited in vain.
    pub fn waited_in_vain(&mut self) {
        self.owed = self.owed.saturating_add(REQUESTS_PER_VAIN_WAIT).min(MOST_OWED);
    }

    /// It answered.
    pub fn succeeded(&mut self) -> Option<Change> {
        self.failures = 0;
        self.open_until.take().map(|_| Change::Closed)
    }

    /// It did not answer, or not sensibly.
    pub fn failed(&mut self, now: Timestamp) -> Option<Change> {
        self.failures = self.failures.saturating_add(1);
        let (shortest, longest) = PAUSE;
        match self.open_until {
            // Answers of calls that were on their way when it opened are no news.
            Some(until) if now < until => None,
            Some(_) => {
                self.pause = (self.pause * 2).min(longest);
                self.open_until = Some(now.after(self.pause));
                None
            }
            None if self.failures < FAILURES => None,
            None => {
                self.pause = shortest;
                self.open_until = Some(now.after(self.pause));
                Some(Change::Opened)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn opens_after_three_failures_in_a_row_and_closes_with_the_first_answer() {
        let mut circuit = Circuit::default();
        assert_eq!([0, 1].map(|now| circuit.failed(at(now))), [None, None]);
        assert_eq!(circuit.succeeded(), None);
        assert_eq!([2, 3, 4].map(|now| circuit.failed(at(now))), [None, None, Some(Change::Opened)]);
        assert!(!circuit.is_closed() && !circuit.admits_wait());
        assert_eq!(circuit.succeeded(), Some(Change::Closed));
        assert!(circuit.is_closed() && circuit.admits_wait());
    }

    #[test]
    fn probes_ever_more_rarely_but_never_less_than_every_four_seconds() {
        let mut circuit = Circuit::default();
        let mut probes = Vec::new();
        for now in (0..20_000).step_by(10) {
            if circuit.admits_probe(at(now)) {
                circuit.failed(at(now));
                probes.push(now);
            }
        }
        assert_eq!(probes, [0, 10, 20, 520, 1_520, 3_520, 7_520, 11_520, 15_520, 19_520]);
    }

    #[test]
    fn late_failures_of_calls_that_were_on_their_way_change_nothing() {
        let mut circuit = Circuit::default();
        for now in 0..200 {
            circuit.failed(at(now));
        }
        assert_eq!(circuit.reopens_in(at(200)), Some(Duration::from_millis(302)));
    }

    /// Whatever the service does, of a hundred requests at most one waits in vain, but for those that waited together.
    #[test]
    fn a_service_that_fails_every_other_time_delays_one_request_in_a_hundred() {
        let mut circuit = Circuit::default();
        let (mut asked, mut vain) = (0, 0);
        for request in 0..10_000 {
            circuit.request_passes();
            if circuit.admits_wait() {
                asked += 1;
                if asked % 2 == 0 {
                    circuit.failed(at(request));
                    circuit.waited_in_vain();
                    vain += 1;
                } else {
                    circuit.succeeded();
                }
            }
        }
        assert!((50..=100).contains(&vain), "{vain}");
    }
}
