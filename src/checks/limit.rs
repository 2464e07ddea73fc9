//! How often: all windows of all limits of a route in one decision, and the headers that tell a client where it stands
//! (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 section 10.2.3).

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::check::{Check, Env, Failure, Step};
use crate::denial::{Denial, made};
use crate::exchange::{Exchange, Identity, Method};
use crate::policy::roles::RoleSet;
use crate::table::address::Prefix;
use crate::table::limiter::{Decision, Demand, Key, Rates, Standing, Verdict};
use crate::table::rate::Rate;

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
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address: IPv4 whole, IPv6 by /64.
    ClientIp,
    /// The caller, with its provider.
    Subject,
    /// The calling service.
    Service,
    /// The value of a header.
    Header(Rc<str>),
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

/// Which headers tell a client its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `RateLimit` and `RateLimit-Policy`.
    pub draft: bool,
    /// `X-RateLimit-*`.
    pub x: bool,
}

/// The limits of one route, decided at once: no window is charged by a request that another refuses.
#[derive(Debug)]
pub struct EnforceLimits {
    /// In the operator's order.
    pub limits: Vec<Rc<Limit>>,
    /// What the client is told.
    pub headers: Headers,
}

/// A demand whose key is owned, so that demands can borrow from it.
struct Counted<'l> {
    limit: &'l Limit,
    rates: Rates,
    key: Owned,
}

enum Owned {
    Address(IpAddr),
    Named(Vec<Vec<u8>>),
}

impl Check for EnforceLimits {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let counted: Vec<Counted<'_>> = self.limits.iter().filter_map(|limit| limit.counted(exchange)).collect();
        let parts: Vec<Vec<&[u8]>> = counted.iter().map(|counted| counted.key.parts()).collect();
        let demands: Vec<Demand<'_>> =
            counted.iter().zip(&parts).map(|(counted, parts)| counted.demand(parts)).collect();
        let decision = match env.worker.limiter.decide(env.host.store(), env.now, &demands) {
            Ok(decision) => decision,
            Err(_) => return Step::Fail(Failure::Store),
        };
        if decision.degraded {
            exchange.degraded = Some("limits_table_full");
        }
        self.tell(exchange, &counted, &decision);
        match decision.verdict {
            Verdict::Admitted => Step::Pass,
            Verdict::Refused { window, retry_after } => {
                let standing = decision.windows.get(window);
                let limit = standing.and_then(|standing| counted.get(standing.demand)).map(|c| c.limit.name.clone());
                let retry_after = retry_after.or(standing.map(|standing| standing.rate.window()));
                Step::Deny(Denial::RateLimited {
                    limit: limit.unwrap_or_default(),
                    retry_after: whole_seconds(retry_after.unwrap_or_default()),
                })
            }
        }
    }
}

impl EnforceLimits {
    /// Tells the client about the window with the smallest share left, and the policy of all.
    fn tell(&self, exchange: &mut Exchange, counted: &[Counted<'_>], decision: &Decision) {
        let refused = match decision.verdict {
            Verdict::Refused { window, .. } => decision.windows.get(window),
            Verdict::Admitted => None,
        };
        let Some(shown) = refused.or_else(|| decision.tightest()) else { return };
        let reset = match decision.verdict {
            Verdict::Refused { retry_after: Some(retry_after), .. } => whole_seconds(retry_after),
            _ => whole_seconds(shown.reset_after),
        };
        if self.headers.draft {
            let policies: Vec<String> = decision.windows.iter().map(|window| policy(counted, window)).collect();
            let name = policy_name(counted, shown);
            exchange.response_headers.push(made("ratelimit-policy", policies.join(", ")));
            exchange.response_headers.push(made("ratelimit", format!("\"{name}\";r={};t={reset}", shown.remaining)));
        }
        if self.headers.x {
            exchange.response_headers.push(made("x-ratelimit-limit", shown.rate.limit().to_string()));
            exchange.response_headers.push(made("x-ratelimit-remaining", shown.remaining.to_string()));
            exchange.response_headers.push(made("x-ratelimit-reset", reset.to_string()));
        }
    }
}

fn policy(counted: &[Counted<'_>], window: &Standing) -> String {
    let name = policy_name(counted, window);
    format!("\"{name}\";q={};w={}", window.rate.limit(), window.rate.window_seconds())
}

/// The limit's name; its burst is a policy of its own.
fn policy_name(counted: &[Counted<'_>], window: &Standing) -> String {
    let Some(counted) = counted.get(window.demand) else { return String::new() };
    let is_burst = counted.rates.burst == Some(window.rate) && counted.rates.sustained != window.rate;
    format!("{}{}", counted.limit.name, if is_burst { "-burst" } else { "" })
}

fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

impl Limit {
    /// What this request counts for; `None` when no tier fits it.
    fn counted(&self, exchange: &Exchange) -> Option<Counted<'_>> {
        let caller = exchange.caller.as_deref();
        let named = self.key.iter().all(|part| part.is_known(caller));
        if let (false, Some((key, rate))) = (named, &self.anonymous) {
            return Some(Counted { limit: self, rates: Rates::from(*rate), key: owned(key, exchange) });
        }
        let tier = self.tiers.iter().find(|tier| tier.fits(exchange))?;
        let rates = Rates { sustained: tier.rate, burst: self.burst };
        // Who has no name is counted by address: unlimited would be the wrong default.
        let key = if named { owned(&self.key, exchange) } else { Owned::Address(exchange.client) };
        Some(Counted { limit: self, rates, key })
    }
}

impl Tier {
    fn fits(&self, exchange: &Exchange) -> bool {
        let role = self.roles.is_none_or(|roles| exchange.caller.as_ref().is_some_and(|c| c.roles.intersects(roles)));
        role && self.claims.iter().all(|condition| condition.holds(exchange))
    }
}

impl KeyPart {
    fn is_known(&self, caller: Option<&Identity>) -> bool {
        match self {
            Self::ClientIp | Self::Header(_) => true,
            Self::Subject => caller.is_some(),
            Self::Service => caller.is_some_and(|caller| caller.method == Method::Service),
        }
    }

    fn bytes(&self, exchange: &Exchange) -> Vec<u8> {
        let caller = || exchange.caller.as_ref().map(|caller| caller.limit_key.clone()).unwrap_or_default();
        match self {
            Self::ClientIp => [&b"ip"[..], &Prefix::of(exchange.client).to_bytes()].concat(),
            Self::Subject => [&b"subject"[..], &caller()].concat(),
            Self::Service => [&b"service"[..], &caller()].concat(),
            Self::Header(name) => {
                let value = exchange.head.first(name.as_bytes()).unwrap_or_default();
                [&b"header"[..], value].concat()
            }
        }
    }
}

fn owned(key: &[KeyPart], exchange: &Exchange) -> Owned {
    match key {
        [KeyPart::ClientIp] => Owned::Address(exchange.client),
        parts => Owned::Named(parts.iter().map(|part| part.bytes(exchange)).collect()),
    }
}

impl Owned {
    fn parts(&self) -> Vec<&[u8]> {
        match self {
            Self::Address(_) => Vec::new(),
            Self::Named(parts) => parts.iter().map(Vec::as_slice).collect(),
        }
    }
}

impl<'l> Counted<'l> {
    fn demand<'d>(&'d self, parts: &'d [&'d [u8]]) -> Demand<'d> {
        let key = match &self.key {
            Owned::Address(address) => Key::Address(*address),
            Owned::Named(_) => Key::Named(parts),
        };
        Demand { limit: &self.limit.name, rates: self.rates, key, cost: 1 }
    }
}

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
        let decision = env.worker.limiter.peek(env.host.store(), env.now, &[self.demand(client)]);
        match decision.map_err(|_| Failure::Store)?.verdict {
            Verdict::Admitted => Ok(None),
            Verdict::Refused { retry_after, .. } => Ok(Some(whole_seconds(retry_after.unwrap_or(self.0.window())))),
        }
    }

    fn demand(&self, client: IpAddr) -> Demand<'static> {
        Demand { limit: Self::NAME, rates: Rates::from(self.0), key: Key::Address(client), cost: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;
    use crate::time::Timestamp;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_suffice() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis}");
        }
    }

    /// The key under which a request is counted.
    fn key(part: KeyPart, caller: Option<Identity>) -> Option<Vec<u8>> {
        let mut exchange = Exchange::new(Head::from_pairs([("x-tenant", "a")]), Timestamp::default());
        exchange.caller = caller.map(Rc::new);
        part.is_known(exchange.caller.as_deref()).then(|| part.bytes(&exchange))
    }

    #[test]
    fn kinds_of_keys_never_meet() {
        let caller =
            |method, provider: &str, subject: &str| Some(Identity::new(method, Rc::from(provider), subject.to_owned()));
        let keys = [
            key(KeyPart::ClientIp, None),
            key(KeyPart::Header(Rc::from("x-tenant")), None),
            key(KeyPart::Subject, caller(Method::Jwt, "a", "b")),
            key(KeyPart::Subject, caller(Method::Jwt, "ab", "")),
            key(KeyPart::Subject, caller(Method::Jwt, "b", "a")),
            key(KeyPart::Subject, caller(Method::Service, "a", "b")),
            key(KeyPart::Service, caller(Method::Service, "a", "b")),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(one.is_some() && !keys[..at].contains(one), "{at}");
        }
        assert_eq!(key(KeyPart::Subject, None), None);
        assert_eq!(key(KeyPart::Service, caller(Method::Jwt, "service", "b")), None);
    }
}
