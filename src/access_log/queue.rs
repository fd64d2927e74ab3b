//! The queue between the requests and the thread that writes.

use std::{
    io::Write,
    mem,
    sync::{
        Arc, Condvar, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::batch::Batch;
use crate::{lock::Lock, secret::Scrubber};

/// How long the writer thread collects lines before it writes them. This makes one `write` and one
/// wake-up of many lines.
const GATHER: Duration = Duration::from_millis(10);

/// A bounded queue of lines, shared by all handles of a sink and by its writer thread.
#[derive(Default)]
pub(super) struct LineQueue {
    state: Lock<State>,
    /// Wakes the writer thread.
    work: Condvar,
    /// Wakes the callers that wait for the writer thread.
    settled: Condvar,
    dropped: AtomicU64,
}

struct State {
    max_lines: usize,
    max_bytes: usize,
    drain_timeout: Duration,
    scrubbers: Arc<[Scrubber]>,
    /// The queued lines and their number.
    bytes: Vec<u8>,
    lines: usize,
    /// Lost lines that are not reported yet.
    lost: u64,
    /// Whether the loss alone is a reason to write. It is not when the writer itself failed.
    report_due: bool,
    /// How many lines were ever queued and how many of them are written or lost.
    accepted: u64,
    settled: u64,
    writer: WriterState,
    /// A caller waits for the writer, so it collects no more lines.
    urgent: bool,
    closed: bool,
    /// The drain timeout has passed, so the writer stops.
    abandoned: bool,
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum WriterState {
    Writing,
    /// Sleeps until a line is queued.
    Idle,
    /// Sleeps while more lines come.
    Collecting,
}

impl Default for State {
    fn default() -> Self {
        Self {
            max_lines: 8_192,
            max_bytes: 4 * 1024 * 1024,
            drain_timeout: Duration::from_secs(1),
            scrubbers: Arc::default(),
            bytes: Vec::new(),
            lines: 0,
            lost: 0,
            report_due: false,
            accepted: 0,
            settled: 0,
            writer: WriterState::Writing,
            urgent: false,
            closed: false,
            abandoned: false,
            stopped: false,
        }
    }
}

impl LineQueue {
    pub(super) fn set_max_lines(&self, lines: usize) {
        self.state.lock().max_lines = lines;
    }

    pub(super) fn set_max_bytes(&self, bytes: usize) {
        self.state.lock().max_bytes = bytes;
    }

    pub(super) fn set_drain_timeout(&self, timeout: Duration) {
        self.state.lock().drain_timeout = timeout;
    }

    pub(super) fn add_scrubber(&self, scrubber: Scrubber) {
        let mut state = self.state.lock();
        state.scrubbers = state.scrubbers.iter().cloned().chain([scrubber]).collect();
    }

    /// How many lines were lost.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Queues a line or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.fits(line) {
            state.make_room(line.len() + 1);
            state.bytes.extend_from_slice(line);
            state.bytes.push(b'\n');
            state.lines += 1;
            state.accepted += 1;
        } else {
            state.lost += 1;
            state.report_due = true;
            self.dropped.fetch_add(1, Relaxed);
        }
        // A wake-up is a system call: at most one for each batch.
        let wake = match state.writer {
            WriterState::Writing => false,
            WriterState::Idle => true,
            WriterState::Collecting => state.is_half_full(),
        };
        if wake {
            state.writer = WriterState::Writing;
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits until the lines that were queued before are written or lost. Returns false at the drain
    /// timeout.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.state.lock();
        let until = state.accepted;
        let timeout = state.drain_timeout;
        state.urgent = true;
        self.work.notify_one();
        let (state, waited) = self
            .settled
            .wait_timeout_while(state, timeout, |state| state.settled < until)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !waited.timed_out()
    }

    /// Takes no more lines and waits until the writer thread has stopped or the drain timeout has
    /// passed.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        let timeout = state.drain_timeout;
        state.closed = true;
        self.work.notify_one();
        let waited = self.settled.wait_timeout_while(state, timeout, |state| !state.stopped);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.abandoned = true;
    }

    /// Writes batches until the queue is closed and empty. The body of the writer thread.
    pub(super) fn run(&self, mut writer: impl Write) {
        let mut batch = Batch::default();
        let mut torn = false;
        while self.take(&mut batch) {
            batch.finish();
            let written = batch.write(&mut writer, &mut torn);
            self.settle(&batch, written);
            batch.clear();
        }
    }

    /// Waits for lines and moves them into the empty `batch`. Returns false at the end.
    fn take(&self, batch: &mut Batch) -> bool {
        let mut state = self.state.lock();
        while state.lines == 0 && !state.report_due {
            if state.closed {
                return false;
            }
            state = self.wait(state);
        }
        if !state.urgent && !state.closed && !state.is_half_full() {
            state.writer = WriterState::Collecting;
            let waited = self.work.wait_timeout(state, GATHER);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.writer = WriterState::Writing;
        }
        if state.abandoned {
            return false;
        }
        state.urgent = false;
        state.report_due = false;
        mem::swap(&mut state.bytes, &mut batch.bytes);
        batch.lines = mem::take(&mut state.lines) as u64;
        batch.lost = mem::take(&mut state.lost);
        batch.scrubbers = Arc::clone(&state.scrubbers);
        true
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.writer = WriterState::Idle;
        let mut state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.writer = WriterState::Writing;
        state
    }

    /// Notes that the writer took `written` lines of `batch`.
    fn settle(&self, batch: &Batch, written: u64) {
        let missing = batch.lines.saturating_sub(written);
        self.dropped.fetch_add(missing, Relaxed);
        let mut state = self.state.lock();
        state.settled += batch.lines;
        state.lost += missing;
        if written <= batch.lines {
            // The line that reports the loss was lost too.
            state.lost += batch.lost;
        }
        drop(state);
        self.settled.notify_all();
    }
}

impl State {
    fn fits(&self, line: &[u8]) -> bool {
        let room = self.max_bytes.saturating_sub(self.bytes.len());
        !self.stopped && self.lines < self.max_lines && line.len() < room
    }

    /// Grows the buffer by doubling but never past the bound. A `Vec` alone would take up to twice the
    /// bound.
    fn make_room(&mut self, more: usize) {
        let (length, room) = (self.bytes.len(), self.bytes.capacity());
        let needed = length.saturating_add(more);
        if needed > room {
            let doubled = room.saturating_mul(2).min(self.max_bytes);
            self.bytes.reserve_exact(doubled.max(needed) - length);
        }
    }

    fn is_half_full(&self) -> bool {
        self.lines >= self.max_lines / 2 || self.bytes.len() >= self.max_bytes / 2
    }
}

/// Marks the queue as stopped when the writer thread ends, also by a panic of the writer.
pub(super) struct StopGuard {
    pub(super) queue: Arc<LineQueue>,
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.stopped = true;
        let missing = state.accepted - state.settled;
        state.settled = state.accepted;
        drop(state);
        self.queue.dropped.fetch_add(missing, Relaxed);
        self.queue.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_never_exceeds_its_bound() {
        let mut state = State { max_bytes: 10_000, ..State::default() };
        let line = [b'x'; 99];
        while state.fits(&line) {
            state.make_room(line.len() + 1);
            state.bytes.extend_from_slice(&line);
            state.bytes.push(b'\n');
        }
        assert_eq!(state.bytes.len(), 10_000);
        assert!(state.bytes.capacity() <= 10_000, "{}", state.bytes.capacity());
    }
}
