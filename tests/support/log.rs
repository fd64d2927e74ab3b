//! The log of a test. A process has one global subscriber, so a test binary listens at one level.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::{cell::RefCell, io, sync::Once};

use tracing::Level;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the lines of the current thread. Each test runs on one thread.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs events from `level` on. Forgets earlier lines of the thread.
pub fn listen(level: Level) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let listening = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(|| Lines)
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_global_default(listening).unwrap();
    });
    taken();
}

/// Returns the lines since the last call.
pub fn taken() -> String {
    String::from_utf8(LINES.take()).unwrap()
}
