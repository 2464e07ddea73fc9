//! Addresses whose budget is known to be spent: until it regains a permit the shared counter need not be asked again.
//!
//! A flood of refused credentials from one address then costs no read of shared data each. Nothing gives permits of
//! this budget back before their time, so what was said once holds until its moment.

use std::net::IpAddr;
use std::time::Duration;

use super::address::Prefix;
use crate::time::Timestamp;

/// Addresses that are remembered; two that fall on one place take turns, and the counter is asked.
const SLOTS: usize = 512;

/// What one worker knows of spent budgets; fixed memory.
#[derive(Debug, Default)]
pub struct SpentBudgets(Vec<Option<Spent>>);

#[derive(Clone, Copy, Debug)]
struct Spent {
    client: Prefix,
    until: Timestamp,
}

impl SpentBudgets {
    /// How long the budget of `client` is still spent, as far as is known. No budget stays spent for longer than 1.02 of
    /// its `window`s: more is the word of a clock that was set back since.
    pub fn remaining(&self, client: IpAddr, now: Timestamp, window: Duration) -> Option<Duration> {
        let client = Prefix::of(client);
        let spent = self.0.get(slot(client))?.filter(|spent| spent.client == client && now < spent.until)?;
        Some(spent.until.since(now)).filter(|remaining| *remaining <= window / 50 * 51)
    }

    /// Remembers that the budget of `client` is spent until then.
    pub fn remember(&mut self, client: IpAddr, until: Timestamp) {
        if self.0.is_empty() {
            self.0.resize(SLOTS, None);
        }
        let client = Prefix::of(client);
        if let Some(slot) = self.0.get_mut(slot(client)) {
            *slot = Some(Spent { client, until });
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

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_spent_budget_is_known_until_its_moment_and_for_no_other_client() {
        let mut spent = SpentBudgets::default();
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(100), WINDOW), None);
        spent.remember(ip("192.0.2.1"), at(130));
        spent.remember(ip("2001:db8::1"), at(140));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(100), WINDOW), Some(Duration::from_secs(30)));
        assert_eq!(spent.remaining(ip("2001:db8::2"), at(139), WINDOW), Some(Duration::from_secs(1)));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(130), WINDOW), None);
        assert_eq!(spent.remaining(ip("192.0.2.2"), at(100), WINDOW), None);
        assert_eq!(spent.remaining(ip("2001:db8:0:1::1"), at(100), WINDOW), None);
    }

    #[test]
    fn a_clock_that_was_set_back_shuts_nobody_out() {
        let mut spent = SpentBudgets::default();
        spent.remember(ip("192.0.2.1"), at(7_230));
        assert_eq!(spent.remaining(ip("192.0.2.1"), at(3_600), WINDOW), None);
    }

    #[test]
    fn any_number_of_addresses_takes_no_more_room_than_the_slots() {
        let mut spent = SpentBudgets::default();
        for n in 0..100_000_u32 {
            spent.remember(IpAddr::V4(n.into()), at(60));
        }
        assert_eq!(spent.0.len(), SLOTS);
        let known = (0..100_000_u32).filter(|n| spent.remaining(IpAddr::V4((*n).into()), at(59), WINDOW).is_some());
        assert!((SLOTS / 2..=SLOTS).contains(&known.count()), "the places are not made use of");
    }
}
