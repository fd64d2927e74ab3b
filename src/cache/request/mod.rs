//! The path of a request through the cache.

mod body;
mod decision;
mod engine;
mod exchange;
mod flight_listing;
mod future;
mod leader;
mod lookup;
mod recorder;
mod service;
mod upstream_call;

pub(crate) use self::engine::Engine;
pub use self::{
    body::{BodyError, ResponseBody},
    future::ResponseFuture,
    service::Cache,
};
