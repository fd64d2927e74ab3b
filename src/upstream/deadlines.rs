use std::time::Duration;

use tokio::time::Instant;

/// How long to wait for each part of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    pub(super) head: Duration,
    pub(super) first_byte: Duration,
    pub(super) idle: Duration,
    pub(super) total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self { head: minutes(5), first_byte: minutes(5), idle: minutes(5), total: minutes(15) }
    }
}

impl Deadlines {
    /// Returns the time until the head must be there, with the name of its setter.
    pub(super) fn before_head(&self) -> (&'static str, Duration) {
        if self.total < self.head {
            ("total_timeout", self.total)
        } else {
            ("head_timeout", self.head)
        }
    }
}

/// Returns when `timeout` after `start` is. `None` is never.
pub(super) fn deadline(start: Option<Instant>, timeout: Duration) -> Option<Instant> {
    start?.checked_add(timeout)
}
