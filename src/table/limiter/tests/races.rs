//! Workers that meet on one key: what is exact, what is taken back, what waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[test]
fn admits_exactly_the_limit_when_all_workers_use_an_absent_key_at_once() {
    let store = MemoryStore::new();
    let demands = [demand("a", rate("10000/hour"), address(1))];
    let admitted = in_threads(6, &store, |limiter, _| {
        (0..4000).map(|_| u32::from(insist(limiter, &store, START, &demands).is_admitted())).sum()
    });
    assert_eq!(admitted, 10_000);
}

#[test]
fn threads_that_share_one_of_two_keys_charge_both_or_none() {
    let store = MemoryStore::new();
    // Six users of 300 each behind one address of 1000: the address decides, the users hold what it admitted.
    let users: Vec<[u8; 1]> = (0..6).map(|number| [number]).collect();
    let keys: Vec<[&[u8]; 1]> = users.iter().map(|user| [user.as_slice()]).collect();
    let demands: Vec<[Demand<'_>; 2]> = keys
        .iter()
        .map(|key| [demand("user", rate("300/hour"), Key::Named(key)), demand("a", rate("1000/hour"), address(1))])
        .collect();
    let admitted = in_threads(6, &store, |limiter, number| {
        let demands = &demands[number as usize];
        (0..400).map(|_| u32::from(insist(limiter, &store, START, demands).is_admitted())).sum()
    });
    let limiter = limiter(&store, ROOMY);
    let left: u32 = demands.iter().map(|[user, _]| remaining(&limiter, &store, START, user)).sum();
    assert_eq!((admitted, 1800 - left, remaining(&limiter, &store, START, &demands[0][1])), (1000, 1000, 0));
}

#[test]
fn workers_that_remember_what_they_wrote_admit_exactly_the_limit_and_charge_both_keys_or_none() {
    let store = MemoryStore::new();
    let demands = [demand("b", rate("20000/hour"), address(1)), demand("a", rate("3000/hour"), address(2))];
    let of_both = AtomicU32::new(0);
    let admitted = in_threads(4, &store, |limiter, number| {
        let own = Remembering::new(&store);
        let asked = if number < 2 { &demands[..] } else { &demands[1..] };
        let admitted = (0..2000).filter(|_| insist(limiter, &own, START, asked).is_admitted()).count() as u32;
        of_both.fetch_add(if number < 2 { admitted } else { 0 }, Ordering::Relaxed);
        admitted
    });
    let limiter = limiter(&store, ROOMY);
    let [both, one] = demands.each_ref().map(|demand| remaining(&limiter, &store, START, demand));
    assert_eq!((admitted, one, 20_000 - both), (3000, 0, of_both.into_inner()));
}

#[test]
fn a_worker_that_writes_alone_reads_nothing_until_it_must_refuse() {
    let map = MemoryStore::new();
    let limiter = limiter(&map, ROOMY);
    let counted = RacingStore::new(&map, |_, _, _| {});
    let store = Remembering::new(&counted);
    let two = [demand("b", rate("100/hour"), address(1)), demand("c", rate("20/hour"), address(2))];
    for _ in 0..5 {
        assert!(take(&limiter, &store, START, &two).is_admitted());
    }
    counted.calls();
    for _ in 5..20 {
        assert!(take(&limiter, &store, START, &two).is_admitted());
        assert_eq!(counted.calls(), (0, 3));
    }
    assert!(!take(&limiter, &store, START, &two).is_admitted());
    assert_eq!(counted.calls(), (2, 0), "a refusal rests on what stands there now");
}

#[test]
fn a_usual_decision_is_one_read_and_one_write_per_key() {
    let map = MemoryStore::new();
    let limiter = limiter(&map, ROOMY);
    let store = RacingStore::new(&map, |_, _, _| {});
    let one = [demand("a", rate("2/s"), address(1))];
    let two = [demand("b", rate("1/s"), address(1)), demand("c", rate("1/s"), address(2))];
    for (demands, admitted, calls) in [
        (&one[..], true, (1, 1)),
        (&one, true, (1, 1)),
        (&one, false, (1, 0)),
        (&two, true, (2, 3)),
        (&two, false, (2, 0)),
    ] {
        assert_eq!(take(&limiter, &store, START, demands).is_admitted(), admitted);
        assert_eq!(store.calls(), calls);
    }
}

#[test]
fn takes_back_what_it_charged_when_a_later_window_fills_meanwhile() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let demands = in_order(&ours, rate("5/hour"), rate("3/hour"));
    let store = RacingStore::new(&map, |number, _, map| {
        if number == 1 {
            assert!(take(&theirs, map, START, &[Demand { cost: 3, ..demands[1] }]).is_admitted());
        }
    });
    let decision = take(&ours, &store, START, &demands);
    assert!(matches!(decision.verdict, Verdict::Refused { window: 1, .. }), "{decision:?}");
    assert_eq!(remaining(&theirs, &map, START, &demands[0]), 5);
}

#[test]
fn charges_again_when_a_later_set_changes_but_still_admits() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let demands = in_order(&ours, rate("5/hour"), rate("9/hour"));
    let store = RacingStore::new(&map, |number, _, map| {
        if (1..4).contains(&number) {
            take(&theirs, map, START, &demands[1..]);
        }
    });
    let decision = take(&ours, &store, START, &demands);
    assert_eq!((decision.verdict, decision.windows[1].remaining), (Verdict::Admitted, 5));
    assert_eq!(remaining(&theirs, &map, START, &demands[0]), 4);
}

#[test]
fn a_pending_charge_refuses_nobody_until_it_is_final() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let demands = in_order(&ours, rate("1/hour"), rate("1/hour"));
    // While ours is between its two writes, theirs wants the only permit of the first, then takes the second's.
    let store = RacingStore::new(&map, |number, _, map| {
        if number == 1 {
            assert_eq!(theirs.decide(map, at(START), &demands[..1]), Err(TableError::Contended));
            assert!(take(&theirs, map, START, &demands[1..]).is_admitted());
        }
    });
    assert!(!take(&ours, &store, START, &demands).is_admitted());
    // Ours was abandoned: the permit is there.
    assert!(take(&theirs, &map, START, &demands[..1]).is_admitted());
}

#[test]
fn a_later_set_that_a_pending_charge_may_have_filled_is_not_charged_again() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let [first, second] = in_order(&ours, rate("5/hour"), rate("1/hour"));
    let third = (0..).map(|number| demand("three", rate("5/hour"), address(number)));
    let third = third.into_iter().find(|third| ours.name(third).key > ours.name(&second).key).unwrap();
    let store = RacingStore::new(&map, |number, _, map| {
        if number == 1 {
            assert!(take(&theirs, map, START, &[second, third]).is_admitted());
        }
    });
    assert!(!take(&ours, &store, START, &[first, second]).is_admitted());
    assert_eq!(remaining(&theirs, &map, START, &first), 5);
}

#[test]
fn what_another_worker_published_in_the_same_place_makes_no_charge_final() {
    let map = MemoryStore::new();
    let workers: Vec<Limiter> = (0..=WORKER_KEYS).map(|_| limiter(&map, ROOMY)).collect();
    let [ours, theirs, .., other] = &workers[..] else { panic!() };
    assert_eq!(ours.worker_key, other.worker_key);
    let demands = in_order(ours, rate("1/hour"), rate("9/hour"));
    let elsewhere = in_order(other, rate("9/hour"), rate("9/hour")).map(|demand| Demand { limit: "other", ..demand });
    let store = RacingStore::new(&map, |number, _, map| {
        if number == 1 {
            assert!((0..5).all(|_| take(other, map, START, &elsewhere).is_admitted()));
            assert_eq!(theirs.decide(map, at(START), &demands[..1]), Err(TableError::Contended));
        }
    });
    assert!(take(ours, &store, START, &demands).is_admitted());
}

#[test]
fn a_charge_that_became_final_refuses_at_once_and_is_looked_up_once() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let demands = in_order(&ours, rate("1/hour"), rate("9/hour"));
    assert!(take(&ours, &map, START, &demands).is_admitted());
    let store = RacingStore::new(&map, |_, _, _| {});
    assert!(!take(&theirs, &store, START, &demands[..1]).is_admitted());
    // The counter, the number of ours, the counter again, and a write that drops the pending charge.
    assert_eq!(store.calls(), (3, 1));
    assert!(!take(&theirs, &store, START, &demands[..1]).is_admitted());
    assert_eq!(store.calls(), (1, 0));
}

#[test]
fn the_charge_of_a_worker_that_died_stands_after_a_second() {
    let map = MemoryStore::new();
    let (ours, theirs) = (limiter(&map, ROOMY), limiter(&map, ROOMY));
    let demands = in_order(&ours, rate("1/hour"), rate("9/hour"));
    // The state between the two writes is kept, as if nothing came after it.
    let kept = std::cell::RefCell::new(HashMap::new());
    let store = RacingStore::new(&map, |number, _, map| {
        if number == 1 {
            map.damage(|key, value| drop(kept.borrow_mut().insert(key.to_owned(), value.clone())));
        }
    });
    assert!(take(&ours, &store, START, &demands).is_admitted());
    map.damage(|key, value| *value = kept.borrow().get(key).cloned().unwrap_or_default());
    assert_eq!(theirs.decide(&map, at(START + SECOND / 2), &demands[..1]), Err(TableError::Contended));
    assert!(!take(&theirs, &map, START + SECOND, &demands[..1]).is_admitted());
    assert!(take(&theirs, &map, START + 3700 * SECOND, &demands[..1]).is_admitted());
}

#[test]
fn more_workers_than_a_counter_can_list_still_share_a_key() {
    let map = MemoryStore::new();
    let workers: Vec<Limiter> = (0..40).map(|_| limiter(&map, ROOMY)).collect();
    let demands = in_order(&workers[0], rate("100/hour"), rate("100/hour"));
    let admitted = (0..120).filter(|number| take(&workers[number % 40], &map, START, &demands).is_admitted()).count();
    assert_eq!(admitted, 100);
}

#[test]
fn a_clock_that_jumps_ahead_and_back_neither_resets_nor_locks() {
    let store = MemoryStore::new();
    let limiter = limiter(&store, ROOMY);
    let demands = [demand("a", rate("5/m"), address(1))];
    let admitted = |now| (0..9).filter(|_| take(&limiter, &store, now, &demands).is_admitted()).count();
    assert_eq!(admitted(START), 5);
    for (round, jump) in (1..).zip([1, 30, 59, 60, 3600, 400 * 86_400]) {
        let then = START + round * 1000 * SECOND;
        assert_eq!(admitted(then + jump * SECOND), 5, "{jump}: an hour told is an hour passed");
        assert_eq!(admitted(then), 0, "{jump}: what was charged at the jump counts when the clock is back");
        assert_eq!(admitted(then + 30 * SECOND), 0, "{jump}");
        assert_eq!(admitted(then + 123 * SECOND), 5, "{jump}: free again within 2.04 windows");
    }
}
