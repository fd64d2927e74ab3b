//! One connection to Redis or Valkey with its state and bounded waits.
//!
//! ```text
//!             connected and the probe passed     
//!   Unknown ──────────────────────────────────────► Up ◄──┐
//!      │                                            │     │ connected again, probe passed
//!      │ cannot be reached                          │ a call fails or takes too long
//!      └────────────────────► Away ◄────────────────┘     │
//!                               └──────────────────────────┘
//! ```
//!
//! A caller waits for a reply up to the chosen timeout. It does not wait at all while the server is
//! away. A task that the link owns connects and reconnects. Each change of state is logged once.
//!
//! The Redis client buffers a reply of any length until it is complete. The link therefore opens the
//! sockets itself and counts the bytes on them. A reply beyond the bounds fails the connection before
//! the client sees it.

mod bounded;
mod bounds;
mod connection;
mod error;
mod link;
mod node;
mod places;
mod policy;
mod replies;

pub use self::error::RedisError;
pub(crate) use self::{
    bounds::Bounds,
    connection::Connection,
    link::{Away, Link, Probe},
    places::Places,
    policy::Policy,
};
