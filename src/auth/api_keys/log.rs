//! Tells the operator about refused keys without flooding the log.

use std::time::Duration;

use super::entry::KeyFault;
use crate::once_a_minute::OnceAMinute;

/// The reasons: those of keys and the store's.
const REASONS: usize = KeyFault::ALL.len() + 1;

/// One WARN for each reason in a minute. All other events are at DEBUG.
#[derive(Debug, Default)]
pub(super) struct LogLimit([OnceAMinute; REASONS]);

impl LogLimit {
    /// Returns whether a refused key is logged at WARN.
    pub(super) fn key_is_due(&self, fault: KeyFault, now: Duration) -> bool {
        let index = KeyFault::ALL.iter().position(|one| *one == fault);
        self.is_due(index.unwrap_or_default(), now)
    }

    /// Returns whether a failure of the store is logged at WARN.
    pub(super) fn store_is_due(&self, now: Duration) -> bool {
        self.is_due(KeyFault::ALL.len(), now)
    }

    fn is_due(&self, reason: usize, now: Duration) -> bool {
        self.0.get(reason).is_some_and(|reason| reason.is_due(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_a_minute() {
        let limit = LogLimit::default();
        let at = Duration::from_secs;
        for fault in KeyFault::ALL {
            assert!(limit.key_is_due(fault, at(0)));
            assert!(!limit.key_is_due(fault, at(59)));
            assert!(limit.key_is_due(fault, at(60)));
        }
        assert!(limit.store_is_due(at(0)) && !limit.store_is_due(at(59)));
    }
}
