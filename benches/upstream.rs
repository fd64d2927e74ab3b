//! What deadlines and slots cost, beside the bare service.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_inference::{context::RequestContext, upstream::UpstreamLayer};

fn request() -> Request<()> {
    let mut request = Request::post("/v1/chat/completions")
        .header("host", "gateway.example")
        .header("accept", "application/json")
        .header("user-agent", "OpenAI/Python 3.54.0")
        .header("authorization", "Bearer the-callers")
        .header("content-type", "application/json")
        .header("content-length", "320")
        .body(())
        .unwrap();
    request.extensions_mut().insert(RequestContext::new());
    request
}

/// Pending as often as told, then there.
struct Answer(u8);

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(left) = self.0.checked_sub(1) {
            self.0 = left;
            return Poll::Pending;
        }
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        let fields = response.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/json"));
        fields.insert("content-length", HeaderValue::from_static("2"));
        fields.insert("date", HeaderValue::from_static("Mon, 23 Nov 2026 00:00:00 GMT"));
        Poll::Ready(Ok(response))
    }
}

fn call<S, R>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
    R: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(service.call(request));
    let response = loop {
        if let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) {
            break response;
        }
    };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        drop(black_box(frame));
    }
}

fn upstream(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    for (name, waits) in [("at once", 0), ("after a wait", 1)] {
        let service = move || service_fn(move |_: Request<()>| Answer(waits));
        let (mut bare, mut layered) = (service(), UpstreamLayer::new().layer(service()));
        let mut group = criterion.benchmark_group(format!("upstream, {name}"));
        group.bench_function("bare", |bencher| {
            bencher.iter_batched(
                request,
                |request| call(&mut bare, request),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("with deadlines", |bencher| {
            bencher.iter_batched(
                request,
                |request| call(&mut layered, request),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, upstream);
criterion_main!(benches);
