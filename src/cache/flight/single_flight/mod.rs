//! Single-flight: one source, read by many readers at their own pace.
//!
//! A flight is a mutex over the source, the log of its pieces and the positions of its readers.
//! There is no driver task. A reader that needs more than the log has takes the source out, polls
//! it with a waker that wakes every waiting reader and puts it back. Any reader can therefore leave
//! or stop polling, and the others continue. Dropping the last reader drops the source, which
//! cancels the upstream call.
//!
//! Nothing is polled, woken or dropped under the lock.
//!
//! A slow reader delays the others only while the log is full. All these delays of a flight are
//! added up, whichever reader was slow. Each delay may take a quarter of the time that is left.
//! Then the readers behind are cut. The sum is therefore never exceeded, even if readers stall one
//! after the other. A reader that was polled a little late is not cut for the delays of others.
//!
//! `tests/shuttle` compiles this folder and explores its interleavings.

mod flight;
mod position;
mod source;
mod state;

pub(crate) use self::{
    flight::{Flight, JoinError, Reader},
    source::{End, FlightBounds, FlightEvent, FlightSource, Piece, Step},
};
