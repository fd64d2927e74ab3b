//! What the pass path of each layer allocates. Exact numbers, counted, not timed.
//!
//! `cargo test --test allocations -- --nocapture` prints them.

#[path = "support/pass.rs"]
mod pass;
#[path = "support/token.rs"]
mod token;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use pass::{Trivial, run};
use token::Signer;
use tower::{Layer, Service, layer::layer_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    cache::{CacheLayer, Cacheable, Freshness, Scope, SharedCalls},
    context::{RequestContext, RequestHead},
    identity::{Identity, Proof},
    limits::{Concurrency, Limit, LimitHeaders, Quota, Rate},
    metrics::Metrics,
    model::Profile,
    payload::{Payload, PayloadLayer},
    peer::PeerAddress,
    record::GenAiConventions,
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{ResponseSchema, Schema, SchemaLayer},
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    throttle::ThrottleLayer,
    transform::{TransformLayer, ValueSource},
    upstream::UpstreamLayer,
};

/// Allocations of a request through `layer` once it is warm, without those of the bare service. The
/// least of several: a queue that grows is the next requests' as well.
fn allocations<L, B>(layer: L, made: impl Fn() -> Request<Full<Bytes>>) -> u64
where
    L: Layer<Trivial>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut service = layer.layer(Trivial);
    for _ in 0..3 {
        assert_eq!(run(&mut service, made()), StatusCode::OK);
    }
    let one = || {
        let request = made();
        measure(|| assert_eq!(run(&mut service, request), StatusCode::OK)).count_total
    };
    std::iter::repeat_with(one).take(16).min().unwrap() - BARE
}

/// What the bare service allocates: the fields of its answer.
const BARE: u64 = 2;

/// A request that an outer layer has seen: its context is paid for.
fn seen(token: &str) -> Request<Full<Bytes>> {
    let mut request = pass::request(token);
    RequestContext::ensure(request.extensions_mut());
    request
}

/// Finds the schema among those of other routes and models.
fn by_model() -> SchemaLayer {
    let layer = SchemaLayer::by_route().route("embeddings", pass::chat());
    let layer = layer.model("org/other", pass::chat());
    layer.model("meta-llama/Llama-3.1-8B-Instruct", pass::chat())
}

/// Edits of fields and of members of the query that the request does not have.
fn unmet() -> (PayloadLayer, TransformLayer) {
    let name = || "x-absent".parse().unwrap();
    let edits = TransformLayer::new()
        .remove_header(name())
        .rename_header(name(), "x-other".parse().unwrap())
        .append_header(name(), ValueSource::claim("absent").optional())
        .remove_query("c")
        .rename_query("c", "d".parse().unwrap())
        .append_query("c".parse().unwrap(), ValueSource::tenant().optional());
    (PayloadLayer::new(), edits)
}

/// One limit of each kind, by four things in all.
fn throttle() -> ThrottleLayer {
    let plans = [("gold", Rate::per_second(2_000))];
    ThrottleLayer::new(Limit::per_identity(Rate::per_second(1_000)).by_plan(plans))
        .limit(Limit::per_identity(Quota::per_day(1_000_000)))
        .limit(Limit::per_peer(PeerAddress::connection(), Rate::per_second(1_000)))
        .limit(Limit::global(Concurrency::new(100)))
}

/// The other kinds of keys.
fn other_keys() -> ThrottleLayer {
    let fields =
        |head: &RequestHead<'_>| Some([head.headers().contains_key("content-type").into()]);
    ThrottleLayer::new(Limit::per_claim("plan", Rate::per_second(1_000)))
        .limit(Limit::per_tenant(Rate::per_second(1_000)))
        .limit(Limit::per_route(Rate::per_second(1_000)))
        .limit(Limit::per_key(fields, Rate::per_second(1_000)).shadow())
}

/// A request whose caller and connection are known.
fn known(token: &str) -> Request<Full<Bytes>> {
    let mut request = seen(token);
    let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
    let caller = caller.with_tenant("acme").with_claim("plan", "gold").with_plan("gold");
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(caller));
    request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 7], 1)));
    request
}

/// Keeps what it is told to.
fn cache(which: fn(&Request<Payload>) -> bool) -> (PayloadLayer, CacheLayer) {
    let cache = CacheLayer::new("upstream", Scope::Identity).cacheable(Cacheable::by(which));
    (PayloadLayer::new(), cache)
}

/// Shares what it does not keep.
fn shared() -> (PayloadLayer, CacheLayer) {
    let (payload, cache) = cache(|_| true);
    let freshness = Freshness::new().ttl(Duration::ZERO);
    (payload, cache.freshness(freshness).shared_calls(SharedCalls::new().share_all()))
}

fn report() -> ResponseSchema {
    ResponseSchema::report(Schema::new(&serde_json::json!({ "type": "object" })).unwrap())
}

#[test]
fn the_bare_service_allocates_its_fields() {
    assert_eq!(allocations(tower::layer::util::Identity::new(), || pass::request("x")), 0);
}

/// Every layer that may be absent is, but for the stalled reader.
macro_rules! all_absent {
    () => {
        Stack::new()
            .request_id(None)
            .access_log(None)
            .peer_throttle(None)
            .auth(None)
            .throttle(None)
            .schema(None)
            .transform(None)
            .model_rules(None)
            .cache(None)
            .token_budget(None)
            .fallback(None)
            .hf_token(None)
    };
}

/// Every layer.
macro_rules! all_present {
    ($signer:expr) => {
        Stack::new()
            .request_id(RequestIdLayer::new())
            .access_log(pass::access_log())
            .peer_throttle(throttle())
            .auth(pass::auth($signer))
            .throttle(throttle())
            .payload(PayloadLayer::new())
            .schema(pass::schema())
            .transform(pass::limits())
            .model_rules(pass::model_rules())
            .cache(CacheLayer::new("upstream", Scope::Identity))
            .token_budget(pass::budget())
            .fallback(pass::fallback())
            .upstream(UpstreamLayer::new())
            .hf_token(pass::hf_token())
    };
}

/// The sizes of a service, its future and its response body.
fn sizes<L, B>(layer: L) -> [usize; 3]
where
    L: Layer<Trivial>,
    L::Service: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let future = size_of::<<L::Service as Service<Request<Full<Bytes>>>>::Future>();
    [size_of_val(&layer.layer(Trivial)), future, size_of::<B>()]
}

/// They are moved with each request. A slot that may be empty adds nothing to them.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_stack_is_no_larger_than_stated() {
    let signer = Signer::es256();
    let sizes = [
        ("all layers", sizes(all_present!(&signer)), [224, 1_016, 560]),
        (
            "all layers and the stalled reader",
            sizes(all_present!(&signer).stalled_reader(StalledReaderLayer::new())),
            [232, 1_024, 56],
        ),
    ];
    for (what, sizes, stated) in sizes {
        println!("{what:<36} service, future, body: {sizes:?} of {stated:?}");
        assert!(sizes.iter().zip(stated).all(|(size, stated)| *size <= stated), "{what}");
    }
}

#[test]
fn each_layer_allocates_no_more_than_stated() {
    let signer = Signer::es256();
    let token = signer.sign(&token::claims());
    let seen = || seen(&token);
    let fresh = || pass::request(&token);
    let known = || known(&token);
    let with_query = || {
        let mut request = seen();
        *request.uri_mut() = Uri::from_static("/v1/chat/completions?a=%41&b=+");
        request
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _for_timers = runtime.enter();

    let gateway = Stack::new().upstream(UpstreamLayer::new());
    let counted = [
        // The box that the server and the sweep share.
        ("stalled reader", allocations(StalledReaderLayer::new(), seen), 1),
        ("request id (with the context)", allocations(RequestIdLayer::new(), fresh), 5),
        ("request id", allocations(RequestIdLayer::new(), seen), 1),
        ("access log, own writer", allocations(pass::access_log(), seen), 1),
        // The record, and the state of the body's digest. A body that is read adds the digest.
        ("audit trail, sync by interval", allocations(pass::audit(), seen), 2),
        // Nobody subscribes to the spans.
        (
            "access log, own writer, spans",
            allocations(pass::access_log().spans(GenAiConventions::Latest), seen),
            1,
        ),
        ("access log, nobody listens", allocations(AccessLogLayer::new(), seen), 0),
        // The record alone. The sink adds nothing.
        (
            "metrics, with a recorder",
            metrics::with_local_recorder(&pass::Adding, || {
                allocations(AccessLogLayer::sink(Metrics::new()), seen)
            }),
            1,
        ),
        ("metrics, without a recorder", allocations(AccessLogLayer::sink(Metrics::new()), seen), 1),
        (
            "metrics, payload and model read",
            metrics::with_local_recorder(&pass::Adding, || {
                let counted = AccessLogLayer::sink(Metrics::new());
                allocations((counted, PayloadLayer::new()), seen)
            }),
            4,
        ),
        ("auth, token seen before", allocations(pass::auth(&signer), seen), 0),
        ("throttle, four limits", allocations(throttle().headers(LimitHeaders::Off), known), 0),
        ("throttle, other keys", allocations(other_keys().headers(LimitHeaders::Off), known), 0),
        // What is left, of the two limits that are the caller's own.
        ("throttle, told in fields", allocations(throttle(), known), 1),
        ("route", allocations(RouteLayer::new(&Profile::compatible()), seen), 0),
        (
            "route and payload by it",
            allocations((RouteLayer::new(&Profile::compatible()), PayloadLayer::by_route()), seen),
            3,
        ),
        ("payload, document and model read", allocations(PayloadLayer::new(), seen), 3),
        ("payload, not read", allocations(PayloadLayer::bytes(), seen), 1),
        // Those of the payload, and the target in the record.
        (
            "payload and model rules",
            allocations((PayloadLayer::new(), pass::model_rules()), seen),
            4,
        ),
        ("payload and schema", allocations((PayloadLayer::new(), pass::schema()), seen), 3),
        (
            "payload and schema of the model",
            allocations((PayloadLayer::new(), by_model()), seen),
            3,
        ),
        (
            "payload, schema, answer reported",
            allocations((PayloadLayer::new(), pass::schema().response(report())), seen),
            6,
        ),
        (
            "payload and limits, nothing to edit",
            allocations((PayloadLayer::new(), pass::limits()), seen),
            3,
        ),
        ("payload, edits of what is not there", allocations(unmet(), with_query), 3),
        // Those of the payload; the value of the field; the edits, their places, the new bytes and
        // their payload.
        ("payload and three edits", allocations((PayloadLayer::new(), pass::edits()), seen), 10),
        // Those of the payload; the bill; what is settled.
        ("payload and token budget", allocations((PayloadLayer::new(), pass::budget()), seen), 5),
        ("payload and cache, bypassed", allocations(cache(|_| false), known), 3),
        // Those of the payload; the headers of the entry, and the values of its age and its status.
        // The service allocates none.
        ("payload and cache, hit", allocations(cache(|_| true), known), 3 + 4 - BARE),
        // The call is boxed once; the rest is what several share: the flight and its log, the list
        // of flights, the head, a record of the call's own, the tap's.
        ("payload and cache, miss", allocations(shared(), known), 25),
        ("upstream", allocations(UpstreamLayer::new(), seen), 0),
        ("upstream, caller known", allocations(UpstreamLayer::new(), known), 0),
        ("hf token", allocations(pass::hf_token(), seen), 0),
        // Those of the payload, and the copy for another attempt.
        (
            "payload and fallback, not used",
            allocations((PayloadLayer::new(), pass::fallback()), seen),
            4,
        ),
        (
            "payload, fallback, upstream, hf token",
            allocations(
                (PayloadLayer::new(), pass::fallback(), UpstreamLayer::new(), pass::hf_token()),
                seen,
            ),
            4,
        ),
        // The request body, which becomes a payload.
        ("all layers absent", allocations(all_absent!(), fresh), 1),
        (
            "all absent but payload, body not read",
            allocations(all_absent!().payload(PayloadLayer::bytes()), seen),
            1,
        ),
        (
            "all absent but upstream",
            allocations(
                Stack::new()
                    .request_id(None)
                    .access_log(None)
                    .peer_throttle(None)
                    .auth(None)
                    .throttle(None)
                    .upstream(UpstreamLayer::new())
                    .hf_token(None),
                seen,
            ),
            0,
        ),
        // The response body.
        ("stalled reader absent", allocations(Stack::new().stalled_reader(None), seen), 1),
        // The request body, the future and the response body.
        ("upstream, as a gateway", allocations(layer_fn(|client| gateway.boxed(client)), seen), 3),
        (
            "upstream, as a gateway for one body",
            allocations(layer_fn(|client| gateway.boxed_for(client)), seen),
            2,
        ),
        (
            "the whole stack",
            allocations(
                Stack::new()
                    .request_id(RequestIdLayer::new())
                    .access_log(pass::access_log())
                    .auth(pass::auth(&signer))
                    .payload(PayloadLayer::new())
                    .schema(pass::schema())
                    .transform(pass::limits())
                    .upstream(UpstreamLayer::new())
                    .hf_token(pass::hf_token()),
                fresh,
            ),
            9,
        ),
    ];
    let mut over = Vec::new();
    for (what, count, stated) in counted {
        println!("{what:<36} {count:>3} of {stated}");
        if count > stated {
            over.push(what);
        }
    }
    assert!(over.is_empty(), "more than stated: {over:?}");
}

/// Responds with a stream whose first frame has no content.
#[derive(Clone, Copy, Debug)]
struct Streaming;

impl<B> Service<Request<B>> for Streaming {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n\
                      data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
                      data: [DONE]\n\n";
        let mut response = Response::new(Full::new(Bytes::from_static(stream.as_bytes())));
        let mut headers = http::HeaderMap::with_capacity(12);
        let media_type = http::HeaderValue::from_static("text/event-stream");
        headers.insert(http::header::CONTENT_TYPE, media_type);
        *response.headers_mut() = headers;
        std::future::ready(Ok(response))
    }
}

#[test]
fn a_held_stream_allocates_no_more_than_the_copy_of_its_request() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _for_timers = runtime.enter();
    let count = |fallback| {
        let layers = Stack::new().payload(PayloadLayer::new()).fallback(fallback);
        let mut service = layers.upstream(UpstreamLayer::new()).layer(Streaming);
        for _ in 0..3 {
            assert_eq!(run(&mut service, seen("x")), StatusCode::OK);
        }
        let request = seen("x");
        measure(|| assert_eq!(run(&mut service, request), StatusCode::OK)).count_total
    };
    assert_eq!(count(Some(pass::fallback())), count(None) + 1);
}
