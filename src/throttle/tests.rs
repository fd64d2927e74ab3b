//! The layer over a store that answers later, or not at all.

use std::{
    convert::Infallible,
    future::{Future, Ready, poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Concurrency, Limit, LimitError, Rate, Store, Subject, ThrottleLayer,
    ask::{Asks, Decision, Settlement, Standing},
    key::{Key, Keys},
    store::{Backend, Later, Reply, Unavailable},
};
use crate::{lock::Lock, rejection::Rejection};

type Answer = Result<Decision, Unavailable>;

/// Answers when it was told what.
#[derive(Clone)]
struct Far(Arc<Shared>);

struct Shared {
    keys: Keys,
    answer: Lock<Option<Answer>>,
    asked: Lock<Vec<Asks>>,
    settled: Lock<Vec<Settlement>>,
}

impl Far {
    fn new() -> Self {
        Self(Arc::new(Shared {
            keys: Keys::new([7; 16]),
            answer: Lock::default(),
            asked: Lock::default(),
            settled: Lock::default(),
        }))
    }

    fn say(&self, answer: Answer) {
        *self.0.answer.lock() = Some(answer);
    }

    /// The permits that were given back.
    fn given_back(&self) -> Vec<i64> {
        self.0.settled.lock().iter().map(|settlement| settlement.permits).collect()
    }

    fn later(&self) -> Later<Answer> {
        let shared = Arc::clone(&self.0);
        Box::pin(poll_fn(move |_| shared.answer.lock().clone().map_or(Poll::Pending, Poll::Ready)))
    }
}

impl std::fmt::Debug for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Far").finish_non_exhaustive()
    }
}

impl Backend for Far {
    fn keys(&self) -> &Keys {
        &self.0.keys
    }

    fn decide(&self, asks: &Asks) -> Reply {
        self.0.asked.lock().push(asks.clone());
        Reply::Later(self.later())
    }

    fn settle(&self, settlements: &[Settlement]) {
        self.0.settled.lock().extend_from_slice(settlements);
    }

    fn look(&self, asks: &Asks) -> Reply {
        self.decide(asks)
    }

    fn reset(&self, _keys: &[Key]) -> Later<bool> {
        Box::pin(ready(false))
    }
}

/// Panics when an instance is called that was not made ready; its clones never are.
struct Careful {
    ready: bool,
    called: Arc<Lock<u32>>,
}

impl Clone for Careful {
    fn clone(&self) -> Self {
        Self { ready: false, called: Arc::clone(&self.called) }
    }
}

impl Service<Request<()>> for Careful {
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

fn careful() -> Careful {
    Careful { ready: false, called: Arc::default() }
}

fn decision(passes: bool, limits: usize) -> Answer {
    let standing = Standing { allows: passes, most: 5, ..Standing::default() };
    Ok(Decision { passes, standings: std::iter::repeat_n(standing, limits).collect() })
}

fn layer(far: &Far, limit: Limit) -> ThrottleLayer {
    ThrottleLayer::new(limit).store(Store::new(far.clone()))
}

fn made_ready<S: Service<Request<()>>>(service: &mut S) -> &mut S {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    service
}

#[test]
fn a_request_waits_for_the_store_and_then_calls_what_was_made_ready() {
    let far = Far::new();
    let inner = careful();
    let called = Arc::clone(&inner.called);
    let mut service = layer(&far, Limit::global(Rate::per_second(5))).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    for number in 1..=2 {
        *far.0.answer.lock() = None;
        let mut future = pin!(made_ready(&mut service).call(Request::new(())));
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(*called.lock(), number - 1);
        far.say(decision(true, 1));
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
        assert_eq!(response.status(), 200);
        assert_eq!(*called.lock(), number);
    }
}

#[test]
fn a_later_refusal_is_told_and_nothing_is_called() {
    let far = Far::new();
    far.say(decision(false, 1));
    let inner = careful();
    let called = Arc::clone(&inner.called);
    let layer = layer(&far, Limit::global(Rate::per_second(5)));
    let mut service = layer.layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!((response.status().as_u16(), *called.lock()), (429, 0));
    assert_eq!(layer.counts().first().map(|counts| counts.refused), Some(1));
}

#[test]
fn places_that_were_granted_later_are_given_back() {
    let far = Far::new();
    far.say(decision(true, 1));
    let mut service = layer(&far, Limit::global(Concurrency::of(5))).layer(careful());
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    // An empty body has ended with its head.
    assert_eq!(far.given_back(), [-1]);
    drop(response);
    assert_eq!(far.given_back(), [-1]);
}

#[test]
fn who_leaves_before_the_decision_calls_nothing_and_gives_nothing_back() {
    let far = Far::new();
    let inner = careful();
    let called = Arc::clone(&inner.called);
    let mut service = layer(&far, Limit::global(Concurrency::of(5))).layer(inner);
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut future = pin!(made_ready(&mut service).call(Request::new(())));
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
    // What the store has not told was never held here: a second place would be invented.
    assert_eq!((far.given_back().len(), *called.lock()), (0, 0));
    assert_eq!(far.0.asked.lock().len(), 1);
}

#[test]
fn a_store_that_is_away_refuses_with_503() {
    let far = Far::new();
    far.say(Err(Unavailable));
    let limit = Limit::global(Rate::per_second(5));
    let mut service = layer(&far, limit.clone()).layer(careful());
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal().slug(), "throttle-unavailable");

    // Limits in shadow stop nobody, whatever happens.
    let mut service = layer(&far, limit.shadow()).layer(careful());
    let mut future = pin!(made_ready(&mut service).call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(response.status(), 200);
}

#[test]
fn a_store_that_is_away_can_neither_be_read_nor_reset() {
    let far = Far::new();
    far.say(Err(Unavailable));
    let layer = layer(&far, Limit::global(Rate::per_second(5)));
    let mut cx = Context::from_waker(Waker::noop());
    let mut standing = pin!(layer.standing("global", &Subject::global()));
    let unavailable = LimitError::Unavailable;
    assert_eq!(standing.as_mut().poll(&mut cx), Poll::Ready(Err(unavailable)));
    let mut reset = pin!(layer.reset("global", &Subject::global()));
    assert_eq!(reset.as_mut().poll(&mut cx), Poll::Ready(Err(unavailable)));
}

#[test]
fn a_counter_is_of_one_name_one_unit_and_one_kind() {
    use super::{
        Quota,
        limits::{Limits, Unit},
    };

    let far = Far::new();
    let key = |limit: Limit, unit| {
        let mut limits = Limits::new(limit, unit);
        limits.set_store(Store::new(far.clone()));
        let mut asks = Asks::new();
        let context = crate::context::RequestContext::new();
        limits.asks(&Request::new(()), &context, 1, &mut asks).unwrap();
        asks.first().map(|ask| (ask.key, ask.overflow)).unwrap()
    };
    let requests = Unit::Requests;
    let rate = Limit::global(Rate::per_second(5));
    let same = key(rate.clone(), requests);
    // Neither its numbers nor shadow make it another.
    assert_eq!(key(Limit::global(Rate::per_day(7)).shadow(), requests), same);
    let others = [
        key(rate.clone().name("other"), requests),
        key(rate, Unit::Tokens),
        key(Limit::global(Concurrency::of(5)), requests),
        key(Limit::global(Quota::per_day(5)), requests),
        key(Limit::global(Quota::per_month(5)), requests),
    ];
    let mut all: Vec<_> = others.iter().chain([&same]).flat_map(|(a, b)| [*a, *b]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12);
}
