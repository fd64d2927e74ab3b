//! Keeps events of an upstream, whose rate clients set, from flooding the log.

#[cfg(test)]
pub(crate) mod test_log;

use std::time::Duration;

use crate::{clock::SharedClock, lock::Lock};

const MINUTE: Duration = Duration::from_secs(60);

/// The events of a layer. Each one is logged for the operator once in a minute and for each upstream,
/// because one upstream that fails must not hide another one. Further events are for debugging.
#[derive(Debug)]
pub(crate) struct LogLimit {
    clock: SharedClock,
    logged: Lock<Vec<Logged>>,
}

#[derive(Debug)]
struct Logged {
    event: &'static str,
    upstream: Box<str>,
    due: Duration,
}

/// More than the upstreams of a gateway have events. Further ones are not logged in that minute.
const MAX_LOGGED: usize = 256;

impl LogLimit {
    pub(crate) const fn new(clock: SharedClock) -> Self {
        Self { clock, logged: Lock::new(Vec::new()) }
    }

    /// Returns whether this event of an upstream or a stage is due. It is not due again for a minute.
    pub(crate) fn is_due(&self, event: &'static str, upstream: &str) -> bool {
        let now = self.clock.monotonic();
        let mut logged = self.logged.lock();
        logged.retain(|logged| now < logged.due);
        let is_logged = |logged: &Logged| logged.event == event && *logged.upstream == *upstream;
        if logged.len() >= MAX_LOGGED || logged.iter().any(is_logged) {
            return false;
        }
        let due = now.saturating_add(MINUTE);
        logged.push(Logged { event, upstream: upstream.into(), due });
        true
    }
}

/// Logs an event at WARN if it is due, and at DEBUG otherwise.
macro_rules! warn_if_due {
    ($is_due:expr, $($event:tt)+) => {
        if $is_due {
            tracing::warn!($($event)+);
        } else {
            tracing::debug!($($event)+);
        }
    };
}

pub(crate) use warn_if_due;

#[cfg(test)]
mod tests {
    use super::{test_log::Seconds, *};

    #[test]
    fn each_event_of_each_upstream_is_due_once_a_minute() {
        let seconds = Seconds::default();
        let limit = LogLimit::new(seconds.clock());
        for minute in 0..3 {
            for (second, is_due) in [(0, true), (1, false), (59, false)] {
                seconds.set(60 * minute + second);
                for (event, upstream) in [("a", "x"), ("a", "y"), ("b", "x")] {
                    assert_eq!(limit.is_due(event, upstream), is_due, "{minute} {second}");
                    assert!(!limit.is_due(event, upstream));
                }
            }
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let seconds = Seconds::default();
        let limit = LogLimit::new(seconds.clock());
        let due = |limit: &LogLimit| {
            (0..1_000).filter(|nth: &u32| limit.is_due("a", &nth.to_string())).count()
        };
        assert_eq!((due(&limit), limit.logged.lock().len()), (MAX_LOGGED, MAX_LOGGED));
        seconds.set(60);
        assert_eq!(due(&limit), MAX_LOGGED);
    }
}
