//! Limits that a service counts for the whole fleet, by leases of its quota.
//!
//! Three rungs: the service's quota; while the service is away this process's share of the limit, counted here; and
//! where the shared data fails, too, nothing is known and the check fails. A request waits for the service only when
//! there is no lease at all: a lease that runs low is renewed in the background, by one worker for all, and a service
//! that is away is looked for in the background only.

use std::rc::Rc;
use std::time::Duration;

use super::headers::Told;
use crate::check::{Background, Call, Callout, CalloutReply, Env, GrpcStatus};
use crate::event::{EventType, Notice};
use crate::exchange::{Exchange, Leasing};
use crate::quota::circuit::Change;
use crate::quota::client::{Client, Wanted};
use crate::quota::lease::{Taken, Terms, Why};
use crate::quota::leases::Key;
use crate::quota::message::{Answer, METHOD, Question, SERVICE};
use crate::table::TableError;
use crate::table::rate::Rate;
use crate::time::Timestamp;

/// The service that counts for one limit.
#[derive(Debug)]
pub struct Service {
    /// Its place among all, and that of its client in [`crate::worker::Worker::quota_clients`].
    pub index: usize,
    /// The limit's name.
    pub limit: Rc<str>,
    /// What its burst is counted as, whoever counts the rest.
    pub burst: Rc<str>,
    /// Its Envoy cluster.
    pub cluster: Rc<str>,
    /// The domain that is asked about.
    pub domain: Rc<str>,
    /// The key of the descriptor.
    pub descriptor: Rc<str>,
    /// How many hits are leased at once, at most.
    pub lease: u32,
    /// How long one question may take, and how long one request may wait in all.
    pub timeout: Duration,
    /// The share of the limit that this process admits while the service is away.
    pub local_share: f64,
}

/// What is known about one request's quota.
pub(super) enum Quota {
    /// No service counts; this process does.
    Here,
    /// A hit was taken of a lease.
    Leased { remaining: Option<u32>, reset_after: Duration },
    /// There is none, for so long.
    Exhausted { retry_after: Duration },
    /// The service is away: what this process may admit by itself.
    Share(Rate),
    /// Nobody was asked, for another limit has none.
    Unasked,
    /// The service is asked; the request waits.
    Asked(Callout),
}

impl Quota {
    pub(super) fn refuses(&self) -> bool {
        matches!(self, Self::Exhausted { .. })
    }

    /// The window that the service counts.
    pub(super) fn told<'a>(&self, limit: &'a str, rate: Rate) -> Option<Told<'a>> {
        let (remaining, reset_after) = match self {
            Self::Leased { remaining, reset_after } => (*remaining, *reset_after),
            Self::Exhausted { retry_after } => (Some(0), *retry_after),
            Self::Unasked => (None, Duration::ZERO),
            Self::Here | Self::Share(_) | Self::Asked(_) => return None,
        };
        let remaining = remaining.map(|remaining| remaining.min(rate.limit()));
        Some(Told { limit, is_burst: false, rate, remaining, reset_after })
    }
}

/// How the names begin of what exchanges ask for together.
const FLIGHT: &str = "rate_limit_service/";
/// Without a request to wait for it, a probe comes about this soon.
const SOON: Duration = Duration::from_secs(1);

impl Service {
    /// Counts a request that comes by; what is owed for vain waits is paid in these.
    pub(super) fn request_passes(&self, env: &mut Env<'_>) {
        if let Some(client) = self.client(env) {
            client.circuit.request_passes();
        }
    }

    /// Takes one hit of the quota of `value`.
    ///
    /// # Errors
    /// [`TableError`] where the shared data cannot be used: nothing is known then.
    pub(super) fn take(
        &self,
        value: &Rc<str>,
        rate: Rate,
        exchange: &mut Exchange,
        env: &mut Env<'_>,
    ) -> Result<Quota, TableError> {
        let wanted = Wanted { value: value.clone(), terms: self.terms(rate) };
        match env.worker.leases.take(env.host.store(), self.key(value), env.now)? {
            Taken::Leased { remaining, reset_after, low } => {
                if low {
                    self.ask_ahead(wanted, env);
                }
                Ok(Quota::Leased { remaining, reset_after })
            }
            Taken::Exhausted { retry_after, ask: false } => Ok(Quota::Exhausted { retry_after }),
            Taken::Exhausted { retry_after, ask: true } => {
                let asked = self.ask(wanted, &mut exchange.leasing, env)?;
                Ok(asked.map_or(Quota::Exhausted { retry_after }, Quota::Asked))
            }
            Taken::Nothing => {
                let asked = self.ask(wanted, &mut exchange.leasing, env)?;
                Ok(asked.map_or_else(|| self.share(rate, env), Quota::Asked))
            }
        }
    }

    /// Puts a hit back.
    pub(super) fn give_back(&self, value: &str, env: &mut Env<'_>) {
        // A hit that cannot be put back is lost, like a lease that is not used up.
        let _ = env.worker.leases.give_back(env.host.store(), self.key(value), env.now);
    }

    /// A request has its answer, which [`Refill`] heard before.
    pub(super) fn waited(&self, reply: &CalloutReply, leasing: &mut Leasing, env: &mut Env<'_>) {
        if answer(reply).is_none() {
            leasing.lost = true;
            self.client(env).into_iter().for_each(|client| client.circuit.waited_in_vain());
        }
    }

    /// The question for which a request waits. `None`: it must not wait; the background sees to it.
    fn ask(&self, wanted: Wanted, leasing: &mut Leasing, env: &mut Env<'_>) -> Result<Option<Callout>, TableError> {
        let now = env.now;
        let waited = leasing.since.map(|since| now.since(since)).unwrap_or_default();
        // Hosts count timeouts in milliseconds.
        let left = self.timeout.checked_sub(waited).filter(|left| left.as_millis() > 0 && !leasing.lost);
        let Some(client) = self.client(env) else { return Ok(None) };
        let Some(timeout) = left.filter(|_| client.circuit.admits_wait() && client.has_room(now)) else {
            self.ask_ahead(wanted, env);
            return Ok(None);
        };
        let under_way = client.on_its_way(&wanted.value, now).map(|(number, asked)| (number, asked.hits));
        let (number, hits) = match under_way {
            Some(under_way) => under_way,
            None => {
                let (store, key) = (env.host.store(), self.key(&wanted.value));
                let hits = env.worker.leases.ask(store, key, (&wanted.terms, Why::Wait), now)?.unwrap_or(1);
                let Some(client) = self.client(env) else { return Ok(None) };
                (client.asks(wanted.clone(), hits, now), hits)
            }
        };
        leasing.since.get_or_insert(now);
        leasing.asked = Some(self.index);
        let flight = Some(Rc::from(format!("{FLIGHT}{}/{number}", self.index)));
        Ok(Some(Callout { timeout, flight, ..self.callout(&wanted.value, hits) }))
    }

    /// Has a lease renewed while nobody waits.
    fn ask_ahead(&self, wanted: Wanted, env: &mut Env<'_>) {
        let now = env.now;
        let Some(client) = self.client(env) else { return };
        if client.circuit.admits_probe(now) {
            client.want(wanted);
            env.worker.stirred |= client.running.is_none();
        }
    }

    /// What this process may admit by itself.
    fn share(&self, rate: Rate, env: &mut Env<'_>) -> Quota {
        // A share that is not nothing admits somebody.
        let limit = (f64::from(rate.limit()) * self.local_share).max(f64::from(u8::from(self.local_share > 0.0)));
        match Rate::new(limit as u32, rate.window()) {
            Ok(share) => Quota::Share(share),
            Err(_) => {
                let now = env.now;
                let retry_after = self.client(env).and_then(|client| client.circuit.reopens_in(now));
                Quota::Exhausted { retry_after: retry_after.unwrap_or(SOON).max(SOON) }
            }
        }
    }

    /// The question of this service that a flight asks.
    fn asked_in(&self, flight: &str) -> Option<u64> {
        let (index, number) = flight.strip_prefix(FLIGHT)?.split_once('/')?;
        number.parse().ok().filter(|_| index.parse() == Ok(self.index))
    }

    fn settle(&self, wanted: &Wanted, hits: u32, answer: Option<Answer>, env: &mut Env<'_>) -> Result<(), TableError> {
        let (store, key) = (env.host.store(), self.key(&wanted.value));
        env.worker.leases.settle(store, key, &wanted.terms, (hits, answer), env.now)
    }

    fn callout(&self, value: &str, hits: u32) -> Callout {
        let question = Question { domain: &self.domain, descriptor: &self.descriptor, value, hits };
        Callout {
            cluster: self.cluster.clone(),
            call: Call::Grpc { service: SERVICE, method: METHOD },
            body: question.encode(),
            timeout: self.timeout,
            flight: None,
        }
    }

    /// A lease above the limit would always be refused.
    fn terms(&self, rate: Rate) -> Terms {
        Terms { most: self.lease.min(rate.limit()), window: rate.window(), timeout: self.timeout }
    }

    fn key<'k>(&'k self, value: &'k str) -> Key<'k> {
        Key { limit: &self.limit, value }
    }

    fn client<'e>(&self, env: &'e mut Env<'_>) -> Option<&'e mut Client> {
        env.worker.quota_clients.get_mut(self.index)
    }
}

/// What a reply says; `None`: nothing that could be believed.
fn answer(reply: &CalloutReply) -> Option<Answer> {
    match reply {
        CalloutReply::Grpc { status: GrpcStatus::OK, message } => Answer::decode(message).ok(),
        _ => None,
    }
}

/// Takes note of whether the service answers, and what there is to tell of it.
fn note(limit: &str, client: &mut Client, answer: Option<Answer>, now: Timestamp) -> Option<Notice> {
    let change = match answer {
        Some(_) => client.circuit.succeeded(),
        None => client.circuit.failed(now),
    };
    let reason = match change? {
        Change::Opened => {
            client.forget_wanted();
            "rate_limit_service_unavailable"
        }
        Change::Closed => "rate_limit_service_recovered",
    };
    let dependency = Some(Rc::from(format!("limits.{limit}.rate_limit_service")));
    Some(Notice { dependency, ..Notice::new(EventType::Degraded, reason) })
}

/// Takes the answers for one limit, and renews its leases while nobody waits, one after the other.
#[derive(Debug)]
pub struct Refill(pub Rc<Service>);

impl Background for Refill {
    fn due(&self, env: &mut Env<'_>) -> Option<Callout> {
        let now = env.now;
        loop {
            let client = self.0.client(env).filter(|client| client.circuit.admits_probe(now))?;
            let wanted = client.next_wanted()?;
            let (store, key) = (env.host.store(), self.0.key(&wanted.value));
            let asked = env.worker.leases.ask(store, key, (&wanted.terms, Why::Ahead), now).ok()?;
            let Some(hits) = asked else { continue };
            let callout = self.0.callout(&wanted.value, hits);
            self.0.client(env)?.running = Some((wanted, hits));
            return Some(callout);
        }
    }

    fn urgent(&self, env: &mut Env<'_>) -> Option<Callout> {
        self.due(env)
    }

    fn arrived(&self, reply: &CalloutReply, env: &mut Env<'_>) -> Option<Callout> {
        let (answer, now) = (answer(reply), env.now);
        let client = self.0.client(env)?;
        let (wanted, hits) = client.running.take()?;
        let notice = note(&self.0.limit, client, answer, now);
        // Who was refused asks for less, and who was not answered is asked for again.
        if !matches!(answer, Some(Answer::Granted(_))) {
            client.want(wanted.clone());
        }
        env.worker.notices.extend(notice);
        // A lease that cannot be written is lost.
        let _ = self.0.settle(&wanted, hits, answer, env);
        self.due(env)
    }

    /// What was granted is there for whoever comes next, also when nobody of those who asked waits any more.
    fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        let Some(question) = self.0.asked_in(flight) else { return };
        let (answer, now) = (answer(reply), env.now);
        let Some(client) = self.0.client(env) else { return };
        let Some(asked) = client.answered(question) else { return };
        let notice = note(&self.0.limit, client, answer, now);
        env.worker.notices.extend(notice);
        // As above.
        let _ = self.0.settle(&asked.wanted, asked.hits, answer, env);
    }
}
