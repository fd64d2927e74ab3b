//! Keeps rejected requests from flooding the log.
//!
//! Any client can cause a rejection. After 10 lines there is one every 6 seconds. The next line counts
//! the ones in between.

use std::time::Duration;

use crate::lock::Lock;

const MAX_LINES: u32 = 10;
const LINE_INTERVAL: Duration = Duration::from_secs(6);

/// A token bucket of log lines.
#[derive(Debug)]
pub(super) struct LineBudget(Lock<Lines>);

#[derive(Debug)]
struct Lines {
    left: u32,
    /// The time that the lines are counted from.
    since: Duration,
    suppressed: u64,
}

impl Default for LineBudget {
    fn default() -> Self {
        Self(Lock::new(Lines { left: MAX_LINES, since: Duration::ZERO, suppressed: 0 }))
    }
}

impl LineBudget {
    /// Returns the number of suppressed lines before this one. Returns `None` if it is suppressed too.
    /// `now` is the time on one monotonic clock. A line that comes only once is never suppressed.
    pub(super) fn take(&self, now: Duration, is_once: bool) -> Option<u64> {
        let mut lines = self.0.lock();
        let elapsed = now.saturating_sub(lines.since).as_secs() / LINE_INTERVAL.as_secs();
        let refilled = u32::try_from(elapsed).unwrap_or(u32::MAX);
        if refilled > 0 {
            lines.left = lines.left.saturating_add(refilled).min(MAX_LINES);
            lines.since = now;
        }
        if lines.left == 0 && !is_once {
            lines.suppressed += 1;
            return None;
        }
        lines.left = lines.left.saturating_sub(1);
        Some(std::mem::take(&mut lines.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_suppressed_ones_counted() {
        let seconds = Duration::from_secs;
        let budget = LineBudget::default();
        for _ in 0..10 {
            assert_eq!(budget.take(seconds(1), false), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(budget.take(seconds(5), false), None);
        }
        assert_eq!(budget.take(seconds(6), false), Some(1_000));
        assert_eq!(budget.take(seconds(11), false), None);
        // A flood does not hide that a setting is wrong.
        assert_eq!(budget.take(seconds(11), true), Some(1));
        assert_eq!(budget.take(seconds(12), false), Some(0));
        assert_eq!(budget.take(seconds(10_000), false), Some(0));
        assert_eq!(budget.0.lock().left, 9);
    }
}
