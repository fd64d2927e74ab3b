//! Slots that are filled or empty at run time.

use http::HeaderMap;
use http_body_util::BodyExt;
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, Jwt, KeySource},
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    record::Record,
    route::RouteLayer,
    secret::Secret,
    stalled_reader::StalledReaderLayer,
};

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use super::*;

/// Every layer that may be absent.
fn layers() -> Layers {
    let keys = KeySource::file("tests/data/jwks.json").unwrap();
    let rate = Rate::per_second(1_000);
    let token = TokenSource::value(Secret::new("hf_optional")).unwrap();
    Layers {
        stalled_reader: StalledReaderLayer::new(),
        request_id: RequestIdLayer::new(),
        access_log: AccessLogLayer::sink(|_: &Record<'_>| {}),
        auth: AuthLayer::new(Jwt::new(keys, "https://issuer.example", "gateway")),
        throttle: ThrottleLayer::new(Limit::global(rate)),
        schema: schema(),
        transform: TransformLayer::new().set_header("x-edited".parse().unwrap(), "yes"),
        model_rules: ModelRulesLayer::new(Profile::compatible(), ModelRules::new()),
        cache: CacheLayer::new("upstream", Scope::Shared),
        token_budget: TokenBudgetLayer::new(Limit::global(rate)),
        hf_token: HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token),
        route: RouteLayer::named("closed"),
    }
}

struct Layers {
    stalled_reader: StalledReaderLayer,
    request_id: RequestIdLayer,
    access_log: AccessLogLayer,
    auth: AuthLayer,
    throttle: ThrottleLayer,
    schema: SchemaLayer,
    transform: TransformLayer,
    model_rules: ModelRulesLayer,
    cache: CacheLayer,
    token_budget: TokenBudgetLayer,
    hf_token: HfTokenLayer,
    route: RouteLayer,
}

/// A stack that has each layer or not.
macro_rules! stack {
    ($which:expr) => {{
        let which: u32 = $which;
        let Layers {
            stalled_reader,
            request_id,
            access_log,
            auth,
            throttle,
            schema,
            transform,
            model_rules,
            cache,
            token_budget,
            hf_token,
            route,
        } = layers();
        let has = |number: u32| which & (1 << number) != 0;
        Stack::new()
            .stalled_reader(has(0).then_some(stalled_reader))
            .request_id(has(1).then_some(request_id))
            .access_log(has(2).then_some(access_log))
            .peer_throttle(has(3).then_some(throttle.clone()))
            .auth(has(4).then_some(auth))
            .throttle(has(5).then_some(throttle))
            .schema(has(6).then_some(schema))
            .transform(has(7).then_some(transform))
            .model_rules(has(8).then_some(model_rules))
            .cache(has(9).then_some(cache))
            .token_budget(has(10).then_some(token_budget))
            .hf_token(has(11).then_some(hf_token))
            .route(has(12).then_some(route))
    }};
}

#[test]
fn a_layer_and_an_option_of_it_give_one_type() {
    fn same<T>(_: T, _: T) {}
    let cache = || CacheLayer::new("upstream", Scope::Shared);
    same(Stack::new().cache(cache()), Stack::new().cache(Some(cache())));
    same(Stack::new().cache(cache()), Stack::new().cache(None));
    same(Stack::new().auth(layers().auth), Stack::new().auth(None));
    same(stack!(0), stack!(u32::MAX));
}

/// What a request leads to.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// What the client received, unless a layer rejected the request.
    received: Option<Received>,
}

async fn outcome<L, S, B>(layer: L, request: Request<Full<Bytes>>) -> Outcome
where
    L: Layer<Client, Service = S>,
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let client = Client::default();
    let Ok(response) = layer.layer(client.clone()).oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let received = client.0.lock().unwrap().take();
    Outcome { status: parts.status, headers: parts.headers, body, received }
}

/// The target, the headers, whether there was a context, and the body.
type Received = (String, HeaderMap, bool, Bytes);

/// Keeps what it receives.
#[derive(Clone, Default)]
struct Client(Arc<Mutex<Option<Received>>>);

impl<B> Service<Request<B>> for Client
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let received = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let has_context = RequestContext::of(&parts.extensions).is_some();
            let all = (parts.uri.to_string(), parts.headers, has_context, body);
            *received.lock().unwrap() = Some(all);
            Ok(Response::new(Full::from("whole")))
        })
    }
}

/// Neither JSON nor authorized.
fn request() -> Request<Full<Bytes>> {
    let request = Request::post("/v1/embeddings").header(header::AUTHORIZATION, "Basic own");
    request.header(header::CONTENT_TYPE, "text/plain").body(Full::from("no JSON")).unwrap()
}

#[tokio::test]
async fn absent_layers_change_nothing() {
    let bare = outcome(tower::layer::util::Identity::new(), request()).await;
    assert_eq!(bare.received.as_ref().unwrap().3, "no JSON");
    assert!(!bare.received.as_ref().unwrap().2);
    assert_eq!(outcome(stack!(0), request()).await, bare);
}

#[tokio::test]
async fn a_present_layer_acts_whichever_others_are_absent() {
    let bare = outcome(stack!(0), request()).await;
    for number in 1..13 {
        let one = outcome(stack!(1 << number), request()).await;
        assert_ne!(one, bare, "the layer of slot {number}");
    }
    // It leaves no trace while the client reads.
    assert_eq!(stack!(1).snapshot().open_responses(), Some(0));
    assert_eq!(stack!(0).snapshot().open_responses(), None);
}

#[tokio::test]
async fn an_absent_layer_brings_no_payload_layer_along() {
    let stack = Stack::new().schema(None).cache(None);
    assert_eq!(status(stack.layer(service_fn(upstream)), "{").await, StatusCode::OK);
    // Nothing bounds the body.
    let large = Request::post("/").body(Full::<Bytes>::from(vec![b'x'; 11 << 20])).unwrap();
    let service = Stack::new().schema(None).layer(service_fn(upstream));
    assert_eq!(service.oneshot(large).await.unwrap().status(), StatusCode::OK);
    // The last layer decides, and the first one.
    let cache = || CacheLayer::new("upstream", Scope::Shared);
    let stack = Stack::new().schema(None).cache(cache());
    assert_eq!(status(stack.layer(service_fn(upstream)), "{").await, StatusCode::BAD_REQUEST);
    let stack = Stack::new().cache(cache()).schema(None);
    assert_eq!(status(stack.layer(service_fn(upstream)), "{").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_absent_token_is_kept_out_of_no_record() {
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&records);
    let log = AccessLogLayer::sink(move |record: &Record<'_>| {
        sink.lock().unwrap().push(record.path().to_owned());
    });
    // In both orders of the calls.
    let token = || layers().hf_token;
    let stacks = [
        Stack::new().access_log(log.clone()).hf_token(token()),
        Stack::new().hf_token(token()).access_log(log.clone()),
        Stack::new().hf_token(None).access_log(log.clone()),
        Stack::new().access_log(log).hf_token(None),
    ];
    for stack in stacks {
        let request = Request::get("/hf_optional").body(Full::default()).unwrap();
        outcome(stack, request).await;
    }
    let redacted = "[redacted]";
    let plain = "/hf_optional";
    assert_eq!(*records.lock().unwrap(), [redacted, redacted, plain, plain]);
}
