//! Measures what each layer adds to a service that does nothing.
//!
//! `cargo bench --bench layers`. Quote the table at the end if the speed of the machine drifts. Its two
//! sides take turns of a few microseconds. `cargo test --test allocations -- --nocapture` counts the
//! allocations.

#[path = "../tests/support/pass.rs"]
mod pass;
#[path = "../tests/support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusBuilder;
use pass::{Trivial, run};
use token::Signer;
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{
        AuthLayer, Jwt, Keys,
        aws_iam::{SigV4, SignedBodyLayer, SigningCredential, SigningCredentials},
    },
    cache::{CacheLayer, Freshness, MemoryTier, Scope},
    clock::FakeClock,
    metrics::Metrics,
    model::Profile,
    payload::PayloadLayer,
    record::Record,
    request_id::RequestIdLayer,
    route::RouteLayer,
    secret::Secret,
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    upstream::UpstreamLayer,
};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(60);
    targets = layers, signatures, in_turns
}
criterion_main!(benches);

/// More tokens than the cache of verified tokens holds. Each is new when it is used again.
const NEW_TOKENS: usize = 64;

fn layers(criterion: &mut Criterion) {
    let signer = Signer::rs256();
    let warm = signer.sign(&token::claims());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _for_timers = runtime.enter();

    beside_bare(criterion, "stalled reader", StalledReaderLayer::new(), &warm);
    beside_bare(criterion, "request id", RequestIdLayer::new(), &warm);
    beside_bare(criterion, "access log, own writer", pass::access_log(), &warm);
    for (name, format) in pass::log_formats() {
        beside_bare(criterion, name, pass::access_log_of(format), &warm);
    }
    beside_bare(criterion, "access log, no subscriber", AccessLogLayer::new(), &warm);
    beside_bare(criterion, "auth, token seen before", pass::auth(&signer), &warm);
    let route = RouteLayer::new(&Profile::compatible());
    beside_bare(criterion, "route", route, &warm);
    beside_bare(criterion, "payload, document read", PayloadLayer::new(), &warm);
    let ruled = (PayloadLayer::new(), pass::model_rules());
    beside_bare(criterion, "payload and model rules", ruled, &warm);
    let checked = (PayloadLayer::new(), pass::schema());
    beside_bare(criterion, "payload and schema", checked, &warm);
    let edited = (PayloadLayer::new(), pass::edits());
    beside_bare(criterion, "payload and three edits", edited, &warm);
    beside_bare(criterion, "upstream", UpstreamLayer::new(), &warm);
    beside_bare(criterion, "hf token", pass::hf_token(), &warm);
    let unused = (PayloadLayer::new(), pass::fallback());
    beside_bare(criterion, "payload and fallback, not used", unused, &warm);
    let inside = (UpstreamLayer::new(), pass::hf_token());
    let all = (PayloadLayer::new(), pass::fallback(), inside);
    beside_bare(criterion, "payload, fallback, upstream and hf token", all, &warm);
    beside_bare(criterion, "stack, token seen before", whole(pass::auth(&signer)), &warm);

    // Without room for verified tokens, every token is new.
    let tokens: Vec<_> = (0..NEW_TOKENS)
        .map(|number| {
            let mut claims = token::claims();
            claims["jti"] = number.into();
            signer.sign(&claims)
        })
        .collect();
    let forgetful = || AuthLayer::new(pass::jwt(&signer).max_cache_bytes(0));
    bench(criterion, "auth, new RS256 token", "layer", forgetful(), &tokens);
    bench(criterion, "stack, new RS256 token", "layer", whole(forgetful()), &tokens);
    rejected_tokens(criterion, &signer);
}

/// Clients receive the same response for each of these. An unknown key costs less than a wrong
/// signature, which tells no secret: the keys of an issuer are public.
fn rejected_tokens(criterion: &mut Criterion, signer: &Signer) {
    let second = Jwt::new(
        Keys::from_jwks(signer.jwks()).unwrap(),
        "https://second.example",
        token::AUDIENCE,
    );
    let mut elsewhere = token::claims();
    elsewhere["iss"] = "https://third.example".into();
    for (name, rejected) in [
        ("unknown key", Signer::es256().sign(&token::claims())),
        ("wrong signature", Signer::rs256().sign(&token::claims())),
        ("unknown issuer", signer.sign(&elsewhere)),
    ] {
        let layer = AuthLayer::new(pass::jwt(signer)).or(second.clone());
        bench(criterion, "auth, rejected token", name, layer, &[rejected]);
    }
}

/// A valid signature of AWS beside the two that a client must not tell apart.
fn signatures(criterion: &mut Criterion) {
    const VALID: &str = "64bf5dbf2b1aa516ac4af55e40f6dc7529de54607a41af5fdc8a3defc74bb50b";
    let credential = SigningCredential::new(
        "AKIDEXAMPLE",
        Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    );
    let credentials = SigningCredentials::new([credential.unwrap()]);
    // The date of the signature is the time of the clock.
    let sigv4 = SigV4::new("us-east-1", credentials).unwrap().clock(FakeClock::default().shared());
    let mut service = SignedBodyLayer::new().layer(AuthLayer::new(sigv4).layer(Trivial));
    for (name, id, signature, status) in [
        ("valid", "AKIDEXAMPLE", VALID, 200),
        ("unknown access key", "AKIDUNKNOWN", VALID, 401),
        ("wrong signature", "AKIDEXAMPLE", &VALID.replace('6', "0"), 401),
    ] {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={id}/20270115/us-east-1/execute-api/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        let request = || {
            let request = Request::get("/v1/models").header("host", "gateway.example");
            let request = request.header("x-amz-date", "20270115T080000Z");
            request.header("authorization", &*authorization).body(Full::<Bytes>::default()).unwrap()
        };
        assert_eq!(run(&mut service, request()), status);
        criterion.benchmark_group("auth, AWS signature").bench_function(name, |bencher| {
            let run = |request| black_box(run(&mut service, request));
            bencher.iter_batched(request, run, BatchSize::SmallInput);
        });
    }
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

fn whole(
    auth: AuthLayer,
) -> impl Layer<
    Trivial,
    Service: Service<
        Request<Full<Bytes>>,
        Response = Response<impl Body<Data = Bytes>>,
        Error = Infallible,
    >,
> {
    Stack::new()
        .request_id(RequestIdLayer::new())
        .access_log(pass::access_log())
        .auth(auth)
        .payload(PayloadLayer::new())
        .schema(pass::schema())
        .transform(pass::limits())
        .upstream(UpstreamLayer::new())
        .hf_token(pass::hf_token())
}

/// Prints the table of differences. Rounds of a few requests alternate between both sides.
fn in_turns(_: &mut Criterion) {
    let signer = Signer::rs256();
    let warm = signer.sign(&token::claims());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _for_timers = runtime.enter();

    println!("\nnanoseconds added, bare and layer by turns: median (quartiles)");
    turns("stalled reader", StalledReaderLayer::new(), &warm);
    turns("request id", RequestIdLayer::new(), &warm);
    turns("access log, own writer", pass::access_log(), &warm);
    for (name, format) in pass::log_formats() {
        turns(name, pass::access_log_of(format), &warm);
    }
    turns("audit trail, sync by interval", pass::audit(), &warm);
    turns("access log, no subscriber", AccessLogLayer::new(), &warm);
    metrics(&warm);
    turns("auth, token seen before", pass::auth(&signer), &warm);
    turns("payload, document read", PayloadLayer::new(), &warm);
    turns("payload and model rules", (PayloadLayer::new(), pass::model_rules()), &warm);
    turns("payload and schema", (PayloadLayer::new(), pass::schema()), &warm);
    turns("payload and limits, nothing to edit", (PayloadLayer::new(), pass::limits()), &warm);
    turns("payload and three edits", (PayloadLayer::new(), pass::edits()), &warm);
    let kept = || CacheLayer::new("router", Scope::Identity);
    let around = |cache| (pass::auth(&signer), PayloadLayer::new(), cache);
    turns("auth, payload", (pass::auth(&signer), PayloadLayer::new()), &warm);
    turns("auth, payload, cache: a hit", around(kept()), &warm);
    turns(
        "auth, payload, cache: a miss",
        around(kept().memory(MemoryTier::new().max_bytes(0))),
        &warm,
    );
    turns(
        "auth, payload, cache: bypassed",
        around(kept().freshness(Freshness::new().ttl(Duration::ZERO))),
        &warm,
    );
    turns("upstream", UpstreamLayer::new(), &warm);
    turns("hf token", pass::hf_token(), &warm);
    turns("payload and fallback, not used", (PayloadLayer::new(), pass::fallback()), &warm);
    let inside = (UpstreamLayer::new(), pass::hf_token());
    let all = (PayloadLayer::new(), pass::fallback(), inside);
    turns("payload, fallback, upstream and hf token", all, &warm);
    turns("stack, token seen before", whole(pass::auth(&signer)), &warm);
    let forgetful = || AuthLayer::new(pass::jwt(&signer).max_cache_bytes(0));
    turns("auth, new RS256 token", forgetful(), &warm);
    turns("stack, new RS256 token", whole(forgetful()), &warm);
}

/// The record that the access log makes is in each of these.
fn metrics(token: &str) {
    let counted = || AccessLogLayer::sink(Metrics::new());
    turns("a record that nobody renders", AccessLogLayer::sink(|_: &Record<'_>| {}), token);
    turns("metrics, no recorder", counted(), token);
    metrics::with_local_recorder(&pass::Adding, || {
        turns("metrics, a recorder that adds", counted(), token);
        let both = pass::access_log().and(Metrics::new());
        turns("access log, own writer, and metrics", both, token);
    });
    let prometheus = PrometheusBuilder::new().build_recorder();
    // The exporter keeps each value of a histogram until its upkeep.
    metrics::with_local_recorder(&prometheus, || turns("metrics, Prometheus", counted(), token));
}

fn turns<L, B>(name: &str, layer: L, token: &str)
where
    L: Layer<Trivial>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    const ROUNDS: usize = 2_000;
    let mut layered = layer.layer(Trivial);
    let mut added: Vec<f64> =
        (0..ROUNDS).map(|_| round(&mut layered, token) - round(&mut Trivial, token)).collect();
    added.sort_by(f64::total_cmp);
    let at = |quarter: usize| added[ROUNDS * quarter / 4];
    println!("{name:<40} {:>8.0} ({:.0} to {:.0})", at(2), at(1), at(3));
}

/// Returns the nanoseconds of a request. The requests are made before the clock starts.
fn round<S, B>(service: &mut S, token: &str) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    const REQUESTS: usize = 16;
    let requests: Vec<_> = std::iter::repeat_with(|| pass::request(token)).take(REQUESTS).collect();
    let start = Instant::now();
    for request in requests {
        black_box(run(service, request));
    }
    start.elapsed().as_nanos() as f64 / REQUESTS as f64
}
