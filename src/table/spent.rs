//! Addresses whose budget is known to be spent: for a moment the shared counter need not be asked again.
//!
//! A flood of refused credentials from one address then costs a read of shared data a second. Another worker may give
//! permits back before their time, so what was said once is not relied on for longer.

use std::net::IpAddr;
use std::time::Duration;

use super::address::Prefix;
use crate::time::Timestamp;

/// Addresses that are remembered; two that fall on one place take turns, and the counter is asked.
const SLOTS: usize = 512;
/// How long the counter is not asked again.
const HOLDS: Duration = Duration::from_secs(1);

/// What one worker knows of spent budgets; fixed memory.
#[derive(Debug, Default)]
pub struct SpentBudgets(Vec<Option<Spent>>);

#[derive(Clone, Copy, Debug)]
struct Spent {
    client: Prefix,
    said: Timestamp,
    until: Timestamp,
}

impl SpentBudgets {
    /// How long the budget of `client` is still spent, as far as is known. What was said later than now is the word of a
    /// clock that was set back since.
    pub fn remaining(&self, client: IpAddr, now: Timestamp) -> Option<Duration> {
        let client = Prefix::of(client);
        let spent = self.0.get(slot(client))?.filter(|spent| spent.client == client)?;
        let holds = spent.said <= now && now < spent.said.after(HOLDS) && now < spent.until;
        holds.then(|| spent.until.since(now))
    }

    /// Remembers that the budget of `client` is now spent until then.
    pub fn remember(&mut self, client: IpAddr, now: Timestamp, until: Timestamp) {
        if self.0.is_empty() {
            self.0.resize(SLOTS, None);
        }
        let client = Prefix::of(client);
        if let Some(slot) = self.0.get_mut(slot(client)) {
            *slot = Some(Spent { client, said: now, until });
        }
    }

    /// Forgets what is known of `client`.
    pub fn forget(&mut self, client: IpAddr) {
        let client = Prefix::of(client);
        if let Some(slot) = self.0.get_mut(slot(client)) {
            slot.take_if(|spent| spent.client == client);
        }
    }
}

/// Neighbours fall on places of their own. Who drives another address out makes it cost what it costs without this.
fn slot(client: Prefix) -> usize {
    client.to_bytes().iter().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(*byte))) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_spent_budget_is_known_for_a_moment_and_for_no_other_client() {
        let mut spent = SpentBudgets::default();
        let millis = Timestamp::from_unix_millis;
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(100)), None);
        spent.remember(ip("192.0.2.1"), at(100), at(130));
        spent.remember(ip("2001:db8::1"), at(100), millis(100_500));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(100)), Some(Duration::from_secs(30)));
        assert_eq!(spent.remaining(ip("192.0.2.1"), millis(100_999)), Some(Duration::from_millis(29_001)));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(101)), None, "the counter is asked again");
        assert_eq!(spent.remaining(ip("2001:db8::2"), millis(100_499)), Some(Duration::from_millis(1)));
        assert_eq!(spent.remaining(ip("2001:db8::2"), millis(100_500)), None);
        assert_eq!(spent.remaining(ip("192.0.2.2"), at(100)), None);
        assert_eq!(spent.remaining(ip("2001:db8:0:1::1"), at(100)), None);
    }

    #[test]
    fn a_budget_that_got_something_back_is_asked_about() {
        let mut spent = SpentBudgets::default();
        spent.forget(ip("192.0.2.1"));
        for client in ["192.0.2.1", "192.0.2.2"] {
            spent.remember(ip(client), at(100), at(130));
        }
        spent.forget(ip("192.0.2.1"));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(100)), None);
        assert_eq!(spent.remaining(ip("192.0.2.2"), at(100)), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_clock_that_was_set_back_shuts_nobody_out() {
        let mut spent = SpentBudgets::default();
        spent.remember(ip("192.0.2.1"), at(7_200), at(7_230));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(3_600)), None);
    }

    #[test]
    fn any_number_of_addresses_takes_no_more_room_than_the_slots() {
        let mut spent = SpentBudgets::default();
        for n in 0..100_000_u32 {
            spent.remember(IpAddr::V4(n.into()), at(59), at(60));
        }
        assert_eq!(spent.0.len(), SLOTS);
        let known = (0..100_000_u32).filter(|n| spent.remaining(IpAddr::V4((*n).into()), at(59)).is_some());
        assert!((SLOTS / 2..=SLOTS).contains(&known.count()), "the places are not made use of");
    }
}
