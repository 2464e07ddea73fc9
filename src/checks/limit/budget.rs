//! The budget for unverified credentials, per address.
//!
//! A credential that a callout judges is charged when it is asked about, so that no more can be under way than the budget
//! holds, and stays so where its client does not wait for the answer. What proves good is given back.

use std::net::IpAddr;
use std::time::Duration;

use super::headers::whole_seconds;
use crate::check::{Env, Failure, Step};
use crate::denial::Denial;
use crate::exchange::Exchange;
use crate::table::limiter::{Demand, Key, Rates, Verdict};
use crate::table::rate::Rate;
use crate::time::Timestamp;

/// How many credentials of an address may turn out bad before none of it is looked at any more.
#[derive(Debug)]
pub struct AddressBudget(pub Rate);

impl AddressBudget {
    /// The limit's name among the counters; no configured limit can have it.
    const NAME: &'static str = "\0unverified_credentials";

    /// Counts one bad credential of `client`.
    pub fn charge(&self, client: IpAddr, env: &mut Env<'_>) {
        // A table that cannot be written cannot count; the credential is refused all the same.
        let _ = env.worker.limiter.decide(env.host.store(), env.now, &[self.demand(client)]);
    }

    /// Charges the credential that `exchange` is about to have judged elsewhere, once.
    ///
    /// # Errors
    /// What the exchange comes to instead: its address has nothing left, and is not charged, or the counters cannot be written.
    pub fn charge_ahead(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<(), Step> {
        if exchange.charged.is_some() {
            return Ok(());
        }
        let decision = env.worker.limiter.decide(env.host.store(), env.now, &[self.demand(exchange.client())]);
        let Verdict::Refused { retry_after, .. } = decision.map_err(|_| Step::Fail(Failure::Store))?.verdict else {
            exchange.charged = Some(env.now);
            return Ok(());
        };
        let retry_after = self.note_spent(exchange.client(), retry_after, env);
        Err(Step::Deny(Denial::UnverifiedCredentials { retry_after }))
    }

    /// What a credential of `exchange` has turned out to be. A bad one is charged, unless it was ahead; for any other that
    /// is given back.
    pub fn judged(&self, is_bad: bool, exchange: &mut Exchange, env: &mut Env<'_>) {
        match exchange.charged.take() {
            None if is_bad => self.charge(exchange.client(), env),
            Some(then) if !is_bad => self.give_back(exchange.client(), then, env),
            _ => {}
        }
    }

    /// Seconds until a credential of `client` is looked at again; `None` while its budget lasts.
    ///
    /// # Errors
    /// [`Failure::Store`] where the counters cannot be read.
    pub fn spent(&self, client: IpAddr, env: &mut Env<'_>) -> Result<Option<u64>, Failure> {
        if let Some(remaining) = env.worker.spent_budgets.remaining(client, env.now) {
            return Ok(Some(whole_seconds(remaining)));
        }
        let decision = env.worker.limiter.peek(env.host.store(), env.now, &[self.demand(client)]);
        let Verdict::Refused { retry_after, .. } = decision.map_err(|_| Failure::Store)?.verdict else {
            return Ok(None);
        };
        Ok(Some(self.note_spent(client, retry_after, env)))
    }

    fn note_spent(&self, client: IpAddr, retry_after: Option<Duration>, env: &mut Env<'_>) -> u64 {
        let remaining = retry_after.unwrap_or(self.0.window());
        env.worker.spent_budgets.remember(client, env.now, env.now.after(remaining));
        whole_seconds(remaining)
    }

    fn give_back(&self, client: IpAddr, then: Timestamp, env: &mut Env<'_>) {
        // What cannot be given back counts until its window is over.
        let _ = env.worker.limiter.refund(env.host.store(), then, &self.demand(client));
        env.worker.spent_budgets.forget(client);
    }

    fn demand(&self, client: IpAddr) -> Demand<'static> {
        Demand { limit: Self::NAME, rates: Rates::from(self.0), key: Key::Address(client), cost: 1 }
    }
}
