//! Rate limits: one decision over several sliding windows, all or nothing, exact across workers.
//!
//! The windows of one key (sustained and burst) are one counter; a counter lives in a set, one stored value; a write is a
//! compare-and-set of that value. `window` proves the two bounds for a counter that changes one step at a time, `counter`
//! says what time is. What is left to show here is that every decision acts like one step.
//!
//! # One set
//!
//! The usual decision: one read, all checks, one compare-and-set. If somebody wrote in between, it starts anew. A
//! refusal writes nothing.
//!
//! The first try may take for read what this worker wrote last ([`SharedStore::recent`]): its compare-and-set proves that
//! nobody wrote since, as it does after a read. Whatever does not end in that write is decided anew by what is read.
//!
//! # Several sets
//!
//! Reads all, checks all, and refuses without a write if any window is full. Otherwise the sets are written in the order
//! of their keys: in all but the last, the charge is listed as pending; the write of the last set is the moment of the
//! decision. If a set has changed meanwhile and no longer admits, the charges so far are taken back. Then the worker
//! publishes the number of its decision as final: one blind write of a key only it writes. Pending charges are never
//! tidied up for their own sake; the next write of the counter drops those that are final.
//!
//! - All or nothing: either the last set was written, then every set holds its charge, or none keeps one.
//! - Bound (a): a pending charge is counted from the start.
//! - Bound (b): where a refusal would rest on pending charges of other workers, their published numbers are read, then
//!   the counter again. Taking back happens before a worker's next decision, so a charge that is still listed although
//!   its worker has published its number or a later one is final. One that is not published makes this decision start
//!   anew, and after 128 times it is [`TableError::Contended`]: never a refusal.
//! - Nobody waits in a circle: a worker waits only for sets after those it has written, all in one order.
//! - A worker that died leaves a pending charge that stands after a second. (So does one that was stopped for longer
//!   than a second between two writes: the only case in which a window stays charged for a request that was refused.)
//!
//! # No room
//!
//! A counter that still counts is never evicted. Where all of a key's set are alive, the key shares a counter in the
//! overflow table: an address that of its /24 or /48, any other key one of a fixed number chosen by hash. Where that
//! table's set is full too, the groups that come to it share 24 counters per limit in it, chosen by hash. A shared counter has the same
//! limits, so (a) still holds for each key, and (b) for the keys that share, together; the decision says `degraded`.
//! So after any flood, of any size: memory is what it was, who was exhausted has a living counter and is refused, and
//! a stranger is served as long as those it shares with leave room.
//!
//! A key must not have a fresh counter while it has counts in the overflow table. So a set bears a mark, written before
//! the first of its keys overflows, that lasts until these counts are forgotten. While it lasts, a new counter is created
//! `joining`, used by nobody; then the overflow set is rewritten as it is, which makes fail every write that was decided
//! before the counter existed (an overflowing decision reads the overflow set before it looks again for a counter of
//! its own); then the counter takes over the group's counts as its own, at least what the key had, and is open.
//!
//! # Cost
//!
//! One read, which a worker that writes alone needs not make, and one compare-and-set per set, and one blind write for a decision over several. A refusal: one read per
//! set. Overflowing: three reads, one compare-and-set.
//!
//! # Memory
//!
//! A counter takes 45 bytes with one admission and one window, 14 more for a second window, up to 150 more per window in
//! use throughout (limits below 6,400), and 24 per pending charge, of which there are at most 16. With 65,536 entries a
//! table has 8,192 sets and as many for its overflow: under a flood of ten million distinct addresses 13 MB in all.

mod transaction;

use super::address::Prefix;
use super::hash::Message;
use super::rate::Rate;
use super::set::{Set, WAYS};
use super::{Fill, MAX_TRIES, Space, TableError};
use crate::store::{Cas, SharedStore, StoreError, Write};
use crate::time::Timestamp;
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;
use transaction::Transaction;

/// The windows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The limit over the longer run.
    pub sustained: Rate,
    /// What it may take at once.
    pub burst: Option<Rate>,
}

impl Rates {
    /// Sustained first, then burst.
    pub fn iter(&self) -> impl Iterator<Item = Rate> + use<> {
        std::iter::once(self.sustained).chain(self.burst)
    }

    fn longest(&self) -> u64 {
        self.iter().map(|rate| u64::from(rate.window_seconds())).max().unwrap_or(0) * 1_000_000_000
    }
}

impl From<Rate> for Rates {
    fn from(sustained: Rate) -> Self {
        Self { sustained, burst: None }
    }
}

/// Whose permits are taken.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A client address: IPv4 /32, IPv6 /64.
    Address(IpAddr),
    /// Anything else: what kind of thing it is (`subject`, provider, ...) and which, in as many parts as are needed.
    Named(&'a [&'a [u8]]),
}

/// Permits asked of the windows of one limit for one key.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The limit's name. Its counts survive changes of the permits per window and of the burst's length, which then
    /// begins anew, not of the sustained window's length.
    pub limit: &'a str,
    /// The windows.
    pub rates: Rates,
    /// Whose.
    pub key: Key<'a>,
    /// How many permits, all or none; more than one for a lease.
    pub cost: u32,
}

/// Where a window stands after the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The demand, by its place in the list.
    pub demand: usize,
    /// The window and its limit.
    pub rate: Rate,
    /// Permits left.
    pub remaining: u32,
    /// Until everything that counts now is forgotten and the whole limit is there again.
    pub reset_after: Duration,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every window was charged.
    Admitted,
    /// No window was charged.
    Refused {
        /// The window that takes longest to admit, by its place in [`Decision::windows`].
        window: usize,
        /// Who waits this long, alone, is admitted by every window. `None`: the cost is above a limit, never.
        retry_after: Option<Duration>,
    },
}

/// A decision and what the `RateLimit` header fields need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Admitted or refused.
    pub verdict: Verdict,
    /// Every window of every demand, in their order.
    pub windows: Vec<Standing>,
    /// A counter was shared with other keys for want of room.
    pub degraded: bool,
}

impl Decision {
    /// Whether every window was charged.
    pub fn is_admitted(&self) -> bool {
        self.verdict == Verdict::Admitted
    }
}

/// How many keys have counters of their own; fixed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Addresses.
    pub addresses: u32,
    /// All other keys.
    pub named: u32,
}

/// The limiter of one worker. All workers that open the same space with the same sizes decide as one.
#[derive(Debug)]
pub struct Limiter {
    space: Space,
    addresses: Table,
    named: Table,
    worker: u32,
    /// Where this worker publishes its decisions.
    worker_key: String,
    sequence: Cell<u64>,
}

impl Limiter {
    /// A limiter with room for `sizes`, rounded up to whole sets, and a number that tells it from all others.
    ///
    /// # Errors
    /// As for [`Limiter::decide`].
    pub fn open(space: Space, store: &dyn SharedStore, sizes: Sizes) -> Result<Self, TableError> {
        let worker = next_number(store, &format!("{}workers", space.prefix))?;
        let addresses = Table::new("a", "A", sizes.addresses);
        let named = Table::new("n", "N", sizes.named);
        let worker_key = worker_key(&space, worker);
        Ok(Self { space, addresses, named, worker, worker_key, sequence: Cell::new(0) })
    }

    /// Takes the cost of every demand from every window, or from none.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races. No permit is taken then.
    pub fn decide(
        &self,
        store: &dyn SharedStore,
        now: Timestamp,
        demands: &[Demand<'_>],
    ) -> Result<Decision, TableError> {
        self.run(store, now, demands, true)
    }

    /// What [`Limiter::decide`] would say, without taking anything.
    ///
    /// # Errors
    /// As for [`Limiter::decide`].
    pub fn peek(
        &self,
        store: &dyn SharedStore,
        now: Timestamp,
        demands: &[Demand<'_>],
    ) -> Result<Decision, TableError> {
        self.run(store, now, demands, false)
    }

    fn run(
        &self,
        store: &dyn SharedStore,
        now: Timestamp,
        demands: &[Demand<'_>],
        take: bool,
    ) -> Result<Decision, TableError> {
        let mut transaction = Transaction::new(self, store, now, take);
        let names: Vec<Name> = demands.iter().map(|demand| self.name(demand)).collect();
        for _ in 0..MAX_TRIES {
            if let Some(decision) = transaction.attempt(demands, &names)? {
                return Ok(decision);
            }
            transaction.read_anew();
        }
        Err(TableError::Contended)
    }

    /// Gives back what a decision at `then` took for this demand, as far as it still counts.
    ///
    /// # Errors
    /// As for [`Limiter::decide`].
    pub fn refund(&self, store: &dyn SharedStore, then: Timestamp, demand: &Demand<'_>) -> Result<(), TableError> {
        let name = self.name(demand);
        for _ in 0..MAX_TRIES {
            let (key, tag) = match read(store, &name.key)? {
                Some((value, _)) if Set::decode(&value).find(name.tag, &demand.rates).is_some() => {
                    (name.key.clone(), [name.tag, name.tag])
                }
                _ => {
                    let group = self.group(demand, &name);
                    (group.key, [group.tag, group.rest_tag])
                }
            };
            let Some((value, cas)) = read(store, &key)? else { return Ok(()) };
            let mut set = Set::decode(&value);
            let found = tag.into_iter().find(|tag| set.find(*tag, &demand.rates).is_some());
            let Some(counter) = found.and_then(|tag| set.find_mut(tag)) else { return Ok(()) };
            counter.refund(demand.cost, then.unix_nanos());
            if store.replace(&key, &set.encode(), cas)? == Write::Done {
                return Ok(());
            }
        }
        Err(TableError::Contended)
    }

    /// Forgets what the counter of its own counts for this demand's key. A shared counter is left as it is.
    ///
    /// # Errors
    /// As for [`Limiter::decide`].
    pub fn forget(&self, store: &dyn SharedStore, demand: &Demand<'_>) -> Result<(), TableError> {
        let name = self.name(demand);
        for _ in 0..MAX_TRIES {
            let Some((value, cas)) = read(store, &name.key)? else { return Ok(()) };
            let mut set = Set::decode(&value);
            if set.find(name.tag, &demand.rates).is_none_or(|counter| counter.joining) {
                return Ok(());
            }
            set.remove(name.tag);
            if store.replace(&name.key, &set.encode(), cas)? == Write::Done {
                return Ok(());
            }
        }
        Err(TableError::Contended)
    }

    /// How full one set of the counters is, chosen by `lot`: of addresses, or of all other keys.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(
        &self,
        store: &dyn SharedStore,
        of_addresses: bool,
        lot: u64,
        now: Timestamp,
    ) -> Result<Fill, StoreError> {
        let table = if of_addresses { &self.addresses } else { &self.named };
        let stored = store.get(&self.space.key(table.own, lot % table.sets))?;
        let used = stored.map_or(0, |stored| Set::decode(&stored.value).living(now.unix_nanos()));
        Ok(Fill { used, room: WAYS })
    }

    fn name(&self, demand: &Demand<'_>) -> Name {
        let own = demand.message(b"own");
        let (table, message) = match demand.key {
            Key::Address(address) => (&self.addresses, own.and(&[&Prefix::of(address).to_bytes()])),
            Key::Named(parts) => (&self.named, own.and(parts)),
        };
        let [place, tag] = self.space.hash(&message);
        Name { key: self.space.key(table.own, place % table.sets), tag, spread: place / table.sets }
    }

    fn group(&self, demand: &Demand<'_>, name: &Name) -> Group {
        let group = demand.shared_message(b"group");
        let (table, message) = match demand.key {
            Key::Address(address) => (&self.addresses, group.and(&[&Prefix::of(address).widened().to_bytes()])),
            Key::Named(_) => (&self.named, group.and(&[&(name.spread % self.named.groups).to_le_bytes()])),
        };
        let [place, tag] = self.space.hash(&message);
        let [rest_tag, _] = self.space.hash(&demand.shared_message(b"rest").and(&[&(tag % REST_PARTS).to_le_bytes()]));
        Group { key: self.space.key(table.overflow, place % table.sets), tag, rest_tag }
    }
}

impl Demand<'_> {
    /// What tells its counters from those of other limits and sustained windows.
    fn message(&self, what: &[u8]) -> Message {
        Message::of(&[what, self.limit.as_bytes(), &self.rates.sustained.window_seconds().to_le_bytes()])
    }

    /// Keys of one limit may differ in their burst; a counter that some of them share must not lose it to the others.
    fn shared_message(&self, what: &[u8]) -> Message {
        let burst = self.rates.burst.map_or(0, |rate| rate.window_seconds());
        self.message(what).and(&[&burst.to_le_bytes()])
    }
}

/// Counters per limit in a set of the overflow table for the groups it has no room for. What they admit is what is left
/// to strangers in the largest floods: with 65,536 entries there are 196,608, so at 100 permits each 19 million; and as the
/// addresses of one group come to the same, ten million leave room in nearly all of them.
const REST_PARTS: u64 = 24;

/// A table of counters and the one its keys overflow to, of the same size.
#[derive(Debug)]
struct Table {
    own: &'static str,
    overflow: &'static str,
    sets: u64,
    /// Keys that are not addresses overflow to one of so many counters: half of what the overflow table holds.
    groups: u64,
}

impl Table {
    fn new(own: &'static str, overflow: &'static str, entries: u32) -> Self {
        let sets = u64::from(entries).div_ceil(WAYS as u64).max(1);
        Self { own, overflow, sets, groups: sets * WAYS as u64 / 2 }
    }
}

/// A demand's key in its table.
struct Name {
    key: String,
    tag: u64,
    spread: u64,
}

/// A demand's shared counters.
struct Group {
    key: String,
    tag: u64,
    rest_tag: u64,
}

/// Workers start anew now and then and never end; their published numbers take this many keys.
const WORKER_KEYS: u64 = 256;

fn worker_key(space: &Space, worker: u32) -> String {
    space.key("w", u64::from(worker) % WORKER_KEYS)
}

fn read(store: &dyn SharedStore, key: &str) -> Result<Option<(Vec<u8>, Cas)>, TableError> {
    Ok(store.get(key)?.map(|stored| (stored.value, stored.cas)))
}

fn next_number(store: &dyn SharedStore, key: &str) -> Result<u32, TableError> {
    for _ in 0..MAX_TRIES {
        let Some(stored) = store.get(key)? else {
            let _ = store.create(key, &[0; 4])?;
            continue;
        };
        let number = <[u8; 4]>::try_from(stored.value.as_slice()).map_or(0, u32::from_le_bytes).wrapping_add(1);
        if store.replace(key, &number.to_le_bytes(), stored.cas)? == Write::Done {
            return Ok(number);
        }
    }
    Err(TableError::Contended)
}

#[cfg(test)]
mod tests;
