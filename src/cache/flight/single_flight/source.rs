use std::{
    any::Any,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The source of a flight: a head, then pieces, then an end.
pub(crate) trait FlightSource<H, P>: Send {
    /// Polls for the next step. A flight never polls again after an [`End`]. With `may_wait`, a
    /// piece can stay in memory for slow or future readers.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>, may_wait: bool) -> Poll<Step<H, P>>;
}

/// A step of a source.
pub(crate) enum Step<H, P> {
    Head(H),
    Piece(P),
    End(End),
}

/// The end of a source.
pub(crate) enum End {
    /// The source is complete.
    Complete,
    /// The source ended without a head. Its outcome belongs to the leader alone: an error or a
    /// rejection of this crate.
    NotShared(Box<dyn Any + Send>),
    /// The source failed after its head.
    Broken,
}

/// A head or a piece of a body. Readers get clones of it.
pub(crate) trait Piece: Clone + Send {
    /// Returns the number of bytes.
    fn length(&self) -> usize;
}

/// An event that a reader receives.
#[derive(Debug)]
pub(crate) enum FlightEvent<H, P> {
    Head(H),
    Piece(P),
    Complete,
    /// The flight ended without a head. The leader gets the outcome once. Every other reader gets
    /// `None` and has received nothing before.
    NotShared(Option<Box<dyn Any + Send>>),
    Broken,
    /// The reader was too slow for the others.
    Cut,
}

/// The bounds of a flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightBounds {
    /// Readers at the same time.
    pub(crate) max_readers: usize,
    /// Bytes that are recorded for future readers. A longer response admits no more readers.
    pub(crate) max_recorded_bytes: usize,
    /// Bytes between the fastest and the slowest reader, once nothing is recorded.
    pub(crate) max_gap_bytes: usize,
    /// The sum of all delays by slow readers.
    pub(crate) slow_reader_timeout: Duration,
    pub(crate) now: fn() -> Instant,
}
