//! Spares an endpoint that fails.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use super::endpoint::EndpointFault;
use crate::{fetch::Deadline, lock::Lock};

/// The failures in a row that stop the calls. One token may make a faulty endpoint fail. That must not
/// shut out the others.
const MAX_FAILURES: u32 = 3;

/// The pause after [`MAX_FAILURES`]. Each further failure doubles it up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Counts failures in a row and stops the calls for a while.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    next_call: Deadline,
    /// The fault of the last log line. Only a change is logged again.
    logged: Lock<Option<EndpointFault>>,
}

/// A call that may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Attempt {
    Usual,
    /// Shows after a pause whether the endpoint works again.
    Probe,
}

impl Breaker {
    /// Allows a call. The error is how long none is allowed. After a pause one call in a `timeout` is
    /// allowed, because the request that makes it may leave.
    pub(super) fn enter(&self, now: Duration, timeout: Duration) -> Result<Attempt, Duration> {
        if self.failures.load(SeqCst) < MAX_FAILURES {
            return Ok(Attempt::Usual);
        }
        if self.next_call.postpone(now, now.saturating_add(timeout)) {
            return Ok(Attempt::Probe);
        }
        Err(self.next_call.remaining(now))
    }

    /// Returns how long no call is allowed, if none is.
    pub(super) fn closed_for(&self, now: Duration) -> Option<Duration> {
        let closed = self.failures.load(SeqCst) >= MAX_FAILURES && !self.next_call.has_passed(now);
        closed.then(|| self.next_call.remaining(now))
    }

    /// Notes that the endpoint works. Returns true if a fault was logged before.
    pub(super) fn succeeded(&self) -> bool {
        self.failures.store(0, SeqCst);
        self.logged.lock().take().is_some()
    }

    /// Notes a failed call. Returns true if the fault is another one than the last.
    pub(super) fn failed(&self, attempt: Attempt, fault: &EndpointFault, now: Duration) -> bool {
        if fault.is_of_the_endpoint() {
            self.count(attempt, now);
        }
        self.logged.lock().replace(fault.clone()).as_ref() != Some(fault)
    }

    /// Calls that were under way together fail together. Only a probe makes the pause longer.
    fn count(&self, attempt: Attempt, now: Duration) {
        let next = |failures: u32| {
            let counts = attempt == Attempt::Probe || failures < MAX_FAILURES;
            counts.then(|| failures.saturating_add(1))
        };
        if let Ok(before) = self.failures.fetch_update(SeqCst, SeqCst, next) {
            let doublings = before.saturating_add(1).saturating_sub(MAX_FAILURES);
            let doubled = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            self.next_call
                .set(now.saturating_add(FIRST_PAUSE.saturating_mul(doubled).min(MAX_PAUSE)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &Breaker, attempt: Attempt, now: Duration) {
        breaker.failed(attempt, &EndpointFault::Timeout, now);
    }

    #[test]
    fn calls_stop_after_three_failures_and_one_tries_again() {
        let breaker = Breaker::default();
        let enter = |now| breaker.enter(now, SECOND * 2);
        for _ in 0..2 {
            fail(&breaker, Attempt::Usual, Duration::ZERO);
            assert_eq!(enter(Duration::ZERO), Ok(Attempt::Usual));
        }
        fail(&breaker, Attempt::Usual, Duration::ZERO);
        assert_eq!(enter(Duration::ZERO), Err(SECOND));
        assert_eq!(breaker.closed_for(Duration::ZERO), Some(SECOND));
        assert_eq!(breaker.closed_for(SECOND), None);
        assert_eq!((enter(SECOND), enter(SECOND)), (Ok(Attempt::Probe), Err(SECOND * 2)));
        // The call that tried is gone without a result.
        assert_eq!(enter(SECOND * 3), Ok(Attempt::Probe));
        fail(&breaker, Attempt::Probe, SECOND * 3);
        assert_eq!(enter(SECOND * 3), Err(SECOND * 2));
        for _ in 0..100 {
            fail(&breaker, Attempt::Probe, SECOND * 3);
        }
        assert_eq!(enter(SECOND * 3), Err(MAX_PAUSE));
        assert!(breaker.succeeded() && !breaker.succeeded());
        assert_eq!(enter(SECOND * 3), Ok(Attempt::Usual));
    }

    #[test]
    fn calls_that_fail_together_start_the_shortest_pause() {
        let breaker = Breaker::default();
        for _ in 0..1_000 {
            fail(&breaker, Attempt::Usual, Duration::ZERO);
        }
        assert_eq!(breaker.enter(Duration::ZERO, SECOND), Err(SECOND));
    }

    #[test]
    fn fault_of_one_token_stops_nothing() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(Attempt::Usual, &EndpointFault::Status(400), Duration::ZERO);
        }
        assert_eq!(breaker.enter(Duration::ZERO, SECOND), Ok(Attempt::Usual));
    }

    #[test]
    fn change_of_the_fault_is_told() {
        let breaker = Breaker::default();
        let failed = |fault| breaker.failed(Attempt::Usual, &fault, Duration::ZERO);
        assert!(failed(EndpointFault::Timeout) && !failed(EndpointFault::Timeout));
        assert!(failed(EndpointFault::Status(500)) && failed(EndpointFault::Status(502)));
    }
}
