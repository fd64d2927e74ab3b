//! What the token and its origin cost, beside the bare service.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE, DATE},
};
use http_body_util::Empty;
use tower::{Layer, Service};
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

/// A service that gives its request back, to be sent again: what is measured is the layer, and not
/// the making of requests.
#[derive(Clone, Default)]
struct Bare {
    request: Rc<Cell<Option<Request<()>>>>,
}

impl Service<Request<()>> for Bare {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.request.set(Some(request));
        let mut response = Response::new(Empty::new());
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("990"));
        fields.insert(DATE, HeaderValue::from_static("Mon, 23 Nov 2026 00:00:00 GMT"));
        ready(Ok(response))
    }
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
    for (name, stainless) in [("6 fields", false), ("18 fields", true)] {
        let bare = Bare::default();
        let (mut layered, mut bare) = (layer.layer(bare.clone()), bare);
        let sent = Rc::clone(&bare.request);
        let mut group = criterion.benchmark_group(format!("hf, {name}"));
        sent.set(Some(request(stainless)));
        group.bench_function("bare", |bencher| {
            bencher.iter(|| call(&mut bare, sent.take().unwrap()));
        });
        group.bench_function("with token", |bencher| {
            bencher.iter(|| call(&mut layered, sent.take().unwrap()));
        });
    }
}

criterion_group!(benches, hf);
criterion_main!(benches);
