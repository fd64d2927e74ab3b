use std::{fmt, sync::Arc};

use super::{
    counters::SharedCounters,
    counts::{RedisCounts, count},
    in_flight::{InFlightPermits, merge, pass, split},
    settings::RedisStore,
};
use crate::{
    limits::{
        store::{
            backend::{Backend, StoreDecision, StoreFuture},
            permit::{PermitRequests, Settlement},
        },
        subject::{CounterHasher, CounterKey},
    },
    owned_task::Task,
};

/// The shared store. It decides by leases first and by the server second. The outage policy decides
/// while the server is away.
pub(crate) struct RedisBackend {
    counters: Arc<SharedCounters>,
    settling: Task,
}

impl RedisBackend {
    pub(crate) fn new(settings: RedisStore) -> Self {
        let counters = Arc::new(SharedCounters::new(settings));
        let backend = Self { counters, settling: Task::default() };
        backend.start_settling();
        backend
    }

    /// Starts the task that settles, unless it runs or there is no runtime yet.
    fn start_settling(&self) {
        self.settling.keep(|| Arc::clone(&self.counters).settle_forever());
    }
}

impl Backend for RedisBackend {
    fn hasher(&self) -> &CounterHasher {
        self.counters.hasher()
    }

    fn decide(&self, requests: &PermitRequests) -> StoreDecision {
        self.start_settling();
        let counters = &self.counters;
        let (in_flight, shared) = split(requests);
        let in_flight = InFlightPermits::take(counters.in_flight(), in_flight);
        if shared.is_empty() {
            return StoreDecision::Now(Ok(in_flight.merge(requests, pass())));
        }
        if in_flight.pass()
            && let Some(decision) = counters.leases().decide(&shared)
        {
            count(&counters.counts().leased, 1);
            return StoreDecision::Now(Ok(in_flight.merge(requests, decision)));
        }
        let (counters, requests) = (Arc::clone(counters), requests.clone());
        StoreDecision::Later(Box::pin(async move {
            // A request that is rejected here takes nothing from the other limits.
            let decision = if in_flight.pass() {
                counters.decide(&shared).await?
            } else {
                counters.peek(&shared).await?
            };
            Ok(in_flight.merge(&requests, decision))
        }))
    }

    fn settle(&self, settlements: &[Settlement]) {
        self.start_settling();
        self.counters.settle(settlements);
    }

    fn peek(&self, requests: &PermitRequests) -> StoreDecision {
        self.start_settling();
        let (in_flight, shared) = split(requests);
        let (counters, requests) = (Arc::clone(&self.counters), requests.clone());
        StoreDecision::Later(Box::pin(async move {
            let in_flight = counters.in_flight().decide_now(&in_flight, false);
            let shared = if shared.is_empty() { pass() } else { counters.peek(&shared).await? };
            Ok(merge(&requests, in_flight, shared))
        }))
    }

    fn reset(&self, keys: &[CounterKey]) -> StoreFuture<bool> {
        self.start_settling();
        let here = self.counters.reset_here(keys);
        let (counters, keys) = (Arc::clone(&self.counters), keys.to_vec());
        Box::pin(async move {
            here.await;
            counters.reset_on_server(&keys).await
        })
    }

    fn redis_counts(&self) -> Option<RedisCounts> {
        Some(self.counters.counts().read())
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("up", &self.counters.is_up())
            .field("queued", &self.counters.queued())
            .finish_non_exhaustive()
    }
}
