//! What the token and its origin cost, beside the bare service.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};
use tower_inference::{
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    secret::Secret,
};

/// What openai-python sends: the six fields of the budget, and with its own twelve.
fn request(stainless: bool) -> Request<()> {
    let mut request = Request::post("/v1/chat/completions")
        .header("host", "gateway.example")
        .header("accept", "application/json")
        .header("user-agent", "OpenAI/Python 3.54.0")
        .header("authorization", "Bearer the-callers")
        .header("content-type", "application/json")
        .header("content-length", "320")
        .body(())
        .unwrap();
    if stainless {
        for index in 0..12 {
            let name = HeaderName::try_from(format!("x-stainless-field-{index}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("value"));
        }
    }
    request.extensions_mut().insert(RequestContext::new());
    request
}

fn answer(_request: Request<()>) -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    let mut response = Response::new(Empty::new());
    let fields = response.headers_mut();
    fields.insert("content-type", HeaderValue::from_static("application/json"));
    fields.insert("content-length", HeaderValue::from_static("990"));
    fields.insert("date", HeaderValue::from_static("Mon, 23 Nov 2026 00:00:00 GMT"));
    ready(Ok(response))
}

fn call<S: Service<Request<()>>>(service: &mut S, request: Request<()>) {
    let mut future = pin!(service.call(request));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => drop(black_box(response)),
        Poll::Pending => unreachable!("the answer is there at once"),
    }
}

fn hf(criterion: &mut Criterion) {
    let token = TokenSource::value(Secret::new("hf_".repeat(12))).unwrap();
    let layer = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token);
    let (mut bare, mut layered) = (service_fn(answer), layer.layer(service_fn(answer)));
    for (name, stainless) in [("6 fields", false), ("18 fields", true)] {
        let mut group = criterion.benchmark_group(format!("hf, {name}"));
        group.bench_function("bare", |bencher| {
            let setup = || request(stainless);
            bencher.iter_batched(setup, |request| call(&mut bare, request), BatchSize::SmallInput);
        });
        group.bench_function("with token", |bencher| {
            let setup = || request(stainless);
            bencher.iter_batched(
                setup,
                |request| call(&mut layered, request),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, hf);
criterion_main!(benches);
