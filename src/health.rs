//! How the parts that decisions rest on fare: keys, secrets, tables, and how many callers there are. Measured beside the
//! requests, about once a second, by every worker: what they share shows what the last of them saw.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::check::Env;
use crate::checks::intrusion::Intrusion;
use crate::metrics::{Gauge, Table};
use crate::revocation::RevokedTokens;
use crate::secrets::SecretSlot;
use crate::store::StoreError;
use crate::table::Fill;
use crate::time::Timestamp;

/// Stored values of each table that one report looks at.
const SAMPLES: usize = 4;

/// The parts of one configuration.
pub struct Health {
    /// Providers that publish their keys, in the order of the worker's key sets.
    pub key_sets: Vec<Rc<str>>,
    /// Secrets that are fetched.
    pub secrets: Vec<Rc<SecretSlot>>,
    /// Every cluster that may be called.
    pub clusters: Vec<Rc<str>>,
    /// What is revoked.
    pub revoked: Rc<RevokedTokens>,
    /// Who is blocked; `None`: nobody ever is.
    pub intrusion: Option<Rc<Intrusion>>,
    /// What was seen of each table.
    pub seen: RefCell<[Seen; Table::ALL.len()]>,
    /// The first report.
    pub since: Cell<Option<Timestamp>>,
}

/// What was seen of one table; what was seen long ago counts for less.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    used: f64,
    room: f64,
}

impl Health {
    /// Every measure with its name, which says nothing a client has chosen.
    pub fn gauges(&self, service: &str) -> Vec<(Gauge, String)> {
        let key_sets = self.key_sets.iter().enumerate().map(|(at, name)| (Gauge::KeySetAge(at), &**name));
        let secrets =
            self.secrets.iter().enumerate().flat_map(|(at, slot)| {
                [Gauge::SecretAge(at), Gauge::SecretFailures(at)].map(|gauge| (gauge, slot.name()))
            });
        let tables = Table::ALL.iter().filter(|table| **table != Table::Blocks || self.intrusion.is_some());
        let tables = tables.map(|table| (Gauge::TableUse(*table), ""));
        let all = [(Gauge::ActiveSessions, "")].into_iter().chain(key_sets).chain(secrets).chain(tables);
        all.map(|(gauge, part)| (gauge, gauge.name(service, part))).collect()
    }

    /// Says where every measure stands.
    pub fn report(&self, env: &mut Env<'_>) {
        if let Ok(callers) = env.worker.sessions.estimate(env.host.store(), env.now) {
            env.host.gauge(Gauge::ActiveSessions, callers);
        }
        let since = self.since.get().unwrap_or(env.now);
        self.since.set(Some(since));
        let age =
            |moment: Timestamp| env.now.since(if moment == Timestamp::default() { since } else { moment }).as_secs();
        for (at, set) in env.worker.key_sets.iter().enumerate() {
            env.host.gauge(Gauge::KeySetAge(at), age(set.asked()));
        }
        for (at, slot) in self.secrets.iter().enumerate() {
            let (fetched, failures) = slot.last_good();
            env.host.gauge(Gauge::SecretAge(at), age(fetched));
            env.host.gauge(Gauge::SecretFailures(at), failures.into());
        }
        for table in Table::ALL {
            self.report_table(table, env);
        }
    }

    fn report_table(&self, table: Table, env: &mut Env<'_>) {
        let mut all = self.seen.borrow_mut();
        let Some(seen) = all.get_mut(table as usize) else { return };
        for _ in 0..SAMPLES {
            match self.fill(table, env) {
                Some(Ok(fill)) => seen.add(fill),
                Some(Err(_)) | None => return,
            }
        }
        env.host.gauge(Gauge::TableUse(table), seen.percent());
    }

    /// How full a part of a table is, chosen by lot; `None`: there is no such table.
    fn fill(&self, table: Table, env: &mut Env<'_>) -> Option<Result<Fill, StoreError>> {
        let (store, now, lot) = (env.host.store(), env.now, env.worker.lot.draw());
        Some(match table {
            Table::Limits => env.worker.limiter.fill(store, false, lot, now),
            Table::Addresses => env.worker.limiter.fill(store, true, lot, now),
            Table::Blocks => self.intrusion.as_ref()?.blocks.fill(store, lot, now),
            Table::Replay => env.worker.replay.fill(store, lot, now),
            Table::Revocations => self.revoked.fill(store, lot, now),
        })
    }
}

impl Seen {
    /// Half of what is known is forgotten after some 45 parts: about ten seconds.
    fn add(&mut self, fill: Fill) {
        const KEPT: f64 = 63.0 / 64.0;
        self.used = self.used * KEPT + fill.used as f64;
        self.room = self.room * KEPT + fill.room as f64;
    }

    /// Rounded up: nothing is 0, and little is not nothing. A table that holds more than it is made for is full.
    fn percent(self) -> u64 {
        if self.room == 0.0 { 0 } else { (100.0 * self.used / self.room).ceil().min(100.0) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_follows_what_is_seen_and_little_is_not_nothing() {
        let mut seen = Seen::default();
        assert_eq!(seen.percent(), 0);
        seen.add(Fill { used: 0, room: 8 });
        assert_eq!(seen.percent(), 0);
        seen.add(Fill { used: 1, room: 8 });
        assert_eq!(seen.percent(), 7);
        (0..1000).for_each(|_| seen.add(Fill { used: 4, room: 8 }));
        assert_eq!(seen.percent(), 50);
        (0..1000).for_each(|_| seen.add(Fill { used: 64, room: 8 }));
        assert_eq!(seen.percent(), 100);
    }
}
