//! How long the decision about one request takes. While its body is on its way no time is counted: that is the client's.

use std::time::Duration;

use crate::stream::now;
use portcullis::time::Timestamp;

/// Starts with the head, stands still for the body, ends with the verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopwatch {
    /// Until it last stood still.
    spent: Duration,
    /// Since when it runs.
    since: Option<Timestamp>,
}

impl Stopwatch {
    /// Runs, from now on unless it does already.
    pub fn run(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
    }

    /// Stands still.
    pub fn pause(&mut self) {
        self.stop();
    }

    /// The end: what it has counted; `None` where it did not run.
    pub fn stop(&mut self) -> Option<Duration> {
        let since = self.since.take()?;
        self.spent += now()?.since(since);
        Some(self.spent)
    }
}
