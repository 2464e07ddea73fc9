//! What the limiter promises, by the thing that could break it.

mod bounds;
mod overflow;
mod races;

use super::super::counter::{Counter, Pending};
use super::super::window::Window;
use super::*;
use crate::store::racing::RacingStore;
use crate::store::{MemoryStore, Remembering};
use std::net::Ipv4Addr;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_790_000_000 * SECOND;
const ROOMY: Sizes = Sizes { addresses: 4096, named: 4096 };

fn limiter(store: &dyn SharedStore, sizes: Sizes) -> Limiter {
    Limiter::open(Space::open(store, "test", [7; 16]).unwrap(), store, sizes).unwrap()
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_unix_nanos(nanos)
}

fn address(number: u32) -> Key<'static> {
    Key::Address(Ipv4Addr::from_bits(number).into())
}

fn demand<'a>(limit: &'a str, rates: impl Into<Rates>, key: Key<'a>) -> Demand<'a> {
    Demand { limit, rates: rates.into(), key, cost: 1 }
}

/// Two demands whose sets are written in this order.
fn in_order(limiter: &Limiter, first: Rate, second: Rate) -> [Demand<'static>; 2] {
    let one = demand("one", first, address(1));
    let two = (0..).map(|number| demand("two", second, address(number)));
    let later = |two: &Demand<'_>| limiter.name(two).key > limiter.name(&one).key;
    [one, two.into_iter().find(later).unwrap()]
}

fn take(limiter: &Limiter, store: &dyn SharedStore, now: u64, demands: &[Demand<'_>]) -> Decision {
    limiter.decide(store, at(now), demands).unwrap()
}

fn remaining(limiter: &Limiter, store: &dyn SharedStore, now: u64, demand: &Demand<'_>) -> u32 {
    limiter.peek(store, at(now), std::slice::from_ref(demand)).unwrap().windows[0].remaining
}

/// Runs `work` in so many threads, each its own worker, and adds up what they say.
fn in_threads(threads: u32, store: &MemoryStore, work: impl Fn(&Limiter, u32) -> u32 + Sync) -> u32 {
    let start = std::sync::Barrier::new(threads as usize);
    let run = |number| {
        let limiter = limiter(store, ROOMY);
        start.wait();
        work(&limiter, number)
    };
    std::thread::scope(|scope| {
        let run = &run;
        let handles: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).sum()
    })
}

/// Decides again where other threads were in the way, as a client would ask again.
fn insist(limiter: &Limiter, store: &dyn SharedStore, now: u64, demands: &[Demand<'_>]) -> Decision {
    loop {
        match limiter.decide(store, at(now), demands) {
            Ok(decision) => return decision,
            Err(error) => assert_eq!(error, TableError::Contended),
        }
        std::thread::yield_now();
    }
}

#[test]
fn gives_back_unused_permits() {
    let store = MemoryStore::new();
    let limiter = limiter(&store, ROOMY);
    let lease = Demand { cost: 80, ..demand("a", rate("100/hour"), Key::Named(&[b"subject", b"x"])) };
    assert!(take(&limiter, &store, START, &[lease]).is_admitted());
    let refused = take(&limiter, &store, START, &[lease]);
    assert!(matches!(refused.verdict, Verdict::Refused { window: 0, retry_after: Some(_) }));
    assert_eq!(refused.windows[0].remaining, 20);
    limiter.refund(&store, at(START), &Demand { cost: 70, ..lease }).unwrap();
    assert_eq!(remaining(&limiter, &store, START, &lease), 90);
    assert!(take(&limiter, &store, START, &[lease]).is_admitted());
    let never = take(&limiter, &store, START, &[Demand { cost: 101, ..lease }]);
    assert_eq!(never.verdict, Verdict::Refused { window: 0, retry_after: None });
}

#[test]
fn a_change_of_the_limit_keeps_the_counts() {
    let store = MemoryStore::new();
    let limiter = limiter(&store, ROOMY);
    (0..10).for_each(|_| drop(take(&limiter, &store, START, &[demand("a", rate("100/hour"), address(1))])));
    let decision = take(&limiter, &store, START, &[demand("a", rate("15/hour"), address(1))]);
    assert_eq!(decision.windows[0].remaining, 4);
    assert!(!take(&limiter, &store, START, &[demand("a", rate("5/hour"), address(1))]).is_admitted());
}

#[test]
fn a_change_of_the_burst_keeps_the_sustained_counts() {
    let store = MemoryStore::new();
    let limiter = limiter(&store, ROOMY);
    let sustained = rate("3/hour");
    let with = |burst: &str| demand("a", Rates { sustained, burst: Some(rate(burst)) }, address(1));
    let without = demand("a", sustained, address(1));
    assert!(take(&limiter, &store, START, &[without]).is_admitted());
    assert!(take(&limiter, &store, START, &[with("1/s")]).is_admitted(), "a new burst begins empty");
    assert!(!take(&limiter, &store, START, &[with("1/s")]).is_admitted());
    assert_eq!(remaining(&limiter, &store, START, &without), 1);
    let decision = take(&limiter, &store, START, &[with("5/2s")]);
    assert_eq!(decision.windows.iter().map(|window| window.remaining).collect::<Vec<_>>(), [0, 4]);
    for exhausted in [with("5/2s"), with("100/m"), without] {
        assert!(!take(&limiter, &store, START, &[exhausted]).is_admitted(), "{:?}", exhausted.rates);
    }
}

#[test]
fn a_new_burst_gives_back_no_more_than_what_a_decision_under_way_took() {
    let (sustained, now) = (rate("9/hour"), START);
    let burst = Rates { sustained, burst: Some(rate("9/s")) };
    let totals = |counter: &Counter<'_>| counter.windows().map(Window::total).collect::<Vec<_>>();
    let mut counter = Counter::new(&Rates::from(sustained), now);
    counter.charge(4);
    counter.pending.push(Pending { worker: 1, sequence: 1, cost: 4, time: now });
    let mut counter = counter.with_burst_of(&burst);
    counter.charge(1);
    assert_eq!(totals(&counter), [5, 5]);
    counter.abandon(1, 1);
    assert_eq!(totals(&counter), [1, 1]);
    assert_eq!(totals(&counter.with_burst_of(&Rates::from(sustained))), [1]);
}
