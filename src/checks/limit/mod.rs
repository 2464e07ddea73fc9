//! How often: all windows of all limits of a route in one decision, those that a service counts for the whole fleet too.
//!
//! A hit of leased quota is taken first and put back if another window refuses; a request that no lease admits charges
//! no window.

mod budget;
mod fleet;
mod headers;
mod key;

use std::rc::Rc;

use crate::check::{Arrival, Await, Check, Env, Failure, Step};
use crate::denial::Denial;
use crate::exchange::Exchange;
use crate::policy::roles::RoleSet;
use crate::table::TableError;
use crate::table::limiter::{Decision, Demand, Rates, Standing, Verdict};
use crate::table::rate::Rate;
pub use budget::AddressBudget;
use fleet::Quota;
pub use fleet::{Refill, Service};
pub use headers::Headers;
use headers::{Told, whole_seconds};
pub use key::KeyPart;
use key::{Owned, descriptor_value};

/// One limit: what it counts by, and how many.
#[derive(Debug)]
pub struct Limit {
    /// Its name in the configuration, in events and in headers.
    pub name: Rc<str>,
    /// What is counted together; every part must be the same.
    pub key: Vec<KeyPart>,
    /// Rates by role or claim; the first that fits.
    pub tiers: Vec<Tier>,
    /// A second, shorter window.
    pub burst: Option<Rate>,
    /// For callers without a subject; without it they are counted by address at the rate of the last tier.
    pub anonymous: Option<(Vec<KeyPart>, Rate)>,
    /// Who counts for the whole fleet; `None`: this process counts for itself.
    pub service: Option<Rc<Service>>,
}

/// A rate for some callers.
#[derive(Debug)]
pub struct Tier {
    /// Callers with one of these roles; `None`: whoever.
    pub roles: Option<RoleSet>,
    /// Callers whose claims have these values.
    pub claims: Vec<super::authorize::Condition>,
    /// Their rate.
    pub rate: Rate,
}

/// The limits of one route, decided at once: no window is charged by a request that another refuses.
#[derive(Debug)]
pub struct EnforceLimits {
    /// In the operator's order.
    pub limits: Vec<Rc<Limit>>,
    /// What the client is told.
    pub headers: Headers,
}

/// Windows that are counted in this process.
struct Here<'c> {
    /// The name that they are counted under.
    counter: &'c str,
    rates: Rates,
    /// Without the sustained window.
    burst_alone: bool,
}

/// What one limit counts this request by.
struct Counted<'l> {
    limit: &'l Limit,
    rates: Rates,
    key: Owned,
    /// Who counts, and under what.
    service: Option<(&'l Service, Rc<str>)>,
}

impl Check for EnforceLimits {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        self.services().for_each(|service| service.request_passes(env));
        self.attempt(exchange, env)
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        let (Arrival::Reply(reply), Some(index)) = (arrival, exchange.leasing.asked.take()) else {
            return Step::Fail(Failure::UnexpectedArrival);
        };
        let Some(service) = self.services().find(|service| service.index == index) else {
            return Step::Fail(Failure::UnexpectedArrival);
        };
        service.waited(reply, &mut exchange.leasing, env);
        self.attempt(exchange, env)
    }
}

impl EnforceLimits {
    fn services(&self) -> impl Iterator<Item = &Service> {
        self.limits.iter().filter_map(|limit| limit.service.as_deref())
    }

    /// Decides with what is known now.
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let counted: Vec<Counted<'_>> = self.limits.iter().filter_map(|limit| limit.counted(exchange)).collect();
        let mut quotas = Vec::with_capacity(counted.len());
        let mut refused = false;
        for one in &counted {
            match one.quota(refused, exchange, env) {
                Ok(Quota::Asked(callout)) => {
                    give_back(&counted, &quotas, env);
                    return Step::Await(Await::Callout(callout));
                }
                Ok(quota) => {
                    refused |= quota.refuses();
                    quotas.push(quota);
                }
                Err(_) => {
                    give_back(&counted, &quotas, env);
                    return Step::Fail(Failure::Store);
                }
            }
        }
        match decide(&counted, &quotas, env) {
            Ok(decision) => self.conclude(exchange, env, &counted, &quotas, &decision),
            Err(failure) => {
                give_back(&counted, &quotas, env);
                Step::Fail(failure)
            }
        }
    }

    fn conclude(
        &self,
        exchange: &mut Exchange,
        env: &mut Env<'_>,
        counted: &[Counted<'_>],
        quotas: &[Quota],
        decision: &Decision,
    ) -> Step {
        if decision.degraded {
            exchange.degraded = Some("limits_table_full");
        }
        let (told, refused) = told(counted, quotas, decision);
        self.headers.tell(exchange, &told, refused);
        let Some(refused) = refused.and_then(|at| told.get(at)) else { return Step::Pass };
        give_back(counted, quotas, env);
        let retry_after = whole_seconds(refused.reset_after);
        Step::Deny(Denial::RateLimited { limit: Rc::from(refused.limit), retry_after })
    }
}

/// Takes from every window that is counted here, or from none; where a lease is refused, from none.
fn decide<'c>(counted: &'c [Counted<'c>], quotas: &[Quota], env: &mut Env<'_>) -> Result<Decision, Failure> {
    let parts: Vec<Vec<&[u8]>> = counted.iter().map(|one| one.key.parts()).collect();
    let mut demands = Vec::with_capacity(counted.len());
    for ((one, quota), parts) in counted.iter().zip(quotas).zip(&parts) {
        let demand =
            |here: Here<'c>| Demand { limit: here.counter, rates: here.rates, key: one.key.key(parts), cost: 1 };
        demands.extend(one.here(quota).map(demand));
    }
    let (limiter, store) = (&env.worker.limiter, env.host.store());
    let refused = quotas.iter().any(Quota::refuses);
    let decision =
        if refused { limiter.peek(store, env.now, &demands) } else { limiter.decide(store, env.now, &demands) };
    decision.map_err(|_| Failure::Store)
}

/// Puts back what was taken of leases.
fn give_back(counted: &[Counted<'_>], quotas: &[Quota], env: &mut Env<'_>) {
    for (one, quota) in counted.iter().zip(quotas) {
        if let (Some((service, value)), Quota::Leased { .. }) = (&one.service, quota) {
            service.give_back(value, env);
        }
    }
}

/// Every window, and the place of the one that refuses for longest.
fn told<'c>(counted: &'c [Counted<'c>], quotas: &[Quota], decision: &Decision) -> (Vec<Told<'c>>, Option<usize>) {
    let mut told: Vec<Told<'c>> = Vec::with_capacity(decision.windows.len() + 1);
    let mut refusing = Vec::new();
    let mut demand = 0;
    for (one, quota) in counted.iter().zip(quotas) {
        if let Some(window) = quota.told(&one.limit.name, one.rates.sustained) {
            if quota.refuses() {
                refusing.push(told.len());
            }
            told.push(window);
        }
        for here in one.here(quota) {
            let windows = decision.windows.iter().enumerate().filter(|(_, standing)| standing.demand == demand);
            for (nth, (at, standing)) in windows.enumerate() {
                let mut window = one.told(standing, here.burst_alone || nth > 0);
                if let Verdict::Refused { window: fullest, retry_after } = decision.verdict
                    && fullest == at
                {
                    refusing.push(told.len());
                    window.reset_after = retry_after.unwrap_or(standing.rate.window());
                }
                told.push(window);
            }
            demand += 1;
        }
    }
    let longest = refusing.into_iter().max_by_key(|at| told.get(*at).map(|window| window.reset_after));
    (told, longest)
}

impl Counted<'_> {
    /// What is known of its quota; nobody is asked where another limit refuses already.
    fn quota(&self, refused: bool, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<Quota, TableError> {
        match &self.service {
            None => Ok(Quota::Here),
            Some(_) if refused => Ok(Quota::Unasked),
            Some((service, value)) => service.take(value, self.rates.sustained, exchange, env),
        }
    }

    /// What of it is counted in this process. Where a service counts, the burst is a counter of its own, so that it is the
    /// same whether the service answers or not.
    fn here(&self, quota: &Quota) -> impl Iterator<Item = Here<'_>> {
        let limit = &*self.limit.name;
        let (first, burst) = match (&self.service, quota) {
            (None, _) => (Some(self.rates), None),
            (Some((service, _)), Quota::Share(rate)) => (Some(Rates::from(*rate)), Some(&service.burst)),
            (Some((service, _)), _) => (None, Some(&service.burst)),
        };
        let first = first.map(|rates| Here { counter: limit, rates, burst_alone: false });
        let burst = burst.zip(self.rates.burst);
        let burst = burst.map(|(counter, rate)| Here { counter, rates: Rates::from(rate), burst_alone: true });
        first.into_iter().chain(burst)
    }

    /// A window that is counted here; the burst is a policy of its own.
    fn told(&self, standing: &Standing, is_burst: bool) -> Told<'_> {
        Told {
            limit: &self.limit.name,
            is_burst,
            rate: standing.rate,
            remaining: Some(standing.remaining),
            reset_after: standing.reset_after,
        }
    }
}

impl Limit {
    /// What this request counts for; `None` when no tier fits it.
    fn counted(&self, exchange: &Exchange) -> Option<Counted<'_>> {
        let caller = exchange.caller.as_deref();
        let named = self.key.iter().all(|part| part.is_known(caller));
        if let (false, Some((key, rate))) = (named, &self.anonymous) {
            return Some(Counted {
                limit: self,
                rates: Rates::from(*rate),
                key: Owned::of(key, exchange),
                service: None,
            });
        }
        let tier = self.tiers.iter().find(|tier| tier.fits(exchange))?;
        let rates = Rates { sustained: tier.rate, burst: self.burst };
        // Who has no name is counted by address: unlimited would be the wrong default.
        let parts = if named { &self.key[..] } else { &[KeyPart::ClientIp] };
        let service = self.service.as_deref().map(|service| (service, descriptor_value(parts, exchange)));
        Some(Counted { limit: self, rates, key: Owned::of(parts, exchange), service })
    }
}

impl Tier {
    fn fits(&self, exchange: &Exchange) -> bool {
        let role = self.roles.is_none_or(|roles| exchange.caller.as_ref().is_some_and(|c| c.roles.intersects(roles)));
        role && self.claims.iter().all(|condition| condition.holds(exchange))
    }
}
