//! The clock and the log of tests that count events.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tracing::{Dispatch, Level, dispatcher, subscriber::NoSubscriber};

use crate::{
    clock::{Clock, SharedClock},
    lock::Lock,
};

/// A clock that a test sets.
#[derive(Clone, Default)]
pub(crate) struct Seconds(Arc<AtomicU64>);

impl Seconds {
    pub(crate) fn clock(&self) -> SharedClock {
        SharedClock::new(self.clone())
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Relaxed);
    }
}

impl Clock for Seconds {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Relaxed))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Lock<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the numbers of WARN and DEBUG events of `run` on this thread.
pub(crate) fn counts(run: impl FnOnce()) -> [usize; 2] {
    // If a process has one subscriber alone, tracing asks that of the thread that meets an event first.
    // It may be the thread of another test, which has none, and the event would be off for all.
    static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
    ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::default()));
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    dispatcher::with_default(&Dispatch::new(subscriber), run);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    ["WARN", "DEBUG"].map(|level| text.matches(level).count())
}

/// Asserts that three events in a row are one warning a minute, whatever the minute is.
#[track_caller]
pub(crate) fn assert_once_a_minute(case: &str, seconds: &Seconds, event: impl Fn()) {
    for (now, expected) in [(0, [1, 2]), (59, [0, 3]), (60, [1, 2]), (119, [0, 3]), (120, [1, 2])] {
        seconds.set(now);
        assert_eq!(counts(|| (0..3).for_each(|_| event())), expected, "{case} at {now}");
    }
}
