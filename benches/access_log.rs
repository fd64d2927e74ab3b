//! What `AccessLogLayer` adds to a service that does nothing.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service};
use tower_inference::{
    access_log::{AccessLogLayer, Record, Sink},
    context::RequestContext,
    identity::{Identity, Proof},
};

#[derive(Clone)]
struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"hello")))))
    }
}

/// A request as it stands behind request id and auth, with the context that they made.
fn request(identity: &Arc<Identity>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    *request.uri_mut() = Uri::from_static("/v1/chat/completions");
    let context = RequestContext::ensure(request.extensions_mut());
    let id = Bytes::from_static(b"0190f5fe-7c00-7a00-8000-0123456789ab");
    context.set_request_id(HeaderValue::from_maybe_shared(id).unwrap());
    context.set_identity(Arc::clone(identity));
    request
}

/// One exchange, to the end of the answer's body.
fn serve<S, R>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let polled = pin!(service.call(request)).poll(&mut cx);
    let Poll::Ready(Ok(response)) = polled else { unreachable!("nothing here waits") };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        let _frame = black_box(frame.is_ok());
    }
}

fn benches(criterion: &mut Criterion) {
    let identity = Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7"));
    let sink = Sink::new(io::sink()).unwrap();
    let mut group = criterion.benchmark_group("access_log");
    macro_rules! measure {
        ($name:literal, $service:expr) => {
            let mut service = $service;
            for _ in 0..100 {
                serve(&mut service, request(&identity));
            }
            let sample = request(&identity);
            let costs = allocation_counter::measure(|| serve(&mut service, sample));
            println!("access_log/{}: {} allocations", $name, costs.count_total);
            group.bench_function($name, |bencher| {
                bencher.iter_batched(
                    || request(&identity),
                    |request| serve(&mut service, request),
                    BatchSize::SmallInput,
                );
            });
        };
    }
    measure!("bare", Hello);
    measure!("json", AccessLogLayer::json(sink.clone()).layer(Hello));
    let closure = AccessLogLayer::to(|record: &Record<'_>| {
        black_box(record.bytes_out());
    });
    measure!("closure", closure.layer(Hello));
    // Nobody listens to events here.
    measure!("event, unheard", AccessLogLayer::new().layer(Hello));
    group.finish();
    println!("access_log/json: {} lines were dropped", sink.dropped());
}

criterion_group!(access_log, benches);
criterion_main!(access_log);
