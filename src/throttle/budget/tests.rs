//! The budget over a store that answers later, and what it settles there.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, poll_fn, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use super::{BudgetBody, BudgetFuture, TokenBudgetLayer};
use crate::{
    lock::Lock,
    payload::Payload,
    throttle::{
        Concurrency, Limit, Quota, Rate, Store,
        ask::{Asks, Decision, Settlement, Standing},
        key::{Key, Keys},
        store::{Backend, Later, Reply, Unavailable},
    },
};

type Answer = Result<Decision, Unavailable>;

/// Answers when it was told what.
#[derive(Clone)]
struct Far(Arc<Shared>);

struct Shared {
    keys: Keys,
    answer: Lock<Option<Answer>>,
    costs: Lock<Vec<u64>>,
    settled: Lock<Vec<Settlement>>,
}

impl Far {
    fn new() -> Self {
        Self(Arc::new(Shared {
            keys: Keys::new([7; 16]),
            answer: Lock::default(),
            costs: Lock::default(),
            settled: Lock::default(),
        }))
    }

    fn say(&self, answer: Answer) {
        *self.0.answer.lock() = Some(answer);
    }

    /// The permits that were settled, and of which window.
    fn settled(&self) -> Vec<(i64, u32)> {
        self.0.settled.lock().iter().map(|settled| (settled.permits, settled.window)).collect()
    }
}

impl Backend for Far {
    fn keys(&self) -> &Keys {
        &self.0.keys
    }

    fn decide(&self, asks: &Asks) -> Reply {
        self.0.costs.lock().extend(asks.iter().map(|ask| ask.cost));
        let far = self.clone();
        Reply::Later(Box::pin(poll_fn(move |_| {
            far.0.answer.lock().clone().map_or(Poll::Pending, Poll::Ready)
        })))
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

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Far")
    }
}

/// Panics when an instance is called that was not made ready; its clones never are.
struct Careful(bool);

impl Clone for Careful {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl Service<Request<Payload>> for Careful {
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

type Called = BudgetFuture<Ready<Result<Response<Full<Bytes>>, Infallible>>, Careful>;

fn call(layer: &TokenBudgetLayer) -> Pin<Box<Called>> {
    let mut service = layer.layer(Careful(false));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let body = r#"{"prompt":"abcd","max_tokens":10}"#;
    Box::pin(service.call(Request::post("/v1/completions").body(Payload::buffered(body)).unwrap()))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn standing(allows: bool, window: u32) -> Standing {
    Standing { allows, window, most: 100, ..Standing::default() }
}

fn read(mut response: Response<BudgetBody<Full<Bytes>>>) {
    use http_body::Body as _;

    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(_)) = pin!(response.body_mut()).poll_frame(&mut cx) {}
}

#[test]
fn the_readied_instance_is_called_and_all_is_settled_once() {
    let far = Far::new();
    let layer = TokenBudgetLayer::new(Limit::global(Quota::per_day(100)))
        .limit(Limit::global(Rate::per_minute(5)).name("shadow").shadow())
        .limit(Limit::global(Concurrency::of(50)).name("in flight"))
        .store(Store::new(far.clone()));
    let mut future = call(&layer);
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(*far.0.costs.lock(), [12, 12, 12]);
    // The one in shadow would refuse: it has taken nothing, and gets nothing back.
    let standings = [standing(true, 7), standing(false, 0), standing(true, 0)];
    far.say(Ok(Decision { passes: true, standings: standings.into_iter().collect() }));
    let Poll::Ready(Ok(response)) = poll(future.as_mut()) else { unreachable!() };
    assert_eq!(response.status(), 200);
    assert_eq!(far.settled(), []);
    read(response);
    drop(future);
    assert_eq!(far.settled(), [(5 + 2 - 12, 7), (-12, 0)]);
}

#[test]
fn who_leaves_while_the_store_is_asked_settles_nothing() {
    let far = Far::new();
    let layer =
        TokenBudgetLayer::new(Limit::global(Rate::per_minute(5))).store(Store::new(far.clone()));
    let mut future = call(&layer);
    assert!(poll(future.as_mut()).is_pending());
    drop(future);
    assert_eq!(far.settled(), []);
}

#[test]
fn a_store_that_is_away_refuses_and_a_refusal_takes_nothing() {
    let far = Far::new();
    let layer =
        TokenBudgetLayer::new(Limit::global(Quota::per_day(50))).store(Store::new(far.clone()));
    let refused = [
        (Err(Unavailable), 503),
        (
            Ok(Decision {
                passes: false,
                standings: std::iter::once(standing(false, 1)).collect(),
            }),
            429,
        ),
    ];
    for (answer, status) in refused {
        far.say(answer);
        let Poll::Ready(Ok(response)) = poll(call(&layer).as_mut()) else { unreachable!() };
        assert_eq!(response.status(), status);
        read(response);
        assert_eq!(far.settled(), []);
    }
}
