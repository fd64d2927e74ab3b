//! The layer over a store that decides later, or not at all.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower_layer::Layer;
use tower_service::Service;

use super::ThrottleLayer;
use crate::{
    limits::{
        Concurrency, Decision, FakeStore, Limit, LimitError, PermitOutcome, Rate, Store,
        StoreUnavailable, Subject,
    },
    lock::Lock,
    rejection::Rejection,
};

/// Panics when an instance that was not made ready is called. Its clones are not ready.
struct ReadyOnly {
    ready: bool,
    called: Arc<Lock<u32>>,
}

impl Clone for ReadyOnly {
    fn clone(&self) -> Self {
        Self { ready: false, called: Arc::clone(&self.called) }
    }
}

impl Service<Request<()>> for ReadyOnly {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called an instance that was not ready");
        *self.called.lock() += 1;
        ready(Ok(Response::new(Empty::new())))
    }
}

fn ready_only() -> ReadyOnly {
    ReadyOnly { ready: false, called: Arc::default() }
}

fn decision(passes: bool) -> Result<Decision, StoreUnavailable> {
    let outcome = PermitOutcome { allows: passes, capacity: 5, ..PermitOutcome::default() };
    Ok(Decision { passes, outcomes: std::iter::once(outcome).collect() })
}

fn layer(store: &FakeStore, limit: Limit) -> ThrottleLayer {
    ThrottleLayer::new(limit).store(Store::new(store.clone()))
}

fn made_ready<S: Service<Request<()>>>(service: &mut S) -> &mut S {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    service
}

/// The permits that were settled.
fn settled(store: &FakeStore) -> Vec<i64> {
    store.settled().iter().map(|settlement| settlement.permits).collect()
}

#[test]
fn a_request_waits_for_the_store_and_calls_the_ready_instance() {
    let store = FakeStore::new();
    let inner = ready_only();
    let called = Arc::clone(&inner.called);
    let mut service = layer(&store, Limit::global(Rate::per_second(5))).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    for number in 1..=2 {
        store.clear_decision();
        let mut future = pin!(made_ready(&mut service).call(Request::new(())));
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(*called.lock(), number - 1);
        store.set_decision(decision(true));
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
        assert_eq!(response.status(), 200);
        assert_eq!(*called.lock(), number);
    }
}

#[test]
fn a_later_rejection_calls_nothing() {
    let store = FakeStore::new();
    store.set_decision(decision(false));
    let inner = ready_only();
    let called = Arc::clone(&inner.called);
    let layer = layer(&store, Limit::global(Rate::per_second(5)));
    let mut service = layer.layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!((response.status().as_u16(), *called.lock()), (429, 0));
    assert_eq!(layer.counts().first().map(|counts| counts.rejected), Some(1));
}

#[test]
fn permits_in_flight_of_a_later_decision_are_given_back() {
    let store = FakeStore::new();
    store.set_decision(decision(true));
    let mut service = layer(&store, Limit::global(Concurrency::new(5))).layer(ready_only());
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    // An empty body ends with its head.
    assert_eq!(settled(&store), [-1]);
    drop(response);
    assert_eq!(settled(&store), [-1]);
}

#[test]
fn a_request_dropped_before_the_decision_calls_nothing_and_gives_nothing_back() {
    let store = FakeStore::new();
    let inner = ready_only();
    let called = Arc::clone(&inner.called);
    let mut service = layer(&store, Limit::global(Concurrency::new(5))).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut future = pin!(made_ready(&mut service).call(Request::new(())));
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
    // Without a decision, there is no permit to give back.
    assert_eq!((settled(&store).len(), *called.lock()), (0, 0));
    assert_eq!(store.requests().len(), 1);
}

#[test]
fn a_store_that_is_away_rejects_with_503() {
    let store = FakeStore::new();
    store.set_decision(Err(StoreUnavailable));
    let limit = Limit::global(Rate::per_second(5));
    let mut service = layer(&store, limit.clone()).layer(ready_only());
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal().slug(), "throttle-unavailable");

    // Limits in shadow reject nothing.
    let mut service = layer(&store, limit.shadow()).layer(ready_only());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(response.status(), 200);
}

#[test]
fn a_store_that_is_away_can_neither_be_read_nor_reset() {
    let store = FakeStore::new();
    store.set_decision(Err(StoreUnavailable));
    let layer = layer(&store, Limit::global(Rate::per_second(5)));
    let mut cx = Context::from_waker(Waker::noop());
    let mut state = pin!(layer.limit_state("global", &Subject::global()));
    let unavailable = LimitError::Unavailable;
    assert_eq!(state.as_mut().poll(&mut cx), Poll::Ready(Err(unavailable.clone())));
    let mut reset = pin!(layer.reset("global", &Subject::global()));
    assert_eq!(reset.as_mut().poll(&mut cx), Poll::Ready(Err(unavailable)));
}
