//! Spares an endpoint that fails.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use super::endpoint::EndpointFault;
use crate::{auth::fetch::Deadline, lock::Lock};

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

impl Breaker {
    /// Returns how long no call is allowed. `None` allows this one. After a pause one call in a
    /// `timeout` shows whether the endpoint works again.
    pub(super) fn enter(&self, now: Duration, timeout: Duration) -> Result<(), Duration> {
        if self.failures.load(SeqCst) < MAX_FAILURES {
            return Ok(());
        }
        if self.next_call.claim(now) {
            // The request that makes the call may leave.
            self.next_call.set(now.saturating_add(timeout));
            return Ok(());
        }
        Err(self.next_call.remaining(now))
    }

    /// Returns how long no call is allowed, if none is.
    pub(super) fn closed_for(&self, now: Duration) -> Option<Duration> {
        let closed =
            self.failures.load(SeqCst) >= MAX_FAILURES && !self.next_call.has_passed(now);
        closed.then(|| self.next_call.remaining(now))
    }

    /// Notes that the endpoint works. Returns true if it did not before.
    pub(super) fn succeeded(&self) -> bool {
        if self.failures.swap(0, SeqCst) == 0 {
            return false;
        }
        self.logged.lock().take().is_some()
    }

    /// Notes a failed call. Returns true if the fault is another one than the last.
    pub(super) fn failed(&self, fault: &EndpointFault, now: Duration) -> bool {
        if fault.is_of_the_endpoint() {
            let failures = self.failures.fetch_add(1, SeqCst).saturating_add(1);
            let doubled = 1_u32.checked_shl(failures.saturating_sub(MAX_FAILURES));
            let pause = FIRST_PAUSE.saturating_mul(doubled.unwrap_or(u32::MAX)).min(MAX_PAUSE);
            self.next_call.set(now.saturating_add(pause));
        }
        self.logged.lock().replace(fault.clone()).as_ref() != Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn calls_stop_after_three_failures_and_one_tries_again() {
        let breaker = Breaker::default();
        let enter = |now| breaker.enter(now, SECOND * 2);
        for _ in 0..2 {
            breaker.failed(&EndpointFault::Timeout, Duration::ZERO);
            assert_eq!(enter(Duration::ZERO), Ok(()));
        }
        breaker.failed(&EndpointFault::Timeout, Duration::ZERO);
        assert_eq!(enter(Duration::ZERO), Err(SECOND));
        assert_eq!(breaker.closed_for(Duration::ZERO), Some(SECOND));
        assert_eq!(breaker.closed_for(SECOND), None);
        assert_eq!((enter(SECOND), enter(SECOND)), (Ok(()), Err(SECOND * 2)));
        // The call that tried is gone without a result.
        assert_eq!(enter(SECOND * 3), Ok(()));
        breaker.failed(&EndpointFault::Timeout, SECOND * 3);
        assert_eq!(enter(SECOND * 3), Err(SECOND * 2));
        for _ in 0..100 {
            breaker.failed(&EndpointFault::Timeout, SECOND * 3);
        }
        assert_eq!(enter(SECOND * 3), Err(MAX_PAUSE));
        assert!(breaker.succeeded() && !breaker.succeeded());
        assert_eq!(enter(SECOND * 3), Ok(()));
    }

    #[test]
    fn fault_of_one_token_stops_nothing() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(&EndpointFault::Status(400), Duration::ZERO);
        }
        assert_eq!(breaker.enter(Duration::ZERO, SECOND), Ok(()));
    }

    #[test]
    fn change_of_the_fault_is_told() {
        let breaker = Breaker::default();
        let failed = |fault| breaker.failed(&fault, Duration::ZERO);
        assert!(failed(EndpointFault::Timeout) && !failed(EndpointFault::Timeout));
        assert!(failed(EndpointFault::Status(500)) && failed(EndpointFault::Status(502)));
    }
}
