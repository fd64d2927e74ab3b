use std::{
    any::Any,
    collections::VecDeque,
    pin::Pin,
    task::Waker,
    time::{Duration, Instant},
};

use super::{
    position::{LEADER, Position, Positions},
    source::{End, FlightBounds, FlightEvent, FlightSource, Piece, Step},
};
use crate::memory_limit::MemoryPermit;

/// The state of a flight, under its lock.
pub(super) struct FlightState<H, P> {
    /// `None` before the launch, during a poll and after the end.
    pub(super) source: Option<Pin<Box<dyn FlightSource<H, P>>>>,
    pub(super) launched: bool,
    /// The source woke a reader since it was taken out. The reader that has it must poll it again:
    /// the woken readers found no source and may never be polled again.
    pub(super) woken: bool,
    pub(super) head: Option<H>,
    pub(super) log: VecDeque<P>,
    /// Pieces and bytes before the log.
    pub(super) dropped: (usize, usize),
    /// Bytes in the log.
    pub(super) log_bytes: usize,
    /// Memory of the head and the log.
    memory: usize,
    permit: MemoryPermit,
    /// The memory limit was reached. From then on no piece waits in the log.
    pub(super) out_of_memory: bool,
    /// The begin of the current delay by slow readers.
    pub(super) delayed_since: Option<Instant>,
    /// The sum of all earlier delays.
    delayed: Duration,
    pub(super) ended: Option<Ended>,
    pub(super) positions: Positions,
    /// Readers at the start of the log when it was last trimmed, less those that have left it while it
    /// had pieces. Those that joined since are not counted. Each new piece trims.
    at_start: usize,
    pub(super) next_id: u64,
}

pub(super) enum Ended {
    Complete,
    Broken,
    /// The outcome stays until the leader takes it.
    NotShared(Option<Box<dyn Any + Send>>),
}

impl<H, P> FlightState<H, P> {
    pub(super) fn new(permit: MemoryPermit) -> Self {
        Self {
            source: None,
            launched: false,
            woken: false,
            head: None,
            log: VecDeque::new(),
            dropped: (0, 0),
            log_bytes: 0,
            memory: permit.bytes(),
            permit,
            out_of_memory: false,
            delayed_since: None,
            delayed: Duration::ZERO,
            ended: None,
            positions: Positions::of_leader(),
            at_start: 0,
            next_id: LEADER + 1,
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.positions.all_mut().filter_map(|position| position.waker.take()).collect()
    }

    /// Returns whether a reader is left that was not cut.
    pub(super) fn has_readers(&self) -> bool {
        self.positions.reading().next().is_some()
    }

    pub(super) fn has_several_readers(&self) -> bool {
        self.positions.reading().nth(1).is_some()
    }

    /// Takes memory from the limit. Once it is exhausted, later pieces do not wait in the log.
    fn take_memory(&mut self, bytes: usize) {
        self.memory += bytes;
        self.out_of_memory |= self.permit.grow(bytes).is_err();
    }

    fn give_memory_back(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
        // After exhaustion the permit has less than the log.
        self.permit.shrink(self.permit.bytes().saturating_sub(self.memory));
    }

    /// Returns the limit of the current delay by slow readers.
    pub(super) fn delay_limit(&self, bounds: &FlightBounds) -> Duration {
        bounds.slow_reader_timeout.saturating_sub(self.delayed) / 4
    }
}

impl<H: Piece, P: Piece> FlightState<H, P> {
    /// Adds a step of the source.
    pub(super) fn add(&mut self, step: Step<H, P>) {
        match step {
            Step::Head(head) => {
                self.take_memory(memory_of(&head));
                self.head = Some(head);
            }
            Step::Piece(piece) => {
                self.take_memory(memory_of(&piece));
                self.log_bytes += piece.length();
                self.log.push_back(piece);
            }
            Step::End(End::Complete) => self.ended = Some(Ended::Complete),
            Step::End(End::Broken) => self.ended = Some(Ended::Broken),
            Step::End(End::NotShared(outcome)) => {
                self.ended = Some(Ended::NotShared(Some(outcome)));
            }
        }
    }
}

impl<H, P: Piece> FlightState<H, P> {
    /// Returns the next event of a reader and the pieces that no reader needs any more.
    pub(super) fn next_event(
        &mut self,
        id: u64,
        bounds: &FlightBounds,
    ) -> (Option<FlightEvent<H, P>>, Vec<P>)
    where
        H: Clone,
    {
        let Some(position) = self.positions.get_mut(id) else {
            return (Some(FlightEvent::Cut), Vec::new());
        };
        if position.cut {
            return (Some(FlightEvent::Cut), Vec::new());
        }
        if !position.has_head
            && let Some(head) = &self.head
        {
            position.has_head = true;
            return (Some(FlightEvent::Head(head.clone())), Vec::new());
        }
        let at = position.read.0.saturating_sub(self.dropped.0);
        if let Some(piece) = self.log.get(at) {
            let piece = piece.clone();
            let before = position.read;
            position.read = (before.0 + 1, before.1 + piece.length());
            let unused = self.leave(before, bounds);
            if !unused.is_empty() {
                self.end_delay(bounds);
            }
            return (Some(FlightEvent::Piece(piece)), unused);
        }
        let event = match &mut self.ended {
            None => None,
            Some(Ended::Complete) => Some(FlightEvent::Complete),
            Some(Ended::Broken) => Some(FlightEvent::Broken),
            Some(Ended::NotShared(outcome)) if id == LEADER => {
                Some(FlightEvent::NotShared(outcome.take()))
            }
            Some(Ended::NotShared(_)) => Some(FlightEvent::NotShared(None)),
        };
        (event, Vec::new())
    }

    /// Stores the waker of a reader. Returns the previous one, which the caller drops.
    pub(super) fn register(&mut self, id: u64, waker: &Waker) -> Option<Waker> {
        let position = self.positions.get_mut(id)?;
        if position.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        position.waker.replace(waker.clone())
    }

    /// Returns whether one more piece may be fetched for this reader.
    pub(super) fn has_room(&self, id: u64, bounds: &FlightBounds) -> bool {
        let Some(position) = self.positions.get(id) else { return false };
        // Without a recording the log begins at the slowest reader.
        self.is_recorded(bounds)
            || position.read.1.saturating_sub(self.dropped.1) < self.max_gap(bounds)
    }

    /// Returns whether this reader waits for slower ones.
    pub(super) fn is_delayed(&self, id: u64, bounds: &FlightBounds) -> bool {
        let has_all = |position: &Position| {
            !position.cut && position.read.0 == self.dropped.0 + self.log.len()
        };
        self.positions.get(id).is_some_and(has_all) && !self.has_room(id, bounds)
    }

    /// Adds the current delay to the sum if it is over.
    pub(super) fn end_delay(&mut self, bounds: &FlightBounds) {
        let Some(since) = self.delayed_since else { return };
        let all = self.dropped.0 + self.log.len();
        let full = self.log_bytes >= self.max_gap(bounds) && !self.is_recorded(bounds);
        let waits = |position: &Position| position.read.0 == all;
        if self.ended.is_none() && full && self.positions.reading().any(waits) {
            return;
        }
        self.delayed_since = None;
        let delay = (bounds.now)().saturating_duration_since(since);
        self.delayed = self.delayed.saturating_add(delay);
    }

    /// Cuts the readers that are a whole gap behind this one.
    pub(super) fn cut_behind(&mut self, id: u64, bounds: &FlightBounds) {
        let (gap, own) = (self.max_gap(bounds), self.positions.get(id));
        let own = own.map_or(0, |position| position.read.1);
        for position in self.positions.all_mut() {
            position.cut |= own.saturating_sub(position.read.1) >= gap;
        }
    }

    /// Returns how many bytes may wait for the slowest reader.
    fn max_gap(&self, bounds: &FlightBounds) -> usize {
        if self.out_of_memory { 1 } else { bounds.max_gap_bytes.max(1) }
    }

    /// Returns whether the log has all pieces for future readers.
    pub(super) fn is_recorded(&self, bounds: &FlightBounds) -> bool {
        self.ended.is_none()
            && !self.out_of_memory
            && self.dropped.0 == 0
            && self.log_bytes <= bounds.max_recorded_bytes
    }

    /// Returns the pieces and bytes that every reader has received, and how many have no more.
    fn slowest(&self) -> ((usize, usize), usize) {
        let mut slowest = (usize::MAX, usize::MAX);
        let mut readers = 0;
        for position in self.positions.reading() {
            if position.read.0 < slowest.0 {
                (slowest, readers) = (position.read, 1);
            } else if position.read.0 == slowest.0 {
                readers += 1;
            }
        }
        (slowest, readers)
    }

    /// Removes the pieces that only a reader at this position has not received. It has just left it.
    pub(super) fn leave(&mut self, position: (usize, usize), bounds: &FlightBounds) -> Vec<P> {
        if position.0 > self.dropped.0 || self.log.is_empty() {
            return Vec::new();
        }
        // Trimming visits all readers. It would do so for each of them if they all leave at once.
        self.at_start = self.at_start.saturating_sub(1);
        if self.at_start > 0 { Vec::new() } else { self.trim(bounds) }
    }

    /// Removes the pieces that every reader has received, unless all are recorded.
    pub(super) fn trim(&mut self, bounds: &FlightBounds) -> Vec<P> {
        if self.is_recorded(bounds) || !self.has_readers() {
            return Vec::new();
        }
        let (slowest, readers) = self.slowest();
        self.at_start = readers;
        let count = slowest.0.saturating_sub(self.dropped.0).min(self.log.len());
        let unused: Vec<P> = self.log.drain(..count).collect();
        if !unused.is_empty() {
            self.log_bytes -= slowest.1 - self.dropped.1;
            self.dropped = slowest;
            self.give_memory_back(unused.iter().map(memory_of).sum());
        }
        unused
    }
}

/// Returns the memory of a piece in a log that grows by doubling, including its share of the unused
/// end of a block.
fn memory_of<T: Piece>(piece: &T) -> usize {
    const LOG_SLOT: usize = 32;
    let length = piece.length();
    length + length / 4 + LOG_SLOT
}
