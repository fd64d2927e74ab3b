//! A point in time that threads share without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

/// A time on the source's monotonic clock, in nanoseconds. Starts at zero, which has passed.
#[derive(Debug, Default)]
pub(crate) struct Deadline(AtomicU64);

/// No clock reaches this value. It is 584 years after the start.
const NEVER: u64 = u64::MAX;

impl Deadline {
    pub(crate) fn has_passed(&self, now: Duration) -> bool {
        nanos(now) >= self.0.load(SeqCst)
    }

    /// Returns how long it is until the deadline.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.0.load(SeqCst)).saturating_sub(now)
    }

    pub(crate) fn set(&self, at: Duration) {
        self.0.store(nanos(at), SeqCst);
    }

    /// Returns true for one caller after the deadline. The caller must [`set`](Self::set) the next
    /// deadline. Until then all other callers get false.
    pub(crate) fn claim(&self, now: Duration) -> bool {
        self.postpone(now, Duration::MAX)
    }

    /// Sets the `next` deadline if the present one has passed. Returns true for one caller.
    pub(crate) fn postpone(&self, now: Duration, next: Duration) -> bool {
        let (deadline, next) = (self.0.load(SeqCst), nanos(next));
        nanos(now) >= deadline && self.0.compare_exchange(deadline, next, SeqCst, SeqCst).is_ok()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_caller_claims_a_passed_deadline() {
        let deadline = Deadline::default();
        assert!(deadline.claim(Duration::ZERO));
        assert!(!deadline.claim(SECOND * 1_000));
        deadline.set(SECOND * 2);
        assert!(!deadline.claim(SECOND));
        assert_eq!(deadline.remaining(SECOND), SECOND);
        assert!(deadline.has_passed(SECOND * 2) && deadline.claim(SECOND * 2));
    }

    #[test]
    fn a_postponed_deadline_is_near_at_once() {
        let deadline = Deadline::default();
        assert!(deadline.postpone(SECOND, SECOND * 3));
        assert_eq!(deadline.remaining(SECOND), SECOND * 2);
        assert!(!deadline.postpone(SECOND * 2, SECOND * 9));
        assert_eq!(deadline.remaining(SECOND), SECOND * 2);
    }

    #[test]
    fn the_longest_time_does_not_overflow() {
        let deadline = Deadline::default();
        deadline.set(Duration::MAX);
        assert!(!deadline.has_passed(SECOND));
        assert!(deadline.remaining(SECOND) > SECOND * 1_000_000_000);
    }
}
