//! The contract of a service, and the cost of an id.

use std::io;

use http::HeaderName;
use http_body::SizeHint;
use tower_inference::request_id::{RequestId, ResponseBody, ResponseFuture};

use super::*;
use crate::support::{Probe, ScriptedBody, Step};

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    let service = RequestIdLayer::new().layer(Probe::new(|_: Request<()>| Response::new(())));
    for _ in 0..2 {
        service.clone().oneshot(request(&[])).await.unwrap();
    }
    let mut service = service;
    for _ in 0..2 {
        service.ready().await.unwrap().call(request(&[])).await.unwrap();
    }
    // Made ready and then dropped without a call.
    let mut other = service.clone();
    let _ready: &mut RequestId<_> = ServiceExt::<Request<()>>::ready(&mut other).await.unwrap();
}

#[test]
fn poll_ready_forwards_the_result_of_the_inner_service() {
    struct Never;

    impl Service<Request<()>> for Never {
        type Response = Response<()>;
        type Error = &'static str;
        type Future = Ready<Result<Response<()>, &'static str>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("closed"))
        }

        fn call(&mut self, _request: Request<()>) -> Self::Future {
            unreachable!("it was never ready")
        }
    }

    let mut service = RequestIdLayer::new().layer(Never);
    let polled = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Err("closed")));
}

#[tokio::test]
async fn frames_pass_untouched() {
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("of the trailers"),
    )]);
    let steps =
        || [Step::Data(b"ab"), Step::Pending, Step::Data(b""), Step::Trailers(trailers.clone())];
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new(steps()).announce(2))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(2));
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(format!("{:?}", frame.unwrap()));
    }
    let expected = [
        Frame::data(Bytes::from("ab")),
        Frame::data(Bytes::new()),
        Frame::trailers(trailers.clone()),
    ];
    assert_eq!(frames, expected.map(|frame| format!("{frame:?}")));

    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Error]))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let error: io::Error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "scripted");
}

#[tokio::test]
async fn the_size_and_the_end_are_those_of_the_inner_body() {
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"abc")))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let mut body = response.into_body();
    assert!(body.size_hint().exact() == Some(3) && !body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert!(body.size_hint().exact() == Some(0) && body.is_end_stream());

    let unknown = RequestIdLayer::new().layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([]))))
    }));
    let body = unknown.oneshot(request(&[])).await.unwrap().into_body();
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (0, SizeHint::new().upper()));
}

#[test]
fn the_types_are_what_their_parts_are() {
    fn sound<T: Send + Sync + Unpin + 'static>() {}
    fn shown<T: Clone + std::fmt::Debug>() {}
    sound::<RequestIdLayer>();
    sound::<RequestId<()>>();
    sound::<ResponseFuture<()>>();
    sound::<ResponseBody<Full<Bytes>>>();
    shown::<RequestIdLayer>();
    shown::<RequestId<()>>();
}

#[test]
fn a_request_costs_at_most_five_allocations() {
    let layer = RequestIdLayer::new();
    let mut service = layer.layer(Once(|request: Request<()>| {
        // The inner service hands its fields back, so that the answer's map is there already.
        let mut response = Response::new(());
        *response.headers_mut() = request.into_parts().0.headers;
        response
    }));
    let make = || {
        let mut request = request(&["inbound"]);
        for name in ["host", "accept", "content-type", "user-agent"] {
            request.headers_mut().insert(name, HeaderValue::from_static("value"));
        }
        request
    };
    // The first id of a thread seeds its random numbers.
    now(service.call(make())).unwrap();
    let request = make();
    let costs = allocation_counter::measure(|| {
        now(service.call(request)).unwrap();
    });
    assert_eq!(costs.count_total, 5, "{costs:?}");
}
