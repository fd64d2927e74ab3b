//! The queue between the requests and the thread that writes.

use std::{
    mem,
    sync::{
        Arc, Condvar, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, SystemTime},
};

use crate::lock::Lock;

/// How long the writer thread collects records before it writes them. This makes one write and one
/// wake-up of many records.
const GATHER: Duration = Duration::from_millis(10);

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) max_records: usize,
    pub(super) max_bytes: usize,
    pub(super) drain_timeout: Duration,
    /// Requests are served whatever happens to their records.
    pub(super) serves_unaudited: bool,
    /// The writer does not collect records, because each is to be durable at once.
    pub(super) immediate: bool,
}

/// A bounded queue of records, shared by all handles of a log and by its writer thread.
pub(super) struct RecordQueue {
    limits: QueueLimits,
    state: Lock<State>,
    /// Wakes the writer thread.
    work: Condvar,
    /// Wakes the callers that wait for the writer thread.
    settled: Condvar,
    /// Requests that have arrived and have not ended.
    open: AtomicUsize,
    /// Records that are not written, and the bytes of those that wait.
    unwritten: AtomicUsize,
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    /// The last write failed.
    failing: AtomicBool,
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The members of the waiting records, each with a line end.
    bytes: Vec<u8>,
    records: usize,
    gap: Gap,
    /// How many records were ever queued and how many of them are written, or durable, or lost.
    accepted: u64,
    written: u64,
    durable: u64,
    writer: WriterState,
    /// A caller waits until all is durable.
    urgent: bool,
    closed: bool,
    /// The drain timeout has passed, so the writer stops.
    abandoned: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum WriterState {
    #[default]
    Writing,
    /// Sleeps until a record is queued.
    Idle,
    /// Sleeps while more records come.
    Collecting,
}

/// Requests whose records are missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Gap {
    /// Requests that were served.
    pub(super) lost: u64,
    /// Requests that were rejected because the trail could not be written.
    pub(super) turned_away: u64,
    /// When the first of them arrived.
    pub(super) since: Option<SystemTime>,
}

impl Gap {
    pub(super) const fn is_empty(&self) -> bool {
        self.lost == 0 && self.turned_away == 0
    }
}

/// The work that the writer thread has taken.
#[derive(Default)]
pub(super) struct Taken {
    /// The members of records, each with a line end.
    pub(super) bytes: Vec<u8>,
    /// Follows the records.
    pub(super) gap: Gap,
    pub(super) urgent: bool,
    /// No record follows.
    pub(super) closed: bool,
    pub(super) abandoned: bool,
}

impl RecordQueue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            state: Lock::default(),
            work: Condvar::new(),
            settled: Condvar::new(),
            open: AtomicUsize::new(0),
            unwritten: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    // === requests ===

    /// Notes a request whose record will follow.
    pub(super) fn arrive(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    /// Notes the end of a request that arrived.
    pub(super) fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Returns whether there is room for the records of all open requests.
    pub(super) fn accepts_requests(&self) -> bool {
        if self.limits.serves_unaudited {
            return true;
        }
        let records = self.open.load(Relaxed).saturating_add(self.unwritten.load(Relaxed));
        self.is_writable()
            && records <= self.limits.max_records
            && self.waiting_bytes.load(Relaxed) <= self.limits.max_bytes / 2
    }

    pub(super) fn is_writable(&self) -> bool {
        !self.failing.load(SeqCst) && !self.stopped.load(SeqCst)
    }

    /// Queues a record or counts it as lost.
    pub(super) fn push(&self, members: &[u8], arrival: SystemTime) {
        let mut state = self.state.lock();
        if self.has_room(&state, members) {
            make_room(&mut state.bytes, members.len() + 1, self.limits.max_bytes);
            state.bytes.extend_from_slice(members);
            state.bytes.push(b'\n');
            state.records += 1;
            state.accepted += 1;
            self.unwritten.fetch_add(1, Relaxed);
            self.waiting_bytes.store(state.bytes.len(), Relaxed);
        } else {
            state.gap.lost += 1;
            state.gap.since.get_or_insert(arrival);
            self.lost.fetch_add(1, Relaxed);
        }
        // A wake-up is a system call: at most one for each batch.
        let wake = match state.writer {
            WriterState::Writing => false,
            WriterState::Idle => true,
            WriterState::Collecting => self.is_half_full(&state),
        };
        if wake {
            state.writer = WriterState::Writing;
        }
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Counts a request that was rejected because the trail cannot be written.
    pub(super) fn turn_away(&self, arrival: SystemTime) {
        let mut state = self.state.lock();
        state.gap.turned_away += 1;
        state.gap.since.get_or_insert(arrival);
    }

    fn has_room(&self, state: &State, members: &[u8]) -> bool {
        let room = self.limits.max_bytes.saturating_sub(state.bytes.len());
        // A gap is closed by the writer, so that it has one place among the records.
        state.gap.lost == 0
            && !self.stopped.load(SeqCst)
            && state.records < self.limits.max_records
            && members.len() < room
    }

    fn is_half_full(&self, state: &State) -> bool {
        state.records >= self.limits.max_records / 2
            || state.bytes.len() >= self.limits.max_bytes / 2
    }

    // === readings ===

    /// Records that are not written.
    pub(super) fn lag(&self) -> usize {
        self.unwritten.load(Relaxed)
    }

    /// Records that were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    // === owners ===

    /// Waits until the records that were queued before are durable. Returns false at the drain
    /// timeout.
    pub(super) fn flush(&self) -> bool {
        let mut state = self.state.lock();
        let until = state.accepted;
        state.urgent = true;
        self.work.notify_one();
        let waits = |state: &mut State| state.durable < until && !self.stopped.load(SeqCst);
        let waited =
            self.settled.wait_timeout_while(state, self.limits.drain_timeout, |state| waits(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.durable >= until
    }

    /// Takes no more records and waits until the writer thread has stopped or the drain timeout has
    /// passed. Returns whether it has stopped with all records written.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        self.work.notify_one();
        let waits = |_: &mut State| !self.stopped.load(SeqCst);
        let waited = self.settled.wait_timeout_while(state, self.limits.drain_timeout, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.abandoned = true;
        self.stopped.load(SeqCst) && state.durable == state.accepted
    }

    #[cfg(test)]
    pub(super) fn close_without_waiting(&self) {
        self.state.lock().closed = true;
    }

    // === the writer thread ===

    /// Waits for work, for `wait` at most, and takes it. Leaves the records unless `wants_records`.
    pub(super) fn take(&self, into: &mut Taken, wait: Option<Duration>, wants_records: bool) {
        let mut state = self.state.lock();
        let has_work = |state: &State| {
            let records = state.records > 0 || !state.gap.is_empty();
            state.urgent || state.closed || wants_records && records
        };
        if !has_work(&state) {
            // One wait is enough: the writer looks at its own work and returns.
            if wants_records {
                state.writer = WriterState::Idle;
            }
            state = match wait {
                Some(wait) => {
                    self.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.writer = WriterState::Writing;
        }
        let collects = wants_records && state.records > 0 && !self.limits.immediate;
        if collects && !state.urgent && !state.closed && !self.is_half_full(&state) {
            state.writer = WriterState::Collecting;
            let waited = self.work.wait_timeout(state, GATHER);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.writer = WriterState::Writing;
        }
        into.urgent = mem::take(&mut state.urgent);
        into.abandoned = state.abandoned;
        if wants_records {
            mem::swap(&mut state.bytes, &mut into.bytes);
            state.records = 0;
            into.gap = mem::take(&mut state.gap);
            self.waiting_bytes.store(state.bytes.len(), Relaxed);
        }
        // A writer that cannot write does not wait for the rest.
        into.closed = state.closed && (state.records == 0 || !wants_records);
    }

    /// Notes that as many more records are written.
    pub(super) fn settle(&self, records: usize) {
        self.state.lock().written += records as u64;
        self.unwritten.fetch_sub(records, Relaxed);
    }

    /// Notes that all written records are durable.
    pub(super) fn settle_durable(&self) {
        let mut state = self.state.lock();
        state.durable = state.written;
        drop(state);
        self.settled.notify_all();
    }

    pub(super) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, SeqCst);
    }
}

/// Grows a buffer by doubling but never past `max`. A `Vec` alone would take up to twice the bound.
fn make_room(bytes: &mut Vec<u8>, more: usize, max: usize) {
    let (length, room) = (bytes.len(), bytes.capacity());
    let needed = length.saturating_add(more);
    if needed > room {
        let doubled = room.saturating_mul(2).min(max);
        bytes.reserve_exact(doubled.max(needed) - length);
    }
}

/// Marks the queue as stopped when the writer thread ends, also by a panic.
pub(super) struct StopGuard {
    pub(super) queue: Arc<RecordQueue>,
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        let state = self.queue.state.lock();
        self.queue.stopped.store(true, SeqCst);
        self.queue.lost.fetch_add(state.accepted - state.written, Relaxed);
        drop(state);
        self.queue.settled.notify_all();
    }
}
