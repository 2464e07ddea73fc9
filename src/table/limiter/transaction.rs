//! One decision over several sets: read, check, write in order, take back. The proof is in the module above.

use super::super::bytes::Reader;
use super::super::counter::{Counter, Pending};
use super::super::rate::Rate;
use super::super::set::{Room, Set};
use super::super::window::Window;
use super::super::{MAX_TRIES, TableError};
use super::{Decision, Demand, Limiter, Name, Standing, Verdict, read, worker_key};
use crate::order;
use crate::store::{Cas, SharedStore, Stored, Write};
use crate::time::Timestamp;
use std::time::Duration;

/// One decision under way.
pub(super) struct Transaction<'a> {
    limiter: &'a Limiter,
    store: &'a dyn SharedStore,
    now: u64,
    /// Worker and number of its last final decision, as learnt during this decision.
    finals: Vec<(u32, u64)>,
    take: bool,
    /// Sets may be what this worker wrote last.
    remembers: bool,
}

impl<'a> Transaction<'a> {
    /// A decision at `now` that takes permits, or only looks.
    pub(super) fn new(limiter: &'a Limiter, store: &'a dyn SharedStore, now: Timestamp, take: bool) -> Self {
        Self { limiter, store, now: now.unix_nanos(), finals: Vec::new(), take, remembers: take }
    }

    /// From now on sets are read.
    pub(super) fn read_anew(&mut self) {
        self.remembers = false;
    }

    /// One try; `None` where it must start anew.
    pub(super) fn attempt(&mut self, demands: &[Demand<'_>], names: &[Name]) -> Result<Option<Decision>, TableError> {
        let Some(pages) = self.locate(demands, names)? else { return Ok(None) };
        let sequence = self.limiter.sequence.get() + 1;
        let last = pages.len().saturating_sub(1);
        let mut evaluated: Vec<Evaluated> = Vec::with_capacity(pages.len());
        for (at, page) in pages.iter().enumerate() {
            let mode = if at < last { Mode::Pending(sequence) } else { Mode::Final };
            evaluated.push(self.evaluate(page, demands, mode));
        }
        let fits = evaluated.iter().flat_map(|page| &page.outcomes).all(|outcome| outcome.fits);
        let unclear: Vec<u32> = evaluated.iter().flat_map(|page| page.unclear.iter().copied()).collect();
        if !(fits && unclear.is_empty()) && pages.iter().any(|page| page.remembered) {
            return Ok(None);
        }
        let uncharged = || pages.iter().map(|page| self.evaluate(page, demands, Mode::Uncharged)).collect();
        if !fits {
            let standing = uncharged();
            self.tidy(&pages)?;
            return Ok(Some(decision(standing, false)));
        }
        if !unclear.is_empty() {
            self.learn(&unclear)?;
            return Ok(None);
        }
        if !self.take {
            return Ok(Some(decision(uncharged(), true)));
        }
        let written = self.write(&pages, &mut evaluated, demands, sequence)?;
        Ok(written.then(|| decision(evaluated, true)))
    }

    /// Reads the sets of all demands, each once, in the order of their keys.
    fn locate(&mut self, demands: &[Demand<'_>], names: &[Name]) -> Result<Option<Vec<Page>>, TableError> {
        let mut pages: Vec<Page> = Vec::with_capacity(demands.len());
        for (at, (demand, name)) in demands.iter().zip(names).enumerate() {
            let known = pages.iter_mut().find(|page| page.key == name.key);
            let fresh = match known {
                Some(_) => None,
                None => Some(self.first_page(&name.key)?),
            };
            let value = known.as_deref().or(fresh.as_ref()).map_or(&[][..], |page| page.value.as_slice());
            let set = Set::decode(value);
            let room = set.room_for(name.tag, &demand.rates, self.now);
            if room == Room::Own {
                match (known, fresh) {
                    (Some(page), _) => page.demands.push((at, [name.tag; 2])),
                    (None, Some(mut page)) => {
                        page.demands.push((at, [name.tag; 2]));
                        pages.push(page);
                    }
                    (None, None) => {}
                }
                continue;
            }
            let page = known.as_deref().or(fresh.as_ref());
            if page.is_some_and(|page| page.remembered) {
                return Ok(None);
            }
            let cas = page.and_then(|page| page.cas);
            if self.take && !self.make_way(demand, name, set, cas, room)? {
                return Ok(None);
            }
            let group = self.limiter.group(demand, name);
            let tags = [group.tag, group.rest_tag];
            if let Some(page) = pages.iter_mut().find(|page| page.key == group.key) {
                page.demands.push((at, tags));
            } else {
                let mut page = self.page(group.key, true)?;
                page.demands.push((at, tags));
                pages.push(page);
            }
            // Only now, after the overflow set was read, does its version prove that the key had no counter of its own.
            if self.take && !self.still_overflows(demand, name)? {
                return Ok(None);
            }
        }
        order::sort_by(&mut pages, |a, b| a.key < b.key);
        Ok(Some(pages))
    }

    fn first_page(&self, key: &str) -> Result<Page, TableError> {
        let Some(Stored { value, cas }) = self.remembers.then(|| self.store.recent(key)).flatten() else {
            return self.page(key.to_owned(), false);
        };
        let key = key.to_owned();
        Ok(Page { key, value, cas: Some(cas), shared: false, remembered: true, demands: Vec::new() })
    }

    fn page(&self, key: String, shared: bool) -> Result<Page, TableError> {
        let (value, cas) = read(self.store, &key)?.map_or((Vec::new(), None), |(value, cas)| (value, Some(cas)));
        Ok(Page { key, value, cas, shared, remembered: false, demands: Vec::new() })
    }

    /// Whether the key may be counted in the overflow table now; if not, something was done about it.
    fn make_way(
        &mut self,
        demand: &Demand<'_>,
        name: &Name,
        mut set: Set<'_>,
        cas: Option<Cas>,
        room: Room,
    ) -> Result<bool, TableError> {
        match room {
            Room::Own => return Ok(true),
            Room::Joining => {
                self.join(demand, name)?;
                return Ok(false);
            }
            Room::AfterSpill => {
                let mut counter = set.take_own(name.tag, &demand.rates, self.now);
                counter.joining = true;
                set.put(name.tag, counter);
            }
            Room::Full => {
                // The counts last 1.02 windows; the second is for a worker that is slow to write them.
                let lasts = demand.rates.longest() / 50 * 51 + 1_000_000_000;
                let marked = set.spilled_until >= self.now.saturating_add(lasts);
                if !set.follow_clock(self.now) && marked {
                    return Ok(true);
                }
                set.spilled_until = set.spilled_until.max(self.now.saturating_add(2 * lasts));
            }
        }
        let _ = self.store_set(&name.key, &set.encode(), cas)?;
        Ok(false)
    }

    fn still_overflows(&self, demand: &Demand<'_>, name: &Name) -> Result<bool, TableError> {
        let value = read(self.store, &name.key)?.map(|(value, _)| value).unwrap_or_default();
        Ok(Set::decode(&value).find(name.tag, &demand.rates).is_none())
    }

    /// Opens a counter that was created `joining`, with the counts its key may have in the overflow table.
    fn join(&mut self, demand: &Demand<'_>, name: &Name) -> Result<(), TableError> {
        let group = self.limiter.group(demand, name);
        let page = self.page(group.key, true)?;
        let mut overflow = Set::decode(&page.value);
        overflow.follow_clock(self.now);
        if self.store_set(&page.key, &overflow.encode(), page.cas)? == Write::Lost {
            return Ok(());
        }
        let (_, mut counter) = overflow.take_group(group.tag, group.rest_tag, &demand.rates, self.now);
        counter.advance(self.now);
        counter.prune(|pending| self.is_final(pending));
        if !counter.pending.is_empty() {
            let unclear: Vec<u32> = counter.pending.iter().map(|pending| pending.worker).collect();
            return self.learn(&unclear);
        }
        let counter = counter.handed_on();
        let Some((value, cas)) = read(self.store, &name.key)? else { return Ok(()) };
        let mut set = Set::decode(&value);
        if set.room_for(name.tag, &demand.rates, self.now) == Room::Joining {
            set.put(name.tag, counter);
            let _ = self.store.replace(&name.key, &set.encode(), cas)?;
        }
        Ok(())
    }

    /// Charges every demand on one set, in memory.
    fn evaluate(&self, page: &Page, demands: &[Demand<'_>], mode: Mode) -> Evaluated {
        let mut set = Set::decode(&page.value);
        let mut result = Evaluated { value: Vec::new(), outcomes: Vec::new(), unclear: Vec::new() };
        for (at, tags) in &page.demands {
            let Some(demand) = demands.get(*at) else { continue };
            let [tag, rest_tag] = *tags;
            let (tag, mut counter) = match page.shared {
                false => (tag, set.take_own(tag, &demand.rates, self.now)),
                true => set.take_group(tag, rest_tag, &demand.rates, self.now),
            };
            counter.advance(self.now);
            counter.prune(|pending| self.is_final(pending));
            let mut outcome = self.check(*at, demand, &counter, &mut result.unclear);
            outcome.degraded |= page.shared;
            if outcome.fits && mode != Mode::Uncharged {
                self.charge(demand, &mut counter, mode, &mut result.unclear);
            }
            outcome.standings = self.standings(*at, demand, &counter, mode);
            set.put(tag, counter);
            result.outcomes.push(outcome);
        }
        result.value = set.encode();
        result
    }

    /// Whether the demand fits. It does not only if that is certain; where pending charges decide, they are `unclear`.
    fn check(&self, at: usize, demand: &Demand<'_>, counter: &Counter<'_>, unclear: &mut Vec<u32>) -> Outcome {
        let pending = counter.pending.iter().fold(0u32, |sum, pending| sum.saturating_add(pending.cost));
        let room = |total: u32, rate: Rate| total.saturating_add(demand.cost) <= rate.limit();
        let pairs = || counter.windows().zip(demand.rates.iter());
        let fits = pairs().all(|(window, rate)| room(window.total().saturating_sub(pending), rate));
        if fits && !pairs().all(|(window, rate)| room(window.total(), rate)) {
            unclear.extend(counter.pending.iter().map(|pending| pending.worker));
        }
        Outcome { demand: at, standings: Vec::new(), fits, degraded: counter.shared }
    }

    fn charge(&self, demand: &Demand<'_>, counter: &mut Counter<'_>, mode: Mode, unclear: &mut Vec<u32>) {
        counter.charge(demand.cost);
        let Mode::Pending(sequence) = mode else { return };
        if !counter.may_pend() {
            unclear.extend(counter.pending.iter().map(|pending| pending.worker));
        }
        let worker = self.limiter.worker;
        counter.pending.push(Pending { worker, sequence, cost: demand.cost, time: counter.time() });
    }

    /// Where the windows stand; what is charged does not wait.
    fn standings(&self, at: usize, demand: &Demand<'_>, counter: &Counter<'_>, mode: Mode) -> Vec<(Standing, Wait)> {
        let standing = |(window, rate): (&Window<'_>, Rate)| {
            let remaining = rate.limit().saturating_sub(window.total());
            let reset_after = Duration::from_nanos(counter.wait(window.clear_at(), self.now));
            let wait = match mode {
                Mode::Uncharged => window.fits_at(demand.cost, rate.limit()).map(|time| counter.wait(time, self.now)),
                Mode::Pending(_) | Mode::Final => Some(0),
            };
            (Standing { demand: at, rate, remaining, reset_after }, wait)
        };
        counter.windows().zip(demand.rates.iter()).map(standing).collect()
    }

    /// Writes the charged sets in order. Whether all were written; if not, none of them keeps a charge.
    fn write(
        &self,
        pages: &[Page],
        evaluated: &mut [Evaluated],
        demands: &[Demand<'_>],
        sequence: u64,
    ) -> Result<bool, TableError> {
        self.limiter.sequence.set(sequence);
        let last = pages.len().saturating_sub(1);
        for (at, (page, charged)) in pages.iter().zip(evaluated).enumerate() {
            let mode = if at < last { Mode::Pending(sequence) } else { Mode::Final };
            let written = match self.store_set(&page.key, &charged.value, page.cas) {
                Ok(Write::Done) => Ok(true),
                // The first has nothing to keep; a set of the overflow table must be read before anything else is.
                Ok(Write::Lost) if at == 0 || page.shared => Ok(false),
                Ok(Write::Lost) => self.write_again(page, charged, demands, mode),
                Err(error) => Err(error),
            };
            if !matches!(written, Ok(true)) {
                self.take_back(pages.get(..at).unwrap_or(&[]), sequence)?;
                return written;
            }
        }
        if last > 0 {
            self.publish(sequence)?;
        }
        Ok(true)
    }

    /// Charges a set that has changed meanwhile, if it still admits beyond doubt.
    fn write_again(
        &self,
        page: &Page,
        charged: &mut Evaluated,
        demands: &[Demand<'_>],
        mode: Mode,
    ) -> Result<bool, TableError> {
        for _ in 0..MAX_TRIES {
            let mut fresh = self.page(page.key.clone(), false)?;
            let set = Set::decode(&fresh.value);
            let own = |(at, [tag, _]): &(usize, [u64; 2])| {
                demands.get(*at).is_some_and(|demand| set.room_for(*tag, &demand.rates, self.now) == Room::Own)
            };
            if !page.demands.iter().all(own) {
                return Ok(false);
            }
            fresh.demands.clone_from(&page.demands);
            *charged = self.evaluate(&fresh, demands, mode);
            if !charged.unclear.is_empty() || charged.outcomes.iter().any(|outcome| !outcome.fits) {
                return Ok(false);
            }
            if self.store_set(&fresh.key, &charged.value, fresh.cas)? == Write::Done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes this decision's pending charges. If races are lost throughout, they stand.
    fn take_back(&self, pages: &[Page], sequence: u64) -> Result<(), TableError> {
        for page in pages {
            for _ in 0..MAX_TRIES {
                let Some((value, cas)) = read(self.store, &page.key)? else { break };
                let mut set = Set::decode(&value);
                let worker = self.limiter.worker;
                let found = set.counters_mut().fold(false, |any, counter| counter.abandon(worker, sequence) | any);
                if !found || self.store.replace(&page.key, &set.encode(), cas)? == Write::Done {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Stores a set read at version `cas`, or never written.
    fn store_set(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Write, TableError> {
        Ok(match cas {
            Some(cas) => self.store.replace(key, value, cas)?,
            None => self.store.create(key, value)?,
        })
    }

    /// A refusal counts nothing, but what it found out about a set must not be found out again by the next: that the
    /// clock was set back (else no time would ever pass for an exhausted key), and which pending charges are final.
    fn tidy(&self, pages: &[Page]) -> Result<(), TableError> {
        for page in pages.iter().filter(|_| self.take) {
            let mut set = Set::decode(&page.value);
            let mut changed = set.follow_clock(self.now);
            for tag in page.demands.iter().flat_map(|(_, tags)| tags) {
                let Some(counter) = set.find_mut(*tag) else { continue };
                let listed = counter.pending.len();
                counter.pending.retain(|pending| !self.knows_final(pending));
                changed |= counter.pending.len() < listed;
            }
            if changed {
                let _ = self.store_set(&page.key, &set.encode(), page.cas)?;
            }
        }
        Ok(())
    }

    /// Says that this worker's decisions up to `sequence` are final.
    fn publish(&self, sequence: u64) -> Result<(), TableError> {
        let worker = self.limiter.worker;
        let value = [worker.to_le_bytes().as_slice(), &sequence.to_le_bytes()].concat();
        Ok(self.store.put(&self.limiter.worker_key, &value)?)
    }

    /// Reads which decisions of `workers` are final.
    fn learn(&mut self, workers: &[u32]) -> Result<(), TableError> {
        let mut workers = workers.to_vec();
        order::sort(&mut workers);
        workers.dedup();
        for worker in workers {
            let Some((value, _)) = read(self.store, &worker_key(&self.limiter.space, worker))? else { continue };
            let mut reader = Reader::new(&value);
            // The place may be another worker's by now: then the charge stands when its second is over.
            if let (Some(held), Some(sequence)) = (reader.u32(), reader.u64())
                && held == worker
            {
                self.finals.retain(|(known, _)| *known != worker);
                self.finals.push((worker, sequence));
            }
        }
        Ok(())
    }

    /// This worker decides one thing after the other, so its own earlier charges are final.
    fn is_final(&self, pending: &Pending) -> bool {
        let own = pending.worker == self.limiter.worker && pending.sequence <= self.limiter.sequence.get();
        own || self.knows_final(pending)
    }

    fn knows_final(&self, pending: &Pending) -> bool {
        self.finals.iter().any(|(worker, last)| *worker == pending.worker && pending.sequence <= *last)
    }
}

/// A set as read, with the demands that fall into it.
struct Page {
    key: String,
    value: Vec<u8>,
    cas: Option<Cas>,
    /// Of the overflow table.
    shared: bool,
    /// Not read, but written by this worker: nothing but a charge may come of it.
    remembered: bool,
    demands: Vec<(usize, [u64; 2])>,
}

/// A set with every demand on it evaluated.
struct Evaluated {
    value: Vec<u8>,
    outcomes: Vec<Outcome>,
    /// Workers whose pending charges stand between this set and a certain answer.
    unclear: Vec<u32>,
}

struct Outcome {
    demand: usize,
    standings: Vec<(Standing, Wait)>,
    fits: bool,
    degraded: bool,
}

/// Nanoseconds until a window admits the cost; `None`: never.
type Wait = Option<u64>;

/// How a set is charged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not at all: to see where its windows stand.
    Uncharged,
    /// Until this worker's decision of this number is final or abandoned.
    Pending(u64),
    /// For good.
    Final,
}

fn decision(evaluated: Vec<Evaluated>, admitted: bool) -> Decision {
    let mut outcomes: Vec<Outcome> = evaluated.into_iter().flat_map(|page| page.outcomes).collect();
    order::sort_by(&mut outcomes, |a, b| a.demand < b.demand);
    let degraded = outcomes.iter().any(|outcome| outcome.degraded);
    let mut windows = Vec::with_capacity(outcomes.len() * 2);
    let (mut fullest, mut longest) = (0, Some(0));
    for (standing, wait) in outcomes.into_iter().flat_map(|outcome| outcome.standings) {
        if wait.unwrap_or(u64::MAX) >= longest.unwrap_or(u64::MAX) {
            (fullest, longest) = (windows.len(), wait);
        }
        windows.push(standing);
    }
    let verdict = match admitted {
        true => Verdict::Admitted,
        false => Verdict::Refused { window: fullest, retry_after: longest.map(Duration::from_nanos) },
    };
    Decision { verdict, windows, degraded }
}
