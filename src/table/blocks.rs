//! Blocked addresses and the failures that lead there.
//!
//! Failures within the window are counted by a limiter of their own; the one that fills it blocks the address. Blocks of
//! one /24 or /48 share a stored value, so that one read, most often of an absent key, answers for the address and its
//! network. A block that still holds is never evicted. Where a set is full, the addresses of the network with most of its
//! entries become one block of that network; where no two share a network, nothing is blocked, and both are said.
//! The caller asks about networks that are never blocked before it asks here, for a widened block knows no exceptions.

use super::address::Prefix;
use super::bytes::Reader;
use super::hash::Message;
use super::limiter::{Demand, Key, Limiter, Rates, Sizes, Verdict};
use super::rate::Rate;
use super::{Fill, LINGER, MAX_TRIES, Space, TableError};
use crate::order;
use crate::store::{SharedStore, StoreError, Stored, Write};
use crate::time::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// Blocks of one stored value, 13 bytes each, for which a table is made. Few, so that most requests ask for a value that
/// is not there.
const USUAL_WAYS: u32 = 8;

/// Blocks of one stored value at most: a quarter of a /24 before the rest of it is blocked as well.
const WAYS: usize = 64;

/// Sets that one page of the list looks at.
const SETS_PER_PAGE: u64 = 4096;

const FORMAT: u8 = 1;

/// When and for how long addresses are blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPolicy {
    /// So many failures in any such window block.
    pub failures: Rate,
    /// `None`: until somebody unblocks it.
    pub block_for: Option<Duration>,
}

/// A block that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The address, or the network where the table was full.
    pub prefix: Prefix,
    /// Until when, in whole seconds; `None`: until somebody unblocks it.
    pub until: Option<Timestamp>,
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// So many failures are counted, fewer than block.
    Counted {
        /// Failures in the window.
        failures: u32,
        /// The table is full: they are counted together with those of other addresses.
        degraded: bool,
    },
    /// The address is blocked from now on.
    Blocked {
        /// The block that covers it.
        block: Block,
        /// It was blocked already, by a failure at the same time, and is for longer now.
        again: bool,
        /// Failures in the window.
        failures: u32,
        /// The table is full: this network is blocked as a whole now. It need not be that of the address.
        widened: Option<Prefix>,
        /// The table is full: failures of other addresses were counted with its own.
        degraded: bool,
    },
    /// The address should be blocked, but the table is full of blocks that hold. Its failures stay counted.
    NoRoom {
        /// Failures in the window.
        failures: u32,
    },
}

/// One page of the blocks that hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPage {
    /// In no particular order.
    pub blocks: Vec<Block>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<u64>,
}

/// The blocked addresses, shared by all workers.
#[derive(Debug)]
pub struct Blocks {
    space: Space,
    policy: BlockPolicy,
    sets: u64,
    failures: Limiter,
}

impl Blocks {
    /// Room for `entries` blocks, more where they crowd, and failure counters for `counters` addresses, rounded up to
    /// whole sets; fixed memory: at most 104 bytes for each entry.
    ///
    /// # Errors
    /// As for [`Blocks::record_failure`].
    pub fn open(
        space: &Space,
        store: &dyn SharedStore,
        policy: BlockPolicy,
        entries: u32,
        counters: u32,
    ) -> Result<Self, TableError> {
        let sizes = Sizes { addresses: counters, named: 0 };
        let failures = Limiter::open(space.part("f"), store, sizes)?;
        let sets = u64::from(entries.div_ceil(USUAL_WAYS).max(1));
        Ok(Self { space: space.clone(), policy, sets, failures })
    }

    /// Counts a failure of `address`, and blocks it with the last one that is allowed.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn record_failure(
        &self,
        store: &dyn SharedStore,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Recorded, TableError> {
        let demand = self.demand(address);
        let decision = self.failures.decide(store, now, &[demand])?;
        let (limit, degraded) = (self.policy.failures.limit(), decision.degraded);
        let left = decision.windows.first().map_or(0, |window| window.remaining);
        let failures = limit - left.min(limit);
        if decision.verdict == Verdict::Admitted && left > 0 {
            return Ok(Recorded::Counted { failures, degraded });
        }
        let Some(Placed { block, widened, again }) = self.block(store, address, now)? else {
            return Ok(Recorded::NoRoom { failures });
        };
        // Once the block has ended, it takes as many failures again.
        self.failures.forget(store, &demand)?;
        Ok(Recorded::Blocked { block, again, failures, widened, degraded })
    }

    /// The block that covers `address`, if any: one read.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails.
    pub fn is_blocked(
        &self,
        store: &dyn SharedStore,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Option<Block>, TableError> {
        let prefix = Prefix::of(address);
        let key = self.key(prefix);
        let Some(stored) = store.get(&key)? else { return Ok(None) };
        let blocks = blocks_at(Some(&stored), now);
        if !stored.value.is_empty() && blocks_at(Some(&stored), now.before(LINGER)).is_empty() {
            // An empty value costs the host no copy, so that a set is cheap again some time after its blocks have ended.
            let _ = store.replace(&key, &[], stored.cas)?;
        }
        Ok(blocks.into_iter().find(|block| covers(block.prefix, prefix)))
    }

    /// How full one set is, chosen by `lot`.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        let stored = store.get(&self.space.key(TABLE, lot % self.sets))?;
        Ok(Fill { used: blocks_at(stored.as_ref(), now).len(), room: USUAL_WAYS as usize })
    }

    /// Ends every block that covers `address` and forgets its failures. Gives what was blocked until now.
    ///
    /// # Errors
    /// As for [`Blocks::record_failure`].
    pub fn unblock(&self, store: &dyn SharedStore, address: IpAddr, now: Timestamp) -> Result<Vec<Prefix>, TableError> {
        let prefix = Prefix::of(address);
        self.failures.forget(store, &self.demand(address))?;
        let key = self.key(prefix);
        for _ in 0..MAX_TRIES {
            let Some(stored) = store.get(&key)? else { return Ok(Vec::new()) };
            let (ended, kept): (Vec<Block>, Vec<Block>) =
                blocks_at(Some(&stored), now).into_iter().partition(|block| covers(block.prefix, prefix));
            if ended.is_empty() || write(store, &key, &kept, Some(&stored))? == Write::Done {
                return Ok(ended.into_iter().map(|block| block.prefix).collect());
            }
        }
        Err(TableError::Contended)
    }

    /// The blocks that hold, from the place `from` (0 to begin) on: whole sets until there are `at_least` so many.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails.
    pub fn list(
        &self,
        store: &dyn SharedStore,
        from: u64,
        at_least: usize,
        now: Timestamp,
    ) -> Result<BlockPage, TableError> {
        let mut blocks = Vec::new();
        let end = from.saturating_add(SETS_PER_PAGE).min(self.sets);
        for set in from..end {
            if blocks.len() >= at_least {
                return Ok(BlockPage { blocks, next: Some(set) });
            }
            blocks.extend(blocks_at(store.get(&self.space.key(TABLE, set))?.as_ref(), now));
        }
        Ok(BlockPage { blocks, next: (end < self.sets && end > from).then_some(end) })
    }

    /// Blocks `address`. `None` where nothing helped.
    fn block(&self, store: &dyn SharedStore, address: IpAddr, now: Timestamp) -> Result<Option<Placed>, TableError> {
        let prefix = Prefix::of(address);
        let until = self.policy.block_for.map(|span| second_after(now.after(span)));
        let key = self.key(prefix);
        for _ in 0..MAX_TRIES {
            let stored = store.get(&key)?;
            let mut blocks = blocks_at(stored.as_ref(), now);
            let Some(placed) = insert(&mut blocks, Block { prefix, until }) else { return Ok(None) };
            if write(store, &key, &blocks, stored.as_ref())? == Write::Done {
                return Ok(Some(placed));
            }
        }
        Err(TableError::Contended)
    }

    fn key(&self, prefix: Prefix) -> String {
        let [place, _] = self.space.hash(&Message::of(&[b"block", &prefix.widened().to_bytes()]));
        self.space.key(TABLE, place % self.sets)
    }

    fn demand(&self, address: IpAddr) -> Demand<'static> {
        Demand { limit: "failures", rates: Rates::from(self.policy.failures), key: Key::Address(address), cost: 1 }
    }
}

const TABLE: &str = "b";

fn covers(block: Prefix, prefix: Prefix) -> bool {
    block == prefix || block == prefix.widened()
}

/// A block in its set.
struct Placed {
    /// The one that covers the address now.
    block: Block,
    /// The network that had to be blocked for want of room.
    widened: Option<Prefix>,
    /// It held before.
    again: bool,
}

/// Adds a block to those of a set.
fn insert(blocks: &mut Vec<Block>, new: Block) -> Option<Placed> {
    if let Some(held) = blocks.iter_mut().find(|held| covers(held.prefix, new.prefix)) {
        held.until = later(held.until, new.until);
        return Some(Placed { block: *held, widened: None, again: true });
    }
    blocks.push(new);
    if blocks.len() <= WAYS {
        return Some(Placed { block: new, widened: None, again: false });
    }
    let (network, _) = crowded(blocks)?;
    let wide = blocks.extract_if(.., |block| block.prefix.widened() == network);
    let until = wide.map(|block| block.until).reduce(later)?;
    let wide = Block { prefix: network, until };
    blocks.push(wide);
    let block = if covers(network, new.prefix) { wide } else { new };
    Some(Placed { block, widened: Some(network), again: false })
}

/// The network with most entries of a set, if it has two.
fn crowded(blocks: &[Block]) -> Option<(Prefix, usize)> {
    let mut networks: Vec<Prefix> = blocks.iter().map(|block| block.prefix.widened()).collect();
    order::sort(&mut networks);
    let crowds = networks.chunk_by(|one, other| one == other).filter(|crowd| crowd.len() > 1);
    crowds.max_by_key(|crowd| crowd.len()).and_then(|crowd| Some((*crowd.first()?, crowd.len())))
}

fn later(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    Some(one?.max(other?))
}

/// The whole second from which on `moment` has passed, at most what an entry holds.
fn second_after(moment: Timestamp) -> Timestamp {
    let seconds = moment.unix_nanos().div_ceil(1_000_000_000);
    Timestamp::from_unix_seconds(seconds.min(u64::from(FOREVER) - 1))
}

/// The second of expiry that stands for none.
const FOREVER: u32 = u32::MAX;

/// The blocks that hold. Bytes of another format hold none.
fn blocks_at(stored: Option<&Stored>, now: Timestamp) -> Vec<Block> {
    let mut reader = Reader::new(stored.map_or(&[], |stored| stored.value.as_slice()));
    if reader.u8() != Some(FORMAT) {
        return Vec::new();
    }
    let entries = std::iter::from_fn(|| Some((reader.array()?, reader.u32()?)));
    let held = entries.filter(|(_, until)| *until == FOREVER || u64::from(*until) > now.unix_seconds());
    held.filter_map(|(prefix, until)| {
        let until = (until != FOREVER).then(|| Timestamp::from_unix_seconds(until.into()));
        Some(Block { prefix: Prefix::from_bytes(prefix)?, until })
    })
    .collect()
}

fn write(store: &dyn SharedStore, key: &str, blocks: &[Block], stored: Option<&Stored>) -> Result<Write, TableError> {
    let mut value = Vec::with_capacity(1 + blocks.len() * 13);
    if !blocks.is_empty() {
        value.push(FORMAT);
    }
    for block in blocks {
        let until = block.until.map_or(FOREVER, |until| u32::try_from(until.unix_seconds()).unwrap_or(FOREVER - 1));
        value.extend_from_slice(&block.prefix.to_bytes());
        value.extend_from_slice(&until.to_le_bytes());
    }
    Ok(match stored {
        Some(stored) => store.replace(key, &value, stored.cas)?,
        None => store.create(key, &value)?,
    })
}

#[cfg(test)]
mod tests {
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
}
