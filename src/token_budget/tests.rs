//! The layer over a store that decides later, and its settlements.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use super::{ResponseBody, ResponseFuture, TokenBudgetLayer};
use crate::{
    limits::{
        Concurrency, Decision, FakeStore, Limit, PermitOutcome, Quota, Rate, Store,
        StoreUnavailable,
    },
    payload::Payload,
};

/// The permits that were settled, each with its window.
fn settled(store: &FakeStore) -> Vec<(i64, u32)> {
    store.settled().iter().map(|settled| (settled.permits, settled.window)).collect()
}

/// Panics when an instance that was not made ready is called. Its clones are not ready.
struct ReadyOnly(bool);

impl Clone for ReadyOnly {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl Service<Request<Payload>> for ReadyOnly {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Payload>) -> Self::Future {
        assert!(std::mem::take(&mut self.0), "called an instance that was not ready");
        let usage = r#"{"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;
        let response = Response::builder().header("content-type", "application/json");
        ready(Ok(response.body(Full::from(usage)).unwrap()))
    }
}

type Called = ResponseFuture<Ready<Result<Response<Full<Bytes>>, Infallible>>, ReadyOnly>;

fn call(layer: &TokenBudgetLayer) -> Pin<Box<Called>> {
    let mut service = layer.layer(ReadyOnly(false));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let body = r#"{"prompt":"abcd","max_tokens":10}"#;
    Box::pin(service.call(Request::post("/v1/completions").body(Payload::buffered(body)).unwrap()))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn outcome(allows: bool, window: u32) -> PermitOutcome {
    PermitOutcome { allows, window, capacity: 100, ..PermitOutcome::default() }
}

fn read(mut response: Response<ResponseBody<Full<Bytes>>>) {
    use http_body::Body as _;

    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = pin!(response.body_mut()).poll_frame(&mut cx) {}
}

#[test]
fn the_ready_instance_is_called_and_the_reservation_settled_once() {
    let store = FakeStore::new();
    let layer = TokenBudgetLayer::new(Limit::global(Quota::per_day(100)))
        .limit(Limit::global(Rate::per_minute(5)).name("shadow").shadow())
        .limit(Limit::global(Concurrency::new(50)).name("in flight"))
        .store(Store::new(store.clone()));
    let mut future = call(&layer);
    assert!(poll(future.as_mut()).is_pending());
    let costs = store.requests()[0].iter().map(|request| request.cost).collect::<Vec<_>>();
    assert_eq!(costs, [12, 12, 12]);
    // The limit in shadow does not allow the request, so it has taken nothing.
    let outcomes = [outcome(true, 7), outcome(false, 0), outcome(true, 0)];
    store.set_decision(Ok(Decision { passes: true, outcomes: outcomes.into_iter().collect() }));
    let Poll::Ready(Ok(response)) = poll(future.as_mut()) else { unreachable!() };
    assert_eq!(response.status(), 200);
    assert_eq!(settled(&store), []);
    read(response);
    drop(future);
    assert_eq!(settled(&store), [(5 + 2 - 12, 7), (-12, 0)]);
}

#[test]
fn a_request_dropped_before_the_decision_settles_nothing() {
    let store = FakeStore::new();
    let layer =
        TokenBudgetLayer::new(Limit::global(Rate::per_minute(5))).store(Store::new(store.clone()));
    let mut future = call(&layer);
    assert!(poll(future.as_mut()).is_pending());
    drop(future);
    assert_eq!(settled(&store), []);
}

#[test]
fn a_rejection_settles_nothing() {
    let store = FakeStore::new();
    let layer =
        TokenBudgetLayer::new(Limit::global(Quota::per_day(50))).store(Store::new(store.clone()));
    let rejected = [
        (Err(StoreUnavailable), 503),
        (
            Ok(Decision { passes: false, outcomes: std::iter::once(outcome(false, 1)).collect() }),
            429,
        ),
    ];
    for (decision, status) in rejected {
        store.set_decision(decision);
        let Poll::Ready(Ok(response)) = poll(call(&layer).as_mut()) else { unreachable!() };
        assert_eq!(response.status(), status);
        read(response);
        assert_eq!(settled(&store), []);
    }
}
