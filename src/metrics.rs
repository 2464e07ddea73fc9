//! Every metric and its labels. Label sets are closed: metrics never expire in the proxy, so nothing that a client
//! chooses may become one.
//!
//! A counter's name carries its labels as `name~label=value`, which Envoy's `stats_tags` turn into Prometheus labels.

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

#[cfg(test)]
mod tests {
    use super::*;

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
