//! A budget for signature verification in pure Rust, which costs some thirty times as much as in the host: without one,
//! a thousand bad tokens a second would fill a core.

use crate::time::Timestamp;

/// A token bucket of one worker. One unit is one verification on P-256, about 0.7 ms in the module; others cost
/// [`PureBudget::take`]'s multiple of it.
#[derive(Debug)]
pub struct PureBudget {
    per_second: u64,
    capacity: u64,
    /// Billionths of a unit, so that a refill of one nanosecond is not lost.
    level: u64,
    refilled: Timestamp,
}

const NANO: u64 = 1_000_000_000;

impl PureBudget {
    /// A full bucket of `burst` units that regains `per_second` units a second.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let capacity = burst as u64 * NANO;
        Self { per_second: per_second as u64, capacity, level: capacity, refilled: Timestamp::from_unix_nanos(0) }
    }

    /// Takes `units`, or nothing and says no. A clock that steps back refills nothing.
    pub fn take(&mut self, units: u32, now: Timestamp) -> bool {
        let elapsed = u64::try_from(now.since(self.refilled).as_nanos()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.per_second)).min(self.capacity);
        self.refilled = self.refilled.max(now);
        let Some(rest) = self.level.checked_sub(u64::from(units) * NANO) else { return false };
        self.level = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn admits_the_burst_and_then_the_rate() {
        let mut budget = PureBudget::new(10, 3);
        assert_eq!([(); 4].map(|()| budget.take(1, at(0))), [true, true, true, false]);
        assert!(!budget.take(1, at(99)));
        assert!(budget.take(1, at(100)));
        assert!(!budget.take(1, at(100)));
    }

    #[test]
    fn never_saves_more_than_the_burst() {
        let mut budget = PureBudget::new(10, 3);
        assert!(!budget.take(4, at(0)));
        assert!(budget.take(3, at(3_600_000)));
        assert!(!budget.take(1, at(3_600_000)));
    }

    #[test]
    fn gains_nothing_from_a_clock_that_steps_back() {
        let mut budget = PureBudget::new(1, 1);
        assert!(budget.take(1, at(10_000)));
        assert!(!budget.take(1, at(0)));
        assert!(!budget.take(1, at(10_500)));
        assert!(budget.take(1, at(11_000)));
    }
}
