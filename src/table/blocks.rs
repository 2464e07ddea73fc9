//! Blocked addresses and the failures that lead there.
//!
//! Failures within the window are counted by a limiter of their own; the one that fills it blocks the address. Where an
//! address has to share its counter, nobody is blocked for what that counts: the failure is counted for its network instead,
//! and [`CROWD`] times as many block the network. Where networks have to share as well, nobody is blocked. Blocks of
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

/// A network is blocked for so many times the failures that block an address.
const CROWD: u32 = 8;

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
        /// The table is full: they are those of its network.
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
        /// The table is full: they are those of its network, which is blocked as a whole.
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
    /// Of addresses without a counter of their own.
    networks: Limiter,
    /// So many failures of a network block it.
    crowd: Rate,
}

/// What a counter says of one failure more.
struct Count {
    failures: u32,
    /// It blocks.
    full: bool,
    /// The counter counts failures of others as well.
    shared: bool,
}

impl Blocks {
    /// Room for `entries` blocks, more where they crowd, and failure counters for `counters` addresses and as many networks
    /// as blocks, rounded up to whole sets; fixed memory: at most 104 bytes for each entry.
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
        let limiter = |part, addresses| Limiter::open(space.part(part), store, Sizes { addresses, named: 0 });
        let (failures, networks) = (limiter("f", counters)?, limiter("w", entries)?);
        let sets = u64::from(entries.div_ceil(USUAL_WAYS).max(1));
        let crowd = Rate::new(policy.failures.limit().saturating_mul(CROWD), policy.failures.window());
        let crowd = crowd.unwrap_or(policy.failures);
        Ok(Self { space: space.clone(), policy, sets, failures, networks, crowd })
    }

    /// Counts a failure of `address`, and blocks it with the last one that is allowed, or its network where only that has a
    /// counter.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn record_failure(
        &self,
        store: &dyn SharedStore,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Recorded, TableError> {
        let own = Prefix::of(address);
        let counted = count(&self.failures, store, &demand(own, self.policy.failures), now)?;
        if !counted.shared {
            return self.judge(store, own, counted, now);
        }
        let network = own.widened();
        let counted = count(&self.networks, store, &demand(network, self.crowd), now)?;
        if counted.shared {
            return Ok(Recorded::Counted { failures: counted.failures, degraded: true });
        }
        self.judge(store, network, counted, now)
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
        self.forget(store, prefix)?;
        self.forget(store, prefix.widened())?;
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
        Ok(BlockPage { blocks, next: (end < self.sets).then_some(end) })
    }

    /// Blocks what has failed too often.
    fn judge(
        &self,
        store: &dyn SharedStore,
        prefix: Prefix,
        Count { failures, full, .. }: Count,
        now: Timestamp,
    ) -> Result<Recorded, TableError> {
        let degraded = prefix.is_wide();
        if !full {
            return Ok(Recorded::Counted { failures, degraded });
        }
        let Some(Placed { block, widened, again }) = self.block(store, prefix, now)? else {
            return Ok(Recorded::NoRoom { failures });
        };
        // Once the block has ended, it takes as many failures again.
        self.forget(store, prefix)?;
        Ok(Recorded::Blocked { block, again, failures, widened, degraded })
    }

    /// Forgets the failures of an address, or those that were counted for a network.
    fn forget(&self, store: &dyn SharedStore, prefix: Prefix) -> Result<(), TableError> {
        match prefix.is_wide() {
            true => self.networks.forget(store, &demand(prefix, self.crowd)),
            false => self.failures.forget(store, &demand(prefix, self.policy.failures)),
        }
    }

    /// Blocks an address or a network. `None` where nothing helped.
    fn block(&self, store: &dyn SharedStore, prefix: Prefix, now: Timestamp) -> Result<Option<Placed>, TableError> {
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
}

/// One failure of an address, or of a network.
fn demand(prefix: Prefix, rate: Rate) -> Demand<'static> {
    Demand { limit: "failures", rates: Rates::from(rate), key: Key::Address(prefix.first()), cost: 1 }
}

fn count(limiter: &Limiter, store: &dyn SharedStore, demand: &Demand<'_>, now: Timestamp) -> Result<Count, TableError> {
    let decision = limiter.decide(store, now, std::slice::from_ref(demand))?;
    let limit = demand.rates.sustained.limit();
    let left = decision.windows.first().map_or(0, |window| window.remaining);
    let full = decision.verdict != Verdict::Admitted || left == 0;
    Ok(Count { failures: limit - left.min(limit), full, shared: decision.degraded })
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
    if new.prefix.is_wide() {
        let block = widen(blocks, new);
        return Some(Placed { block, widened: None, again: false });
    }
    blocks.push(new);
    if blocks.len() <= WAYS {
        return Some(Placed { block: new, widened: None, again: false });
    }
    let (network, _) = crowded(blocks)?;
    let wide = widen(blocks, Block { prefix: network, until: new.until });
    let block = if covers(network, new.prefix) { wide } else { new };
    Some(Placed { block, widened: Some(network), again: false })
}

/// Puts a network in the place of all its addresses, for as long as the longest of them.
fn widen(blocks: &mut Vec<Block>, network: Block) -> Block {
    let narrow = blocks.extract_if(.., |block| block.prefix.widened() == network.prefix);
    let until = narrow.fold(network.until, |until, block| later(until, block.until));
    let wide = Block { until, ..network };
    blocks.push(wide);
    wide
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
mod tests;
