//! The parts of a fetch of keys or tokens.
//!
//! `exchange` sends one request through the user's HTTP client. `address` checks where it may go.
//! `shared_future` lets many requests wait for one fetch. `wait_permit` bounds them. `deadline` is a
//! point in time that threads share. `random` spreads the fetches of replicas.

mod address;
mod deadline;
mod exchange;
mod fault;
mod random;
mod shared_future;
mod wait_permit;

pub(crate) use self::{
    address::{Transport, absolute, check_transport, same_host, transport},
    deadline::Deadline,
    exchange::{ExchangeLimits, Reply, exchange},
    fault::{FetchFault, short},
    random::random,
    shared_future::{BoxFuture, FetchSlot, InProgress, Waiter},
    wait_permit::{WaitPermit, WaitPermits},
};
