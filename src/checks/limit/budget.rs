//! The budget for unverified credentials, per address.

use std::net::IpAddr;

use super::headers::whole_seconds;
use crate::check::{Env, Failure};
use crate::table::limiter::{Demand, Key, Rates, Verdict};
use crate::table::rate::Rate;

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

    /// Seconds until a credential of `client` is looked at again; `None` while its budget lasts.
    ///
    /// # Errors
    /// [`Failure::Store`] where the counters cannot be read.
    pub fn spent(&self, client: IpAddr, env: &mut Env<'_>) -> Result<Option<u64>, Failure> {
        if let Some(remaining) = env.worker.spent_budgets.remaining(client, env.now, self.0.window()) {
            return Ok(Some(whole_seconds(remaining)));
        }
        let decision = env.worker.limiter.peek(env.host.store(), env.now, &[self.demand(client)]);
        let Verdict::Refused { retry_after, .. } = decision.map_err(|_| Failure::Store)?.verdict else {
            return Ok(None);
        };
        let remaining = retry_after.unwrap_or(self.0.window());
        env.worker.spent_budgets.remember(client, env.now.after(remaining));
        Ok(Some(whole_seconds(remaining)))
    }

    fn demand(&self, client: IpAddr) -> Demand<'static> {
        Demand { limit: Self::NAME, rates: Rates::from(self.0), key: Key::Address(client), cost: 1 }
    }
}
