//! Keeps events that clients cause from flooding the log.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

const MINUTE: Duration = Duration::from_secs(60);

/// An event that is logged for the operator once in a minute. Further ones are for debugging.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(AtomicU64);

impl OnceAMinute {
    /// Returns whether the event at `now` is due. `now` is the time on one monotonic clock.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let seconds = now.as_secs();
        let due = self.0.load(SeqCst);
        let later = seconds.saturating_add(MINUTE.as_secs());
        seconds >= due && self.0.compare_exchange(due, later, SeqCst, SeqCst).is_ok()
    }
}
