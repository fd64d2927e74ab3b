//! What `RequestIdLayer` adds to a service that does nothing.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service};
use tower_inference::request_id::RequestIdLayer;

/// Hands the fields back, so that there is a map with room for an id, as answers have.
#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(());
        *response.headers_mut() = request.into_parts().0.headers;
        ready(Ok(response))
    }
}

fn request(inbound: Option<&'static str>) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(16);
    for name in ["host", "accept", "content-type", "content-length", "user-agent", "authorization"]
    {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("value"));
    }
    if let Some(id) = inbound {
        headers.insert("x-request-id", HeaderValue::from_static(id));
    }
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    request
}

fn serve<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Error = Infallible>,
{
    let polled = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = polled else { unreachable!("nothing here waits") };
    drop(black_box(response));
}

fn benches(criterion: &mut Criterion) {
    let layer = RequestIdLayer::new();
    let trusting = RequestIdLayer::new().dangerous_trust_all_peers();
    let mut group = criterion.benchmark_group("request_id");
    macro_rules! measure {
        ($name:literal, $service:expr, $inbound:expr) => {
            let mut service = $service;
            serve(&mut service, request($inbound));
            let sample = request($inbound);
            let costs = allocation_counter::measure(|| serve(&mut service, sample));
            println!("request_id/{}: {} allocations", $name, costs.count_total);
            group.bench_function($name, |bencher| {
                bencher.iter_batched(
                    || request($inbound),
                    |request| serve(&mut service, request),
                    BatchSize::SmallInput,
                );
            });
        };
    }
    measure!("bare", Echo, None);
    measure!("new id", layer.layer(Echo), None);
    measure!("kept id", trusting.layer(Echo), Some("0190f5fe-7c00-7a00-8000-0123456789ab"));
    measure!("nested", layer.layer(layer.layer(Echo)), None);
    group.finish();
}

criterion_group!(request_id, benches);
criterion_main!(request_id);
