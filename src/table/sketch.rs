//! How many different callers there were lately: an estimate of fixed size that all workers share (HyperLogLog: Flajolet,
//! Fusy, Gandouet and Meunier, 2007, with linear counting of few).
//!
//! Time is cut into panes, a quarter of the span each. A worker notes callers in a sketch of its own, which costs a request
//! a comparison and never a call of the host, and hands the registers that grew to the others now and then: one stored
//! value holds the sketches of the panes that still count, and their union is the answer. So a caller counts for the
//! span, and for up to one pane more.

use std::time::Duration;

use super::bytes::Reader;
use super::hash::Message;
use super::{MAX_TRIES, Space, TableError};
use crate::store::{SharedStore, Write};
use crate::time::Timestamp;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 11;
/// Registers, a byte each. The standard error is 1.04 / sqrt(2048), 2.3 percent.
const REGISTERS: usize = 1 << INDEX_BITS;
/// Panes of one span.
const PANES: u64 = 4;

/// What stands for a caller in every worker alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    register: u16,
    /// Leading zeros of the rest of the hash, and one.
    rank: u8,
}

impl Fingerprint {
    /// Of whatever tells callers apart.
    pub fn of(caller: &[u8]) -> Self {
        // Callers are verified: there is nobody to keep a seed from.
        let [hash, _] = Message::of(&[caller]).hash([0; 16]);
        let rest = hash << INDEX_BITS | 1 << (INDEX_BITS - 1);
        Self {
            register: u16::try_from(hash >> (u64::BITS - INDEX_BITS)).unwrap_or_default(),
            rank: u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX),
        }
    }
}

/// The callers that one worker has seen in the current pane, and what all workers have.
#[derive(Debug)]
pub struct Sketch {
    key: String,
    pane: Duration,
    /// Of `own`, counted from the epoch.
    number: u64,
    own: Box<[u8]>,
    /// `own` has grown since it was handed over.
    grown: bool,
    /// A pane that ended before it was handed over.
    late: Option<(u64, Box<[u8]>)>,
}

impl Sketch {
    /// Callers within `span`, which all workers must give alike.
    pub fn new(space: &Space, span: Duration) -> Self {
        let pane = (span / 4).max(Duration::from_secs(1));
        let key = format!("{}sessions/{}", space.prefix, pane.as_secs());
        Self { key, pane, number: 0, own: vec![0; REGISTERS].into(), grown: false, late: None }
    }

    /// Notes a caller whose request came at `received`. It may be of a pane that has ended, where the request took long: then
    /// its caller counts in the current one.
    pub fn see(&mut self, caller: Fingerprint, received: Timestamp) {
        let number = self.pane_at(received);
        if number != self.number && !counts(number, self.number) {
            let ended = std::mem::replace(&mut self.own, vec![0; REGISTERS].into());
            self.late = std::mem::take(&mut self.grown).then_some((self.number, ended));
            self.number = number;
        }
        let Some(register) = self.own.get_mut(usize::from(caller.register)) else { return };
        if *register < caller.rank {
            *register = caller.rank;
            self.grown = true;
        }
    }

    /// About how many callers all workers have seen. Hands over first what this one has seen and not told: one read, and a
    /// write only where a register grew.
    ///
    /// # Errors
    /// [`TableError::Store`] where the host fails, [`TableError::Contended`] after 128 lost races.
    pub fn estimate(&mut self, store: &dyn SharedStore, now: Timestamp) -> Result<u64, TableError> {
        let current = self.pane_at(now);
        if self.number > current {
            // The clock was set back.
            (self.number, self.grown) = (current, false);
            self.own.fill(0);
        }
        for _ in 0..MAX_TRIES {
            let stored = store.get(&self.key)?;
            let mut panes = panes(stored.as_ref().map_or(&[], |stored| &stored.value), current);
            if !self.merge_into(&mut panes, current) {
                return Ok(estimate(&panes));
            }
            let bytes = encode(&panes);
            let written = match &stored {
                Some(stored) => store.replace(&self.key, &bytes, stored.cas)?,
                None => store.create(&self.key, &bytes)?,
            };
            if written == Write::Done {
                (self.grown, self.late) = (false, None);
                return Ok(estimate(&panes));
            }
        }
        Err(TableError::Contended)
    }

    /// Whether that made a difference.
    fn merge_into(&self, panes: &mut Vec<(u64, Box<[u8]>)>, current: u64) -> bool {
        let own = self.grown.then_some((self.number, &self.own));
        let late = self.late.as_ref().map(|(number, registers)| (*number, registers));
        let news = late.into_iter().chain(own).filter(|(number, _)| counts(*number, current));
        news.fold(false, |any, (number, registers)| merge(panes, number, registers) | any)
    }

    fn pane_at(&self, now: Timestamp) -> u64 {
        now.unix_seconds() / self.pane.as_secs().max(1)
    }
}

/// The current pane and as many before it as make a whole span. One of the future was written before the clock was set
/// back.
fn counts(number: u64, current: u64) -> bool {
    number <= current && current - number <= PANES
}

/// Whether that made a difference.
fn merge(panes: &mut Vec<(u64, Box<[u8]>)>, number: u64, registers: &[u8]) -> bool {
    let Some((_, known)) = panes.iter_mut().find(|(known, _)| *known == number) else {
        panes.push((number, registers.into()));
        return true;
    };
    let grows = known.iter().zip(registers).any(|(known, register)| known < register);
    unite(known, registers);
    grows
}

fn unite(registers: &mut [u8], with: &[u8]) {
    for (register, other) in registers.iter_mut().zip(with) {
        *register = (*register).max(*other);
    }
}

/// The panes in a stored value that still count. Bytes of another form hold none.
fn panes(bytes: &[u8], current: u64) -> Vec<(u64, Box<[u8]>)> {
    let mut reader = Reader::new(bytes);
    let panes = std::iter::from_fn(|| Some((reader.u64()?, reader.take(REGISTERS)?.into())));
    panes.filter(|(number, _)| counts(*number, current)).collect()
}

fn encode(panes: &[(u64, Box<[u8]>)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(panes.len() * (REGISTERS + 8));
    for (number, registers) in panes {
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(registers);
    }
    bytes
}

fn estimate(panes: &[(u64, Box<[u8]>)]) -> u64 {
    let mut union = vec![0; REGISTERS];
    panes.iter().for_each(|(_, registers)| unite(&mut union, registers));
    let m = REGISTERS as f64;
    let empty = union.iter().filter(|register| **register == 0).count();
    // 2 to the power of minus the register, by its exponent alone.
    let sum: f64 = union.iter().map(|register| f64::from_bits((1023 - u64::from(*register)) << 52)).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let few = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
    few.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::store::racing::RacingStore;

    const SPAN: Duration = Duration::from_secs(900);
    /// The beginning of a pane.
    const START: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(START + seconds)
    }

    fn sketch(store: &MemoryStore) -> Sketch {
        Sketch::new(&Space::open(store, "test", [1; 16]).unwrap(), SPAN)
    }

    fn see(sketch: &mut Sketch, callers: std::ops::Range<u32>, now: Timestamp) {
        callers.for_each(|caller| sketch.see(Fingerprint::of(&caller.to_le_bytes()), now));
    }

    #[test]
    fn counts_different_callers_within_a_few_percent_however_many() {
        for count in [0, 1, 2, 10, 100, 1_000, 5_000, 20_000, 100_000] {
            let store = MemoryStore::new();
            let mut sketch = sketch(&store);
            see(&mut sketch, 0..count, at(0));
            see(&mut sketch, 0..count, at(1));
            let estimated = sketch.estimate(&store, at(1)).unwrap();
            let off = estimated.abs_diff(u64::from(count));
            assert!(off * 100 <= u64::from(count) * 6, "{count}: {estimated}");
        }
    }

    #[test]
    fn workers_count_together_and_a_caller_of_two_counts_once() {
        let store = MemoryStore::new();
        let (mut ours, mut theirs) = (sketch(&store), sketch(&store));
        see(&mut ours, 0..60, at(0));
        see(&mut theirs, 30..100, at(2));
        ours.estimate(&store, at(3)).unwrap();
        assert!((97..=103).contains(&theirs.estimate(&store, at(3)).unwrap()));
        assert_eq!(ours.estimate(&store, at(3)).unwrap(), theirs.estimate(&store, at(3)).unwrap());
    }

    #[test]
    fn a_caller_counts_for_the_span_and_at_most_a_quarter_more() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        see(&mut sketch, 0..1, at(224));
        for (seconds, expected) in [(224, 1), (900, 1), (1124, 1), (1125, 0)] {
            assert_eq!(sketch.estimate(&store, at(seconds)).unwrap(), expected, "{seconds}");
        }
        see(&mut sketch, 0..2, at(1200));
        assert_eq!(sketch.estimate(&store, at(1200)).unwrap(), 2);
    }

    #[test]
    fn nothing_is_written_while_no_register_grows_and_memory_is_fixed() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        see(&mut sketch, 0..1000, at(0));
        sketch.estimate(&store, at(0)).unwrap();
        let writes = std::cell::Cell::new(0);
        let counting = RacingStore::new(&store, |_, _, _| writes.set(writes.get() + 1));
        see(&mut sketch, 0..1000, at(10));
        sketch.estimate(&counting, at(10)).unwrap();
        assert_eq!(writes.get(), 0);
        for pane in 1..20 {
            see(&mut sketch, 0..100, at(pane * 225));
            sketch.estimate(&store, at(pane * 225)).unwrap();
        }
        assert!(store.bytes() < 5 * (REGISTERS + 8) + 200, "{}", store.bytes());
    }

    #[test]
    fn what_another_worker_wrote_first_is_not_lost() {
        let store = MemoryStore::new();
        let (mut ours, mut theirs) = (sketch(&store), sketch(&store));
        see(&mut ours, 0..50, at(0));
        see(&mut theirs, 50..100, at(0));
        let theirs = std::cell::RefCell::new(theirs);
        let racing = RacingStore::new(&store, |number, _, inner| {
            if number == 0 {
                theirs.borrow_mut().estimate(inner, at(0)).unwrap();
            }
        });
        assert!((97..=103).contains(&ours.estimate(&racing, at(0)).unwrap()));
    }

    #[test]
    fn a_caller_seen_at_the_end_of_a_pane_is_told_in_the_next() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        see(&mut sketch, 0..1, at(224));
        see(&mut sketch, 1..2, at(225));
        assert_eq!(sketch.estimate(&store, at(226)).unwrap(), 2);
    }

    #[test]
    fn requests_that_took_long_cost_nobody_its_place() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        for number in 0..400 {
            // Every other one came before the pane ended.
            see(&mut sketch, number..number + 1, at(220 + u64::from(number % 2) * 10));
        }
        let estimated = sketch.estimate(&store, at(230)).unwrap();
        assert!((380..=420).contains(&estimated), "{estimated}");
    }

    #[test]
    fn callers_count_at_once_after_a_clock_was_set_back_a_little() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        see(&mut sketch, 0..5, at(300));
        sketch.estimate(&store, at(300)).unwrap();
        sketch.estimate(&store, at(0)).unwrap();
        see(&mut sketch, 0..5, at(0));
        assert_eq!(sketch.estimate(&store, at(0)).unwrap(), 5);
    }

    #[test]
    fn a_clock_that_steps_back_and_damaged_bytes_are_forgotten() {
        let store = MemoryStore::new();
        let mut sketch = sketch(&store);
        see(&mut sketch, 0..10, at(100_000));
        assert_eq!(sketch.estimate(&store, at(100_000)).unwrap(), 10);
        assert_eq!(sketch.estimate(&store, at(0)).unwrap(), 0);
        see(&mut sketch, 0..3, at(0));
        assert_eq!(sketch.estimate(&store, at(0)).unwrap(), 3);
        store.damage(|key, value| {
            if key.contains("sessions") {
                value.truncate(7);
            }
        });
        assert_eq!(sketch.estimate(&store, at(0)).unwrap(), 0);
    }
}
