//! Answers that are kept and shared.

mod ask;
mod body;
mod cacheable;
mod call;
mod canonical;
mod control;
mod convert;
mod counts;
mod deterministic;
mod entry;
mod flight;
mod flights;
mod function;
mod future;
mod generation;
mod head;
mod key;
mod layer;
mod memory;
mod record;
mod scope;
mod service;
mod settings;
mod status;
mod storable;
mod ticket;
mod unauthorized;
mod variants;

pub use self::{
    body::{BodyError, ResponseBody},
    cacheable::Cacheable,
    counts::CacheCounts,
    future::ResponseFuture,
    layer::CacheLayer,
    scope::{Scope, ScopeFunction},
    service::Cache,
    unauthorized::Unauthorized,
};
