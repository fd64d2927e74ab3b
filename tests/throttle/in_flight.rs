//! Concurrency: a request takes a permit when it passes and gives it back where it ends.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    limits::{Concurrency, Limit, Rate, Subject},
    throttle::ThrottleLayer,
};

use crate::{
    from, layer, nobody, passes,
    support::{Probe, ScriptedBody, Step},
    user,
};

fn one() -> ThrottleLayer {
    layer(Limit::global(Concurrency::new(1))).0
}

/// The number of permits.
async fn free(layer: &ThrottleLayer) -> u64 {
    layer.limit_state("global", &Subject::global()).await.unwrap().remaining
}

async fn answered<R>(
    layer: &ThrottleLayer,
    method: Method,
    response: Response<R>,
) -> Response<tower_inference::throttle::ResponseBody<R>>
where
    R: http_body::Body<Data = Bytes>,
{
    let mut response = Some(response);
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(response.take().unwrap()))
    });
    let mut request = nobody();
    *request.method_mut() = method;
    // The layer needs a service that is `Clone`.
    let mut service = layer.layer(Unclonable(inner));
    service.ready().await.unwrap().call(request).await.unwrap()
}

/// A service whose clones are never called, since no decision waits here.
struct Unclonable<S>(S);

impl<S> Clone for Unclonable<S> {
    fn clone(&self) -> Self {
        panic!("cloned")
    }
}

impl<S: Service<R>, R> Service<R> for Unclonable<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn a_permit_is_in_flight_until_the_body_ends() {
    let layer = one();
    let body = ScriptedBody::new([Step::Data(b"one"), Step::Data(b"two")]);
    let response = answered(&layer, Method::GET, Response::new(body)).await;
    assert_eq!(free(&layer).await, 0);
    assert!(!passes(&layer, nobody()).await);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(free(&layer).await, 0);
    assert!(body.frame().await.is_none());
    // The permit is given back at the end, before the drop.
    assert_eq!(free(&layer).await, 1);
    assert!(passes(&layer, nobody()).await);
    drop(body);
    // It is given back only once.
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn trailers_and_errors_end_a_body() {
    let layer = one();
    for last in [Step::Trailers(HeaderMap::new()), Step::Error] {
        let body = ScriptedBody::new([Step::Data(b"one"), last]);
        let mut body = answered(&layer, Method::GET, Response::new(body)).await.into_body();
        body.frame().await.unwrap().unwrap();
        assert_eq!(free(&layer).await, 0);
        let _last = body.frame().await.unwrap();
        assert_eq!(free(&layer).await, 1);
    }
}

#[tokio::test]
async fn a_dropped_body_gives_its_permit_back() {
    let layer = one();
    let body = ScriptedBody::new([Step::Data(b"one"), Step::Stall]);
    let mut body = answered(&layer, Method::GET, Response::new(body)).await.into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(free(&layer).await, 0);
    drop(body);
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn a_response_without_a_body_gives_its_permit_back_at_the_head() {
    let layer = one();
    let endless = || Response::new(ScriptedBody::new([Step::Stall]));
    let mut empty = endless();
    *empty.status_mut() = StatusCode::NO_CONTENT;
    let mut same = endless();
    *same.status_mut() = StatusCode::NOT_MODIFIED;
    for (method, response) in [(Method::HEAD, endless()), (Method::GET, empty), (Method::GET, same)]
    {
        let response = answered(&layer, method, response).await;
        assert_eq!(free(&layer).await, 1);
        drop(response);
        assert_eq!(free(&layer).await, 1);
    }
    let response = answered(&layer, Method::GET, Response::new(Empty::<Bytes>::new())).await;
    assert_eq!(free(&layer).await, 1);
    drop(response);
    // The body reports its end together with its last frame.
    let full = Response::new(Full::new(Bytes::from_static(b"all")));
    let mut body = answered(&layer, Method::GET, full).await.into_body();
    assert_eq!(free(&layer).await, 0);
    body.frame().await.unwrap().unwrap();
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn a_dropped_future_gives_its_permit_back() {
    let layer = one();
    let inner = service_fn(|_: Request<Empty<Bytes>>| {
        std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
    });
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = layer.layer(inner);
    {
        let future = service.ready().await.unwrap().call(nobody());
        assert_eq!(free(&layer).await, 0);
        let mut future = pin!(future);
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(free(&layer).await, 0);
    }
    assert_eq!(free(&layer).await, 1);
    // The future is never polled.
    drop(service.ready().await.unwrap().call(nobody()));
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn an_error_gives_its_permit_back_at_once() {
    let layer = one();
    let inner =
        service_fn(|_: Request<Empty<Bytes>>| async { Err::<Response<Empty<Bytes>>, _>("broken") });
    let mut service = layer.layer(inner);
    let mut future = pin!(service.ready().await.unwrap().call(nobody()));
    assert_eq!(future.as_mut().await.unwrap_err(), "broken");
    // The future still exists.
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn a_panic_gives_its_permit_back() {
    let layer = one();
    let inner = Probe::new(|_: Request<Empty<Bytes>>| -> Response<Empty<Bytes>> {
        panic!("inner service")
    });
    let mut service = layer.layer(inner);
    let service = service.ready().await.unwrap();
    let call = catch_unwind(AssertUnwindSafe(|| drop(service.call(nobody()))));
    assert!(call.is_err());
    assert_eq!(free(&layer).await, 1);

    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        if true {
            panic!("inner future");
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = layer.layer(inner);
    let mut future = Box::pin(service.ready().await.unwrap().call(nobody()));
    let mut cx = Context::from_waker(Waker::noop());
    let poll = catch_unwind(AssertUnwindSafe(|| drop(future.as_mut().poll(&mut cx))));
    assert!(poll.is_err());
    drop(future);
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn a_rejected_request_takes_no_permit() {
    let layer = one().limit(Limit::per_identity(Rate::per_hour(1)));
    assert!(passes(&layer, from(user("a"))).await);
    assert!(!passes(&layer, from(user("a"))).await);
    assert_eq!(free(&layer).await, 1);
    assert!(passes(&layer, from(user("b"))).await);
}

#[tokio::test]
async fn each_caller_has_its_own_permits() {
    let (layer, _clock) = layer(Limit::per_identity(Concurrency::new(1)));
    let inner = Probe::new(|_| Response::new(ScriptedBody::new([Step::Stall])));
    let held = layer.layer(inner).oneshot(from(user("a"))).await.unwrap();
    assert!(passes(&layer, from(user("b"))).await);
    let inner = Probe::new(|_| Response::new(Empty::<Bytes>::new()));
    let refused = layer.layer(inner).oneshot(from(user("a"))).await.unwrap();
    let (slug, detail, wait) = crate::told(&refused);
    assert_eq!((slug, detail), ("throttled", "at most 1 request at a time"));
    assert_eq!(wait, Some("1"));
    drop(held);
    assert!(passes(&layer, from(user("a"))).await);
}

#[tokio::test]
async fn a_limit_in_shadow_takes_and_gives_back_available_permits() {
    let (layer, _clock) = layer(Limit::global(Concurrency::new(1)).shadow());
    let inner = Probe::new(|_| Response::new(ScriptedBody::new([Step::Stall])));
    let one = layer.layer(inner.clone()).oneshot(nobody()).await.unwrap();
    let two = layer.layer(inner).oneshot(nobody()).await.unwrap();
    assert_eq!(free(&layer).await, 0);
    // The second request took no permit and gives none back.
    drop(two);
    assert_eq!(free(&layer).await, 0);
    drop(one);
    assert_eq!(free(&layer).await, 1);
}

#[tokio::test]
async fn a_replacement_counts_requests_in_flight() {
    let old = one();
    let inner = Probe::new(|_| Response::new(ScriptedBody::new([Step::Stall])));
    let held = old.layer(inner).oneshot(nobody()).await.unwrap();
    let new = ThrottleLayer::new(Limit::global(Concurrency::new(2))).inherit_state(&old);
    assert_eq!(free(&new).await, 1);
    drop(held);
    assert_eq!(free(&new).await, 2);
}

#[tokio::test]
async fn the_body_has_the_size_hint_of_the_inner_body() {
    let layer = one();
    let full = Response::builder().header(header::CONTENT_LENGTH, 3);
    let full = full.body(Full::new(Bytes::from_static(b"all"))).unwrap();
    let body = answered(&layer, Method::GET, full).await.into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, Some(3)));
    let refused = crate::send(&layer, nobody()).await.into_body();
    assert!(!refused.is_end_stream());
    assert!(refused.size_hint().exact().is_some_and(|length| length > 0));
    drop(body);
    let empty = answered(&layer, Method::GET, Response::new(Empty::<Bytes>::new())).await;
    assert!(empty.into_body().is_end_stream());
}
