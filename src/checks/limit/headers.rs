//! The headers that tell a client where it stands (draft-ietf-httpapi-ratelimit-headers-10, RFC 9110 section 10.2.3).

use std::time::Duration;

use crate::denial::made;
use crate::exchange::Exchange;
use crate::table::rate::Rate;

/// Which headers tell a client its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `RateLimit` and `RateLimit-Policy`.
    pub draft: bool,
    /// `X-RateLimit-*`.
    pub x: bool,
}

/// One window as the client is told of it.
pub(super) struct Told<'a> {
    /// The limit's name.
    pub(super) limit: &'a str,
    pub(super) is_burst: bool,
    pub(super) rate: Rate,
    /// `None`: only the service that counts knows, and it has not said.
    pub(super) remaining: Option<u32>,
    pub(super) reset_after: Duration,
}

impl Headers {
    /// Tells the client about `refused`, or else the window with the smallest share left, and the policy of all.
    pub(super) fn tell(self, exchange: &mut Exchange, windows: &[Told<'_>], refused: Option<usize>) {
        if self.draft && !windows.is_empty() {
            exchange.response_headers.push(made("ratelimit-policy", policies(windows)));
        }
        let shown = match refused {
            Some(refused) => windows.get(refused),
            None => windows.iter().filter(|window| window.remaining.is_some()).min_by_key(|window| window.share()),
        };
        let Some(shown) = shown else { return };
        let (remaining, reset) = (shown.remaining.unwrap_or_default(), whole_seconds(shown.reset_after));
        if self.draft {
            let mut line = Line(String::with_capacity(shown.limit.len() + 48));
            line.name(shown).parameter("r", remaining.into()).parameter("t", reset);
            exchange.response_headers.push(made("ratelimit", line.0));
        }
        if self.x {
            exchange.response_headers.push(made("x-ratelimit-limit", shown.rate.limit().to_string()));
            exchange.response_headers.push(made("x-ratelimit-remaining", remaining.to_string()));
            exchange.response_headers.push(made("x-ratelimit-reset", reset.to_string()));
        }
    }
}

impl Told<'_> {
    fn share(&self) -> u64 {
        u64::from(self.remaining.unwrap_or_default()) * (1 << 32) / u64::from(self.rate.limit())
    }
}

fn policies(windows: &[Told<'_>]) -> String {
    let length: usize = windows.iter().map(|window| window.limit.len() + 48).sum();
    let mut line = Line(String::with_capacity(length));
    for (at, window) in windows.iter().enumerate() {
        if at > 0 {
            line.0.push_str(", ");
        }
        let rate = window.rate;
        line.name(window).parameter("q", rate.limit().into()).parameter("w", rate.window_seconds().into());
    }
    line.0
}

/// A header field in the making. Every response bears two, so they are put together without formatting machinery.
struct Line(String);

impl Line {
    /// The policy's name as a string of RFC 9651.
    fn name(&mut self, window: &Told<'_>) -> &mut Self {
        let suffix = if window.is_burst { "-burst" } else { "" };
        for part in ["\"", window.limit, suffix, "\""] {
            self.0.push_str(part);
        }
        self
    }

    fn parameter(&mut self, key: &str, value: u64) -> &mut Self {
        for part in [";", key, "=", itoa::Buffer::new().format(value)] {
            self.0.push_str(part);
        }
        self
    }
}

/// Seconds that suffice for a wait.
pub(super) fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_suffice() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis}");
        }
    }
}
