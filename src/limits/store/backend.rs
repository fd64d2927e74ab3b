use std::{fmt, future::Future, pin::Pin};

use super::permit::{Decision, PermitRequests, Settlement};
#[cfg(feature = "redis")]
use super::redis::RedisCounts;
use crate::limits::subject::{CounterHasher, CounterKey};

/// The operations of a store.
pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Returns the hasher of this store's keys.
    fn hasher(&self) -> &CounterHasher;

    /// Takes the permits of all requests or of none. A later decision that is dropped gives the
    /// permits in flight back.
    fn decide(&self, requests: &PermitRequests) -> StoreDecision;

    /// Corrects counters, at once or as soon as the shared store is reached.
    fn settle(&self, settlements: &[Settlement]);

    /// Returns the decision for costs of 0 and takes nothing.
    fn peek(&self, requests: &PermitRequests) -> StoreDecision;

    /// Deletes counters. Resolves to `false` where the store could not be reached.
    fn reset(&self, keys: &[CounterKey]) -> StoreFuture<bool>;

    /// Returns the counts of a shared store.
    #[cfg(feature = "redis")]
    fn redis_counts(&self) -> Option<RedisCounts> {
        None
    }
}

/// The store's decision, at once or later.
#[expect(clippy::large_enum_variant, reason = "moved once, and a box would cost an allocation")]
#[cfg_attr(not(any(feature = "redis", test)), expect(dead_code, reason = "memory decides at once"))]
pub(crate) enum StoreDecision {
    Now(Result<Decision, StoreUnavailable>),
    Later(StoreFuture<Result<Decision, StoreUnavailable>>),
}

pub(crate) type StoreFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The shared store is away, and its outage policy rejects requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StoreUnavailable;
