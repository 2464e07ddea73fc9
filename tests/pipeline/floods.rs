//! Floods of distinct addresses, IPv4 and IPv6, at the tables that requests meet: limits and blocks.
//!
//! `FLOOD_ADDRESSES` says how many; otherwise as many as fill small tables many times over in a second. Ten million, at the
//! tables of the reference configuration, take some minutes at the profile `soak`: `make soak` sends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use portcullis::store::MemoryStore;
use portcullis::table::Space;
use portcullis::table::blocks::{BlockPolicy, Blocks, Recorded};
use portcullis::table::limiter::{Demand, Key, Limiter, Rates, Sizes};
use portcullis::table::rate::Rate;
use portcullis::time::Timestamp;

const START: u64 = 1_800_000_000;

/// How many distinct addresses come by, half of each kind.
fn addresses(usual: u64) -> u64 {
    std::env::var("FLOOD_ADDRESSES").map_or(usual, |text| text.parse().expect("FLOOD_ADDRESSES is a number"))
}

/// The tables of `reference.yaml` for ten million addresses, and in proportion for fewer: always far too small.
fn entries(addresses: u64) -> u32 {
    u32::try_from((addresses / 150).clamp(128, 65_536)).unwrap()
}

/// Address `number` of the flood, each another: spread over all networks, every second one a /64 of its own.
fn stranger(number: u64) -> IpAddr {
    let spread = number.wrapping_mul(0x9E37_79B1);
    match number % 2 {
        0 => Ipv4Addr::from_bits(0x1000_0000 | spread as u32 & 0x0FFF_FFFF).into(),
        _ => {
            Ipv6Addr::from_bits(u128::from(0x2400 << 48 | spread & 0xFFFF_FFFF_FFFF) << 64 | u128::from(number)).into()
        }
    }
}

/// Those who were there before, and honest ones who come after: each of a network of its own, none in the flood.
fn client(group: u16, number: u16) -> IpAddr {
    match number % 2 {
        0 => Ipv4Addr::from_bits(0xC000_0000 | u32::from(group) << 20 | u32::from(number) << 8 | 7).into(),
        _ => Ipv6Addr::new(0x2001, group, number, 0, 0, 0, 0, 1).into(),
    }
}

const VICTIMS: u16 = 40;

/// Sends the flood and says what its second half added: keys, and bytes as a share of what they were.
fn flood(store: &MemoryStore, addresses: u64, mut each: impl FnMut(IpAddr, Timestamp)) -> (usize, f64) {
    let began = Instant::now();
    let mut before = (0, 0);
    for number in 0..addresses {
        if number == addresses / 2 {
            before = (store.keys(), store.bytes());
        }
        // A minute for all of them: within the windows of those who came before.
        let now = START * 1_000_000_000 + number * 60_000_000_000 / addresses;
        each(stranger(number), Timestamp::from_unix_nanos(now));
    }
    let (keys, bytes) = (store.keys(), store.bytes());
    println!(
        "{addresses} addresses in {:.1} s: {} keys and {} KiB after half of them, {keys} and {} KiB at the end",
        began.elapsed().as_secs_f64(),
        before.0,
        before.1 / 1024,
        bytes / 1024
    );
    (keys - before.0, bytes as f64 / before.1 as f64)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START + seconds)
}

#[test]
fn a_flood_at_a_limit_leaves_memory_flat_the_exhausted_refused_and_strangers_served() {
    let addresses = addresses(20_000);
    let (entries, store) = (entries(addresses), &MemoryStore::new());
    let sizes = Sizes { addresses: entries, named: 64 };
    let limiter = Limiter::open(Space::open(store, "flood", [7; 16]).unwrap(), store, sizes).unwrap();
    let rates = Rates::from("100/15m".parse::<Rate>().unwrap());
    let ask = |who: IpAddr, now| {
        let demand = Demand { limit: "per_address", rates, key: Key::Address(who), cost: 1 };
        limiter.decide(store, now, &[demand]).unwrap()
    };
    for number in 0..VICTIMS {
        assert_eq!((0..103).filter(|_| ask(client(1, number), at(0)).is_admitted()).count(), 100);
    }
    let mut degraded = 0;
    let (more_keys, growth) = flood(store, addresses, |who, now| degraded += u64::from(ask(who, now).degraded));
    assert!(degraded > addresses / 10, "the tables were not full: {degraded}");
    assert!(more_keys == 0 && growth < 1.1, "{more_keys} keys more, {growth} times the bytes");
    assert!(store.bytes() < entries as usize * 300, "{}", store.bytes());
    for number in 0..VICTIMS {
        assert!(!ask(client(1, number), at(61)).is_admitted(), "victim {number} was forgotten");
    }
    let served = (0..200).filter(|number| ask(client(2, *number), at(61)).is_admitted()).count();
    assert!(served >= 190, "{served} of 200 strangers were served");
}

#[test]
fn a_flood_of_failures_leaves_memory_flat_the_blocked_shut_out_and_strangers_alone() {
    let addresses = addresses(10_000);
    let (entries, store) = (entries(addresses), &MemoryStore::new());
    let policy = BlockPolicy { failures: "5/h".parse().unwrap(), block_for: Some(Duration::from_secs(3600)) };
    let space = Space::open(store, "flood", [7; 16]).unwrap();
    let room = (entries / 16).max(64);
    let blocks = Blocks::open(&space, store, policy, room, entries).unwrap();
    let fail = |who: IpAddr, now| blocks.record_failure(store, who, now).unwrap();
    for number in 0..VICTIMS {
        let last = (0..5).map(|_| fail(client(1, number), at(0))).collect::<Vec<_>>().pop();
        assert!(matches!(last, Some(Recorded::Blocked { .. })), "{last:?}");
    }
    // Whoever fails once is a stranger yet. Those who share a counter for want of room fail together, and are blocked.
    let (more_keys, growth) = flood(store, addresses, |who, now| {
        if blocks.is_blocked(store, who, now).unwrap().is_none() {
            fail(who, now);
        }
    });
    // Of the blocks' own sets, made when first needed, the later part of the flood may still have needed some.
    assert!(more_keys <= room as usize / 8, "{more_keys} keys more");
    assert!(growth < 1.1, "{growth} times the bytes");
    assert!(store.bytes() < entries as usize * 300, "{}", store.bytes());
    for number in 0..VICTIMS {
        let blocked = blocks.is_blocked(store, client(1, number), at(61)).unwrap();
        assert!(blocked.is_some(), "victim {number} was let go");
    }
    let shut_out = (0..200).filter(|number| blocks.is_blocked(store, client(2, *number), at(61)).unwrap().is_some());
    assert_eq!(shut_out.count(), 0, "of 200 strangers who never failed");
}
