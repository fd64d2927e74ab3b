//! A limit on requests in flight, with a share for each caller and a bounded queue.
//!
//! A request takes a permit at once, waits for one in the queue or is rejected:
//!
//! - The pass path takes a permit in one atomic step and allocates nothing. A named caller adds one
//!   lock of one of sixteen tables.
//! - The queue is bounded by `max_queued` and a wait by `queue_timeout`. Dropping a wait leaves the
//!   queue, and dropping a permit releases it.
//! - Callers in the queue take turns. The requests of one caller keep their order.
//! - One caller may fill its share of the permits and of the queue. Beyond its share it gets more
//!   only while a quarter of all places stays free.

mod callers;
mod limit;
mod queue;
mod share;
#[cfg(test)]
mod tests;

#[cfg(feature = "upstream")]
pub(crate) use self::callers::Caller;
pub(crate) use self::limit::{Acquired, LoadLimit, LoadPermit, LoadWait, NoPermit};
