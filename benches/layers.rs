//! What each layer adds to a service that does nothing, beside that service in the same run.
//!
//! `cargo bench --bench layers`; the difference to `bare` is the layer's. Allocations are counted
//! by `cargo test --test allocations -- --nocapture`.

#[path = "../tests/support/pass.rs"]
mod pass;
#[path = "../tests/support/token.rs"]
mod token;

use std::{convert::Infallible, hint::black_box};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use pass::{Trivial, run};
use token::Signer;
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer, auth::AuthLayer, payload::PayloadLayer, request_id::RequestIdLayer,
    stack::Stack, upstream::UpstreamLayer,
};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(60);
    targets = layers
}
criterion_main!(benches);

/// More than the verified tokens of one cache, so that each is new when its turn comes again.
const NEW_TOKENS: usize = 64;

fn layers(criterion: &mut Criterion) {
    let signer = Signer::rs256();
    let warm = signer.sign(&token::claims());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _for_timers = runtime.enter();

    beside_bare(criterion, "request id", RequestIdLayer::new(), &warm);
    beside_bare(criterion, "access log, own writer", pass::access_log(), &warm);
    beside_bare(criterion, "access log, nobody listens", AccessLogLayer::new(), &warm);
    beside_bare(criterion, "auth, token seen before", pass::auth(&signer), &warm);
    beside_bare(criterion, "payload, document read", PayloadLayer::new(), &warm);
    beside_bare(criterion, "upstream", UpstreamLayer::new(), &warm);
    beside_bare(criterion, "hf token", pass::hf_token(), &warm);
    let stack = |auth: AuthLayer| {
        Stack::new()
            .request_id(RequestIdLayer::new())
            .access_log(pass::access_log())
            .auth(auth)
            .payload(PayloadLayer::new())
            .upstream(UpstreamLayer::new())
            .hf_token(pass::hf_token())
    };
    beside_bare(criterion, "stack, token seen before", stack(pass::auth(&signer)), &warm);

    // Without room for verified tokens, every token is new.
    let tokens: Vec<_> = (0..NEW_TOKENS)
        .map(|number| {
            let mut claims = token::claims();
            claims["jti"] = number.into();
            signer.sign(&claims)
        })
        .collect();
    let forgetful = || AuthLayer::new(pass::jwt(&signer).cache_bytes(0));
    bench(criterion, "auth, new RS256 token", "layer", forgetful(), &tokens);
    bench(criterion, "stack, new RS256 token", "layer", stack(forgetful()), &tokens);
}

fn beside_bare<L, B>(criterion: &mut Criterion, group: &str, layer: L, token: &str)
where
    L: Layer<Trivial>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let tokens = [token.to_owned()];
    bench(criterion, group, "bare", tower::layer::util::Identity::new(), &tokens);
    bench(criterion, group, "layer", layer, &tokens);
}

fn bench<L, B>(criterion: &mut Criterion, group: &str, name: &str, layer: L, tokens: &[String])
where
    L: Layer<Trivial>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut service = layer.layer(Trivial);
    let mut tokens = tokens.iter().cycle();
    criterion.benchmark_group(group).bench_function(name, |bencher| {
        bencher.iter_batched(
            || pass::request(tokens.next().map_or("", String::as_str)),
            |request| black_box(run(&mut service, request)),
            BatchSize::SmallInput,
        );
    });
}
