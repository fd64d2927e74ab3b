//! The lines that this crate and its Redis client log.

use std::{cell::RefCell, io, sync::Once};

use super::gateway::HASHING;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes to the lines of the thread: a test that looks at them runs on one.
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

pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let listening = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| Lines)
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_global_default(listening).unwrap();
    });
    taken();
}

/// The lines since the last call.
pub fn taken() -> Vec<String> {
    String::from_utf8(LINES.take()).unwrap().lines().map(str::to_owned).collect()
}

/// What the crate says of its store's state, since the last call.
pub fn changes() -> Vec<String> {
    let lines = taken();
    for line in &lines {
        for hidden in [HASHING, "password-in-clear"] {
            assert!(!line.contains(hidden), "{line}");
        }
    }
    let ours = |line: &String| {
        ["WARN", "INFO", "ERROR"].iter().any(|level| line.trim_start().starts_with(level))
            && line.contains("tower_inference")
    };
    lines.into_iter().filter(ours).collect()
}
