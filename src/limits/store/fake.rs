//! A store of tests that decides when the test says so.

use std::{
    fmt,
    future::{poll_fn, ready},
    sync::Arc,
    task::Poll,
};

use super::{
    backend::{Backend, StoreDecision, StoreFuture, StoreUnavailable},
    permit::{Decision, PermitRequests, Settlement},
};
use crate::{
    limits::subject::{CounterHasher, CounterKey},
    lock::Lock,
};

#[derive(Clone)]
pub(crate) struct FakeStore(Arc<FakeState>);

struct FakeState {
    hasher: CounterHasher,
    decision: Lock<Option<Result<Decision, StoreUnavailable>>>,
    requests: Lock<Vec<PermitRequests>>,
    settled: Lock<Vec<Settlement>>,
}

impl FakeStore {
    pub(crate) fn new() -> Self {
        Self(Arc::new(FakeState {
            hasher: CounterHasher::new([7; 16]),
            decision: Lock::default(),
            requests: Lock::default(),
            settled: Lock::default(),
        }))
    }

    /// Decides all requests from now on.
    pub(crate) fn set_decision(&self, decision: Result<Decision, StoreUnavailable>) {
        *self.0.decision.lock() = Some(decision);
    }

    /// Decides no request from now on.
    pub(crate) fn clear_decision(&self) {
        *self.0.decision.lock() = None;
    }

    pub(crate) fn requests(&self) -> Vec<PermitRequests> {
        self.0.requests.lock().clone()
    }

    pub(crate) fn settled(&self) -> Vec<Settlement> {
        self.0.settled.lock().clone()
    }
}

impl Backend for FakeStore {
    fn hasher(&self) -> &CounterHasher {
        &self.0.hasher
    }

    fn decide(&self, requests: &PermitRequests) -> StoreDecision {
        self.0.requests.lock().push(requests.clone());
        let state = Arc::clone(&self.0);
        StoreDecision::Later(Box::pin(poll_fn(move |_| {
            state.decision.lock().clone().map_or(Poll::Pending, Poll::Ready)
        })))
    }

    fn settle(&self, settlements: &[Settlement]) {
        self.0.settled.lock().extend_from_slice(settlements);
    }

    fn peek(&self, requests: &PermitRequests) -> StoreDecision {
        self.decide(requests)
    }

    fn reset(&self, _keys: &[CounterKey]) -> StoreFuture<bool> {
        Box::pin(ready(false))
    }
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}
