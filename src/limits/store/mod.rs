//! Stores of counters: in memory or in Redis for several replicas.

mod backend;
#[cfg(test)]
mod fake;
mod gcra;
mod handle;
mod memory;
mod permit;
#[cfg(feature = "redis")]
mod redis;

#[cfg(test)]
pub(crate) use self::fake::FakeStore;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{OutagePolicy, RedisCounts, RedisError, RedisStore};
pub(crate) use self::{
    backend::{StoreDecision, StoreFuture, StoreUnavailable},
    permit::{Decision, PermitOutcome, PermitRequest, PermitRequests, Settlement},
};
pub use self::{
    handle::Store,
    memory::{MemoryStore, OverflowPolicy},
};
