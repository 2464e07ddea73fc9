//! Every metric and its labels. Label sets are closed: metrics never expire in the proxy, so nothing that a client
//! chooses may become one.
//!
//! A metric's name carries its labels as `name~label=value`, which Envoy's `stats_tags` turn into Prometheus labels.

use crate::denial::{AuthReason, BlockReason};
use crate::event::EventType;

/// One outcome that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// `security_events_total{event_type,service}`, sampled-out events included.
    SecurityEvents(EventType),
    /// `auth_failures_total{service,reason}`.
    AuthFailures(AuthReason),
    /// `blocked_requests_total{service,reason}`: refused here, or by the upstream with 401, 403 or 429.
    BlockedRequests(BlockReason),
}

impl Counter {
    /// Every counter there is, in the order of [`Counter::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        let events = EventType::ALL.iter().copied().map(Self::SecurityEvents);
        let failures = AuthReason::all().map(Self::AuthFailures);
        let blocked = BlockReason::ALL.iter().copied().map(Self::BlockedRequests);
        events.chain(failures).chain(blocked)
    }

    /// The place of this counter in [`Counter::all`].
    pub fn index(self) -> usize {
        let failures = EventType::ALL.len();
        let blocked = failures + AuthReason::COUNT;
        match self {
            Self::SecurityEvents(event) => event as usize,
            Self::AuthFailures(reason) => failures + reason.index(),
            Self::BlockedRequests(reason) => blocked + reason as usize,
        }
    }

    /// The name under which the proxy keeps it for `service`.
    pub fn name(self, service: &str) -> String {
        match self {
            Self::SecurityEvents(event) => {
                format!("security_events_total~event_type={}~service={service}", event.as_str())
            }
            Self::AuthFailures(reason) => format!("auth_failures_total~service={service}~reason={}", reason.as_str()),
            Self::BlockedRequests(reason) => {
                format!("blocked_requests_total~service={service}~reason={}", reason.as_str())
            }
        }
    }
}

/// One measure that goes up and down. The places are those of the parts of one configuration, see `health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gauge {
    /// `active_sessions{service}`: callers within the lifetime of an access token.
    ActiveSessions,
    /// `jwks_age_seconds{service,name}`: since the key set of a provider was fetched, or since the start.
    KeySetAge(usize),
    /// `secret_age_seconds{service,name}`: since the store of a secret gave a good value, or since the start.
    SecretAge(usize),
    /// `secret_failures{service,name}`: fetches of a secret that failed since the last good one.
    SecretFailures(usize),
    /// `table_use_percent{service,name}`: how full a table is, estimated.
    TableUse(Table),
}

/// A table of the shared data, by its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `tables.limits`.
    Limits,
    /// `tables.addresses`.
    Addresses,
    /// `tables.blocks`.
    Blocks,
    /// `tables.replay`.
    Replay,
    /// `tables.revocations`.
    Revocations,
}

impl Table {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Limits, Self::Addresses, Self::Blocks, Self::Replay, Self::Revocations];

    /// The name of its setting.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Addresses => "addresses",
            Self::Blocks => "blocks",
            Self::Replay => "replay",
            Self::Revocations => "revocations",
        }
    }
}

impl Gauge {
    /// The name under which the proxy keeps it for `service`; `part` is what it is about, where that has a name.
    pub fn name(self, service: &str, part: &str) -> String {
        match self {
            Self::ActiveSessions => format!("active_sessions~service={service}"),
            Self::KeySetAge(_) => named("jwks_age_seconds", service, part),
            Self::SecretAge(_) => named("secret_age_seconds", service, part),
            Self::SecretFailures(_) => named("secret_failures", service, part),
            Self::TableUse(table) => named("table_use_percent", service, table.as_str()),
        }
    }
}

/// `decision_microseconds{service}`, a histogram: from the head of a request to the verdict, callouts included, waiting
/// for the body left out.
pub fn decision_time(service: &str) -> String {
    format!("decision_microseconds~service={service}")
}

/// `callout_failures_total{service,name}`: calls to a cluster that were lost or answered with 5xx or a gRPC error.
pub fn callout_failures(service: &str, cluster: &str) -> String {
    named("callout_failures_total", service, cluster)
}

fn named(metric: &str, service: &str, part: &str) -> String {
    // What separates labels stands in none.
    format!("{metric}~service={service}~name={}", part.replace('~', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_breaks_out_of_its_label() {
        assert_eq!(callout_failures("s", "a~service=b"), "callout_failures_total~service=s~name=a_service=b");
        assert_eq!(Gauge::KeySetAge(0).name("s", "p"), "jwks_age_seconds~service=s~name=p");
        for (at, table) in Table::ALL.iter().enumerate() {
            assert_eq!(*table as usize, at);
        }
    }

    #[test]
    fn every_counter_stands_at_its_own_index() {
        for (at, counter) in Counter::all().enumerate() {
            assert_eq!(counter.index(), at, "{counter:?}");
        }
    }

    #[test]
    fn no_label_value_contains_the_separator_of_labels() {
        for counter in Counter::all() {
            let name = counter.name("user-service");
            assert_eq!(name.matches('~').count(), 2, "{name}");
            assert_eq!(name.matches('=').count(), 2, "{name}");
        }
    }
}
