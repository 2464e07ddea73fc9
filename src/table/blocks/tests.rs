use super::*;
use crate::store::MemoryStore;
use crate::store::racing::RacingStore;
use std::net::Ipv4Addr;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_790_000_000 + seconds)
}

fn blocks(store: &dyn SharedStore, block_for: Option<u64>, entries: u32) -> Blocks {
    let policy = BlockPolicy { failures: "5/hour".parse().unwrap(), block_for: block_for.map(Duration::from_secs) };
    Blocks::open(&Space::open(store, "test", [5; 16]).unwrap(), store, policy, entries, 4096).unwrap()
}

fn ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

fn fail(blocks: &Blocks, store: &dyn SharedStore, address: IpAddr, seconds: u64) -> Recorded {
    blocks.record_failure(store, address, at(seconds)).unwrap()
}

fn fail_five_times(blocks: &Blocks, store: &dyn SharedStore, address: IpAddr) -> Recorded {
    let recorded = [(); 5].map(|()| fail(blocks, store, address, 0));
    recorded[4]
}

fn is_blocked(blocks: &Blocks, store: &dyn SharedStore, address: IpAddr, seconds: u64) -> bool {
    blocks.is_blocked(store, address, at(seconds)).unwrap().is_some()
}

#[test]
fn the_fifth_failure_within_the_hour_blocks_on_every_worker_until_the_block_ends() {
    let store = MemoryStore::new();
    let (ours, theirs) = (blocks(&store, Some(600), 64), blocks(&store, Some(600), 64));
    for failures in 1..5 {
        let recorded = fail(&ours, &store, ip(1), u64::from(failures));
        assert_eq!(recorded, Recorded::Counted { failures, degraded: false });
        assert!(!is_blocked(&theirs, &store, ip(1), 5));
    }
    let block = Block { prefix: Prefix::of(ip(1)), until: Some(at(605)) };
    assert_eq!(
        fail(&theirs, &store, ip(1), 5),
        Recorded::Blocked { block, again: false, failures: 5, widened: None, degraded: false }
    );
    assert_eq!(ours.is_blocked(&store, ip(1), at(604)).unwrap(), Some(block));
    assert!(!is_blocked(&ours, &store, ip(2), 604));
    assert!(!is_blocked(&ours, &store, ip(1), 605));
    assert_eq!(fail(&ours, &store, ip(1), 606), Recorded::Counted { failures: 1, degraded: false });
}

#[test]
fn failures_more_than_an_hour_apart_do_not_add_up() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, None, 64);
    for number in 0..20 {
        assert!(matches!(fail(&blocks, &store, ip(1), number * 920), Recorded::Counted { .. }), "{number}");
    }
}

#[test]
fn a_block_without_end_holds_until_it_is_lifted_and_starts_counting_anew() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, None, 64);
    fail_five_times(&blocks, &store, ip(1));
    assert!(is_blocked(&blocks, &store, ip(1), 2_000_000_000));
    assert_eq!(blocks.unblock(&store, ip(1), at(1)).unwrap(), [Prefix::of(ip(1))]);
    assert!(!is_blocked(&blocks, &store, ip(1), 1));
    assert_eq!(fail(&blocks, &store, ip(1), 2), Recorded::Counted { failures: 1, degraded: false });
    assert!(blocks.unblock(&store, ip(9), at(1)).unwrap().is_empty());
}

#[test]
fn asks_once_and_only_where_a_block_was() {
    let map = MemoryStore::new();
    let blocks = blocks(&map, Some(60), 4096);
    fail_five_times(&blocks, &map, ip(1));
    let store = RacingStore::new(&map, |_, _, _| {});
    assert!(is_blocked(&blocks, &store, ip(1), 0));
    assert_eq!(store.calls(), (1, 0));
    // An hour after it has ended, the value is emptied, once.
    for (seconds, calls) in [(60, (1, 0)), (3660, (1, 1)), (3660, (1, 0))] {
        assert!(!is_blocked(&blocks, &store, ip(1), seconds));
        assert_eq!(store.calls(), calls);
    }
}

#[test]
fn of_two_failures_at_the_same_time_one_says_that_the_address_was_blocked() {
    let map = MemoryStore::new();
    let (ours, theirs) = (blocks(&map, Some(60), 8), blocks(&map, Some(60), 8));
    (0..4).for_each(|_| assert!(matches!(fail(&ours, &map, ip(1), 0), Recorded::Counted { .. })));
    let mut late = None;
    let again = |recorded: &Recorded| matches!(recorded, Recorded::Blocked { again: true, .. });
    let store = RacingStore::new(&map, |_, key, map| {
        if key.starts_with(&format!("test/{}/b", crate::table::LAYOUT)) && late.is_none() {
            late = Some(fail(&theirs, map, ip(1), 0));
        }
    });
    let recorded = fail(&ours, &store, ip(1), 0);
    drop(store);
    let late = late.unwrap();
    assert!(again(&recorded) && !again(&late), "{recorded:?} {late:?}");
    assert!(is_blocked(&ours, &map, ip(1), 59) && !is_blocked(&ours, &map, ip(1), 60));
}

#[test]
fn a_full_set_widens_the_most_crowded_network_and_frees_nobody() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, None, 8);
    let others = (3..WAYS as u32 - 2).map(|network| network << 8 | 1);
    let addresses: Vec<IpAddr> = [1, 2, 3, 0x101, 0x102].into_iter().chain(others).map(ip).collect();
    assert_eq!(addresses.len(), WAYS);
    for address in &addresses {
        let recorded = fail_five_times(&blocks, &store, *address);
        assert!(matches!(recorded, Recorded::Blocked { widened: None, .. }), "{recorded:?}");
    }
    let recorded = fail_five_times(&blocks, &store, ip(0xff01));
    let Recorded::Blocked { block, widened: Some(widened), .. } = recorded else { panic!("{recorded:?}") };
    assert_eq!((block.prefix, widened.to_string().as_str()), (Prefix::of(ip(0xff01)), "0.0.0.0/24"));
    assert!(addresses.iter().all(|address| is_blocked(&blocks, &store, *address, 0)));
    assert!(is_blocked(&blocks, &store, ip(0x77), 0) && !is_blocked(&blocks, &store, ip(0x177), 0));
    assert_eq!(blocks.unblock(&store, ip(0x77), at(0)).unwrap(), [widened]);
}

#[test]
fn a_table_full_of_networks_says_that_there_is_no_room_and_keeps_the_count() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, Some(60), 8);
    let full = WAYS as u32;
    for number in 0..full {
        fail_five_times(&blocks, &store, ip(number << 8));
    }
    assert_eq!(fail_five_times(&blocks, &store, ip(full << 8)), Recorded::NoRoom { failures: 5 });
    // As soon as a block has ended, the next failure blocks.
    assert!(matches!(fail(&blocks, &store, ip(full << 8), 60), Recorded::Blocked { failures: 5, .. }));
}

/// Counters for eight addresses, all of them taken by addresses of other networks.
fn without_counters(store: &dyn SharedStore, entries: u32) -> Blocks {
    let policy = BlockPolicy { failures: "5/hour".parse().unwrap(), block_for: Some(Duration::from_secs(600)) };
    let blocks = Blocks::open(&Space::open(store, "test", [5; 16]).unwrap(), store, policy, entries, 8).unwrap();
    for network in 0..8 {
        assert_eq!(fail(&blocks, store, ip(network << 8), 0), Recorded::Counted { failures: 1, degraded: false });
    }
    blocks
}

#[test]
fn failures_of_others_block_no_address_and_a_network_by_many_times_as_many() {
    let store = MemoryStore::new();
    let blocks = without_counters(&store, 64);
    let address = |n: u32| ip(0xffff_ff00 | n);
    for n in 0..39 {
        let recorded = fail(&blocks, &store, address(n), 0);
        assert_eq!(recorded, Recorded::Counted { failures: n + 1, degraded: true });
        assert!(!is_blocked(&blocks, &store, address(n), 0));
    }
    let network = Prefix::of(address(0)).widened();
    let block = Block { prefix: network, until: Some(at(600)) };
    let recorded = fail(&blocks, &store, address(39), 0);
    assert_eq!(recorded, Recorded::Blocked { block, again: false, failures: 40, widened: None, degraded: true });
    assert!(is_blocked(&blocks, &store, address(200), 599) && !is_blocked(&blocks, &store, address(200), 600));
    assert!(!is_blocked(&blocks, &store, ip(0xffff_fe00), 0), "another network");
    assert_eq!(fail(&blocks, &store, address(1), 600), Recorded::Counted { failures: 1, degraded: true }, "anew");
    assert_eq!(blocks.unblock(&store, address(1), at(599)).unwrap(), [network]);
    assert_eq!(fail(&blocks, &store, address(1), 601), Recorded::Counted { failures: 1, degraded: true }, "forgotten");
}

#[test]
fn where_networks_have_to_share_a_counter_nobody_is_blocked() {
    let store = MemoryStore::new();
    let blocks = without_counters(&store, 8);
    for n in 0..2_000 {
        let recorded = fail(&blocks, &store, ip(n << 8 | 0x8000_0000), 0);
        assert!(matches!(recorded, Recorded::Counted { degraded: true, .. }), "{n} {recorded:?}");
    }
}

#[test]
fn the_block_of_a_network_takes_the_place_of_those_of_its_addresses() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, None, 8);
    fail_five_times(&blocks, &store, ip(1));
    let narrow = blocks_at(store.get(&blocks.key(Prefix::of(ip(1)))).unwrap().as_ref(), at(0));
    let network = Block { prefix: Prefix::of(ip(1)).widened(), until: Some(at(600)) };
    let mut held = narrow.clone();
    let placed = insert(&mut held, network).unwrap();
    assert_eq!((placed.block.until, held.len(), placed.again), (None, 1, false), "for as long as the longest");
    assert!(insert(&mut held, narrow[0]).unwrap().again, "covered");
}

#[test]
fn pages_through_every_block_once() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, Some(60), 256);
    let mut blocked: Vec<String> = (0..50).map(|number| Prefix::of(ip(number << 8)).to_string()).collect();
    for number in 0..50 {
        fail_five_times(&blocks, &store, ip(number << 8));
    }
    let (mut listed, mut next, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(from) = next {
        let page = blocks.list(&store, from, 10, at(0)).unwrap();
        listed.extend(page.blocks.iter().map(|block| block.prefix.to_string()));
        (next, pages) = (page.next, pages + 1);
    }
    listed.sort();
    blocked.sort();
    assert_eq!(listed, blocked);
    assert!((3..=6).contains(&pages), "{pages}");
    assert!(blocks.list(&store, 0, 99, at(60)).unwrap().blocks.is_empty());
    assert_eq!(blocks.list(&store, u64::MAX, 9, at(0)).unwrap().next, None);
}

#[test]
fn foreign_bytes_block_nobody() {
    let store = MemoryStore::new();
    let blocks = blocks(&store, None, 8);
    fail_five_times(&blocks, &store, ip(1));
    for bytes in [vec![7; 40], vec![1; 40], vec![1, 32]] {
        store.damage(|_, value| value.clone_from(&bytes));
        assert!(!is_blocked(&blocks, &store, ip(1), 0));
        assert!(blocks.record_failure(&store, ip(1), at(0)).is_ok());
    }
}
