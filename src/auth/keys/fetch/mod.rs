//! The steps of a fetch of keys.
//!
//! `fetcher` decides when keys are fetched and which requests wait. `request` sends the requests of
//! one fetch. `discovery` reads the document of an issuer. `freshness` reads how long a set may be
//! used without asking again.

mod discovery;
mod fetcher;
mod freshness;
mod request;

pub(crate) use self::fetcher::{FetchDecision, FetchReason, FetchResult};
pub(super) use self::{
    discovery::well_known,
    fetcher::{FetchBounds, KeyFetcher},
    request::{HttpGet, KeyRequest},
};
