//! Both bounds against an exact log of admissions, on one worker and on several that interrupt each other.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::store::racing::RacingStore;

/// Every admission of one key with its time, exactly; time by the rule of the `counter` module.
#[derive(Default)]
struct Log {
    newest: u64,
    ahead: u64,
    admissions: Vec<(u64, u32)>,
}

impl Log {
    fn time(&mut self, clock: u64, longest: u64) -> u64 {
        let time = clock + self.ahead;
        if time + longest.max(10 * SECOND) <= self.newest {
            self.ahead += self.newest - time;
            return self.newest;
        }
        self.newest.max(time)
    }

    /// Permits in `[time - span, time]`, or without its beginning.
    fn within(&self, time: u64, span: u64, closed: bool) -> u32 {
        let counts = |then: u64| then + span > time || closed && then + span == time;
        self.admissions.iter().filter(|(then, _)| counts(*then)).map(|(_, cost)| cost).sum()
    }
}

#[derive(Clone, Debug)]
struct Step {
    wait: u64,
    user: u8,
    both: bool,
    cost: u32,
}

/// Waits that meet bucket and window boundaries as often as anything between, repeats, and clocks that jump.
fn steps(jumps: bool) -> impl Strategy<Value = Vec<Step>> {
    let width = 2 * SECOND / 50;
    let backwards = if jumps { 1 } else { 0 };
    let wait = prop_oneof![
        12 => Just(0),
        4 => 0..width,
        3 => (0..60u64, 0..3u64).prop_map(move |(buckets, off)| (buckets * width + off).saturating_sub(1)),
        2 => (0..5u64, 0..3u64).prop_map(|(seconds, off)| (seconds * SECOND + off).saturating_sub(1)),
        1 => 0..30 * SECOND,
        backwards => Just(0).boxed(),
        backwards => (0..40 * SECOND).prop_map(|back| back | BACK),
        backwards => (0..4000 * SECOND).prop_map(|jump| jump | ((jump & 1) * BACK)),
    ];
    let step = (wait, 0..3u8, any::<bool>(), prop_oneof![4 => Just(1u32), 1 => 1..4u32]);
    proptest::collection::vec(step.prop_map(|(wait, user, both, cost)| Step { wait, user, both, cost }), 1..250)
}

/// Marks a wait that goes backwards.
const BACK: u64 = 1 << 62;

fn follow(
    steps: Vec<Step>,
    user_limit: u32,
    burst_limit: u32,
    address_limit: u32,
    sizes: Sizes,
) -> Result<(), TestCaseError> {
    let store = MemoryStore::new();
    let workers = [limiter(&store, sizes), limiter(&store, sizes)];
    let users = Rates {
        sustained: Rate::new(user_limit, Duration::from_secs(14)).unwrap(),
        burst: Some(Rate::new(burst_limit, Duration::from_secs(2)).unwrap()),
    };
    let addresses = Rates::from(Rate::new(address_limit, Duration::from_secs(2)).unwrap());
    let mut logs: HashMap<(&str, u8), Log> = HashMap::new();
    let mut clock = START;
    for (number, step) in steps.into_iter().enumerate() {
        clock = if step.wait & BACK != 0 { clock - (step.wait & !BACK) } else { clock + step.wait };
        let user = [step.user];
        let user_key: [&[u8]; 2] = [b"subject", &user];
        let mut demands = vec![Demand { limit: "user", rates: users, key: Key::Named(&user_key), cost: step.cost }];
        let mut keys = vec![("user", step.user)];
        if step.both {
            demands.push(Demand {
                limit: "address",
                rates: addresses,
                key: address(u32::from(step.user) & 1),
                cost: step.cost,
            });
            keys.push(("address", step.user & 1));
        }
        let decision = take(&workers[number % 2], &store, clock, &demands);
        prop_assert!(!decision.degraded);
        let mut refusal_is_right = false;
        for (demand, key) in demands.iter().zip(&keys) {
            let log = logs.entry(*key).or_default();
            let before = log.newest;
            let time = log.time(clock, demand.rates.longest());
            for rate in demand.rates.iter() {
                let window = u64::from(rate.window_seconds()) * SECOND;
                // (a): with this one, the window that ends now holds at most the limit.
                let held = log.within(time, window, true) + demand.cost;
                prop_assert!(
                    !decision.is_admitted() || held <= rate.limit(),
                    "step {number} of {key:?}: {held} in {rate}"
                );
                // (b): without it, 1.02 windows held more than the limit less the cost.
                refusal_is_right |= log.within(time, window / 50 * 51, false) + demand.cost > rate.limit();
            }
            match decision.is_admitted() {
                true => {
                    log.newest = time;
                    log.admissions.push((time, demand.cost));
                }
                // A refusal writes nothing but that the clock was set back.
                false => log.newest = before,
            }
        }
        if let Verdict::Refused { retry_after, window } = decision.verdict {
            prop_assert!(refusal_is_right, "step {number}: refused, but the log has room");
            let Some(wait) = retry_after else {
                prop_assert!(step.cost > decision.windows[window].rate.limit());
                continue;
            };
            let wait = wait.as_nanos() as u64;
            prop_assert!(wait > 0);
            prop_assert!(workers[0].peek(&store, at(clock + wait), &demands).unwrap().is_admitted());
            prop_assert!(!workers[0].peek(&store, at(clock + wait - 1), &demands).unwrap().is_admitted());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn keeps_both_bounds_of_an_exact_log(steps in steps(false), user in 1..30u32, burst in 1..12u32, address in 1..12u32) {
        follow(steps, user, burst, address, ROOMY)?;
    }

    #[test]
    fn keeps_both_bounds_while_clocks_lag_and_jump(steps in steps(true), user in 1..30u32, burst in 1..12u32, address in 1..12u32) {
        follow(steps, user, burst, address, ROOMY)?;
    }

    /// Thirty addresses of as many networks in a table of one set: own, shared and rest counters in turn, each key's bound (a) throughout.
    #[test]
    fn admits_no_key_beyond_its_limit_however_it_moves_between_counters(
        steps in proptest::collection::vec((0..30u32, prop_oneof![10 => 0..SECOND / 20, 1 => 0..2 * SECOND]), 1..400),
        limit in 1..6u32,
    ) {
        let store = MemoryStore::new();
        let limiter = limiter(&store, Sizes { addresses: 1, named: 1 });
        let rates = Rates::from(Rate::new(limit, Duration::from_secs(2)).unwrap());
        let mut logs: HashMap<u32, Log> = HashMap::new();
        let mut clock = START;
        for (who, wait) in steps {
            clock += wait;
            let decision = take(&limiter, &store, clock, &[demand("a", rates, address(who << 8))]);
            let log = logs.entry(who).or_default();
            let held = log.within(clock, 2 * SECOND, true);
            if decision.is_admitted() {
                prop_assert!(held < limit);
                log.admissions.push((clock, 1));
            } else if !decision.degraded {
                prop_assert!(log.within(clock, SECOND / 50 * 102, false) >= limit);
            }
        }
    }

    /// Between the writes of one worker's decisions, another's decisions over the same keys run in any order.
    #[test]
    fn workers_that_interrupt_each_other_anywhere_charge_all_or_nothing_and_refuse_nobody_wrongly(
        ours in proptest::collection::vec((0..7usize, 1..4u32), 1..30),
        theirs in proptest::collection::vec((0..7usize, 1..4u32, 0..3usize), 1..60),
        limits in [1..9u32, 1..9u32, 1..9u32],
    ) {
        let map = MemoryStore::new();
        let (our, their) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
        let rates = limits.map(|limit| Rate::new(limit, Duration::from_secs(3600)).unwrap());
        let demands = |which: usize, cost| -> Vec<Demand<'static>> {
            let chosen = (0..3u32).filter(|key| (which + 1) >> key & 1 == 1);
            chosen.map(|key| Demand { cost, ..demand("a", rates[key as usize], address(key)) }).collect()
        };
        let key_of = |demand: &Demand<'_>| match demand.key {
            Key::Address(std::net::IpAddr::V4(v4)) => v4.to_bits() as usize,
            _ => 3,
        };
        let taken = std::cell::RefCell::new([0u32; 3]);
        let refused = std::cell::RefCell::new(Vec::new());
        let record = |demands: Vec<Demand<'static>>, decided: Result<Decision, TableError>| match decided {
            Ok(decision) if decision.is_admitted() => {
                demands.iter().for_each(|demand| taken.borrow_mut()[key_of(demand)] += demand.cost);
            }
            Ok(_) => refused.borrow_mut().push(demands),
            Err(error) => assert_eq!(error, TableError::Contended),
        };
        let mut theirs = theirs.into_iter();
        let store = RacingStore::new(&map, |_, _, map| {
            if let Some((which, cost, 0)) = theirs.next() {
                let demands = demands(which, cost);
                record(demands.clone(), their.decide(map, at(START), &demands));
            }
        });
        for (which, cost) in ours {
            let demands = demands(which, cost);
            record(demands.clone(), our.decide(&store, at(START), &demands));
            // Ours was decided while it ran, so what it took, if it did, may have refused those in between.
            for demands in refused.borrow_mut().drain(..) {
                let full = |demand: &Demand<'_>| taken.borrow()[key_of(demand)] + demand.cost > limits[key_of(demand)];
                prop_assert!(demands.iter().any(full), "refused although there was room");
            }
        }
        drop(store);
        for key in 0..3u32 {
            let left = remaining(&our, &map, START, &demand("a", rates[key as usize], address(key)));
            prop_assert_eq!(limits[key as usize] - left, taken.borrow()[key as usize]);
        }
    }

    #[test]
    fn damaged_values_read_as_something_and_never_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let store = MemoryStore::new();
        let limiter = limiter(&store, Sizes { addresses: 8, named: 8 });
        let rates = Rates { sustained: rate("100/hour"), burst: Some(rate("20/s")) };
        for number in 0..20 {
            let demands = [demand("a", rates, address(number << 8)), demand("b", rates, Key::Named(&[b"x"]))];
            take(&limiter, &store, START + u64::from(number) * SECOND, &demands);
        }
        store.damage(|_, value| {
            for (index, byte) in &damage {
                let position = index.index(value.len());
                value[position] = *byte;
            }
            value.truncate(cut.index(value.len() + 1));
        });
        for number in 0..25 {
            let demands = [demand("a", rates, address(number << 8)), demand("b", rates, Key::Named(&[b"x"]))];
            let _ = limiter.decide(&store, at(START + 30 * SECOND), &demands);
            let _ = limiter.refund(&store, at(START + 30 * SECOND), &demands[0]);
        }
        prop_assert!(Space::open(&store, "test", [1; 16]).is_ok());
    }
}
