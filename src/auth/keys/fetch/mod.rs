//! Fetches keys from a server.
//!
//! `fetcher` decides when to fetch and which requests wait. `shared_future` lets several requests
//! wait for one fetch. `wait_permit` bounds their number. `http_get`, `address` and `discovery` are
//! the steps of one fetch.

mod address;
mod discovery;
mod fetcher;
mod http_get;
mod shared_future;
mod wait_permit;

pub(super) use self::{
    address::{Transport, absolute, transport, well_known},
    discovery::jwks_uri,
    fetcher::{FetchBounds, KeyFetcher},
    http_get::{ReadLimits, http_get},
    shared_future::BoxFuture,
};
pub(crate) use self::{
    fetcher::{FetchDecision, FetchReason, FetchResult},
    shared_future::Waiter,
};
