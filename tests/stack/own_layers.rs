//! Layers of a user at their places.

use std::{
    future::{Future, Pending, pending, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Method;
use http_body_util::BodyExt;
use tower::{
    layer::{layer_fn, util::Identity},
    util::option_layer,
};
use tower_http::timeout::TimeoutLayer;
use tower_inference::{
    access_log::AccessLogLayer,
    body::ResponseBody,
    cache::Cacheable,
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    record::{Record, RequestOutcome},
    rejection::{Refusal, Rejection, RejectionFormat},
    secret::Secret,
    stalled_reader::StalledReaderLayer,
};

use super::*;

/// Rejects prompts with `word` while it is active.
#[derive(Clone)]
struct BlockListLayer {
    word: &'static str,
    active: Arc<AtomicBool>,
}

#[derive(Clone)]
struct BlockList<S> {
    inner: S,
    layer: BlockListLayer,
}

impl<S> Layer<S> for BlockListLayer {
    type Service = BlockList<S>;

    fn layer(&self, inner: S) -> BlockList<S> {
        BlockList { inner, layer: self.clone() }
    }
}

impl<S, R> Service<Request<Payload>> for BlockList<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let prompt = request.body().document().unwrap().root().get("input").unwrap();
        let blocked = prompt.as_str().is_some_and(|text| text.contains(self.layer.word));
        if !blocked || !self.layer.active.load(Relaxed) {
            let response = self.inner.call(request);
            return Box::pin(async { Ok(response.await?.map(ResponseBody::inner)) });
        }
        let responder = RejectionFormat::Problem.for_request(&request);
        let context = RequestContext::of(request.extensions()).unwrap();
        let rejection = Rejection::new(Refusal::InvalidPayload).with_detail("blocked");
        Box::pin(ready(Ok(responder.respond(rejection, context))))
    }
}

const EMBEDDING: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}"#;

#[tokio::test]
async fn a_block_list_stands_between_the_schema_and_the_cache() {
    let active = Arc::new(AtomicBool::new(false));
    let block_list = BlockListLayer { word: "forbidden", active: Arc::clone(&active) };
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let client = service_fn(move |_: Request<Payload>| {
        counted.fetch_add(1, Relaxed);
        let mut response = Response::new(Full::<Bytes>::from(EMBEDDING));
        response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        ready(Ok::<_, Infallible>(response))
    });
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
    // Innermost first: it has its place all the same.
    let gateway = Stack::new()
        .before_cache(block_list)
        .cache(cache)
        .schema(schema())
        .upstream(UpstreamLayer::new())
        .layer(client);
    let respond = async |body: &'static str| {
        let request = Request::post("/v1/embeddings").header("content-type", "application/json");
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let response = gateway.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };
    let prompt = r#"{"model":"m","input":"forbidden"}"#;
    for _ in 0..2 {
        assert_eq!(respond(prompt).await.0, StatusCode::OK);
    }
    // The second one was a hit.
    assert_eq!(calls.load(Relaxed), 1);
    active.store(true, Relaxed);
    // Outside the cache: the prompt gets no stored response either.
    let (status, body) = respond(prompt).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(std::str::from_utf8(&body).unwrap().contains("blocked"));
    // Inside the schema, which rejects first.
    let (status, body) = respond(r#"{"model":"m","input":7,"user":"forbidden"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!std::str::from_utf8(&body).unwrap().contains("blocked"));
    assert_eq!(respond(r#"{"model":"m","input":"other"}"#).await.0, StatusCode::OK);
}

/// A client whose upstream never responds.
#[derive(Clone)]
struct Hangs;

impl<B> Service<Request<B>> for Hangs {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_tower_http_goes_around_any_stack() {
    let timeout =
        || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(1));
    let records = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&records);
    let log = AccessLogLayer::sink(move |record: &Record<'_>| {
        sink.lock().unwrap().push((record.outcome(), record.status()));
    });
    let request = || Request::get("/").body(Full::<Bytes>::default()).unwrap();
    let payload = || Stack::new().payload(PayloadLayer::bytes()).around(timeout());
    // Each outermost body has a default.
    let gateways = [
        payload().boxed(Hangs),
        payload().request_id(RequestIdLayer::new()).boxed(Hangs),
        payload().stalled_reader(StalledReaderLayer::new()).boxed(Hangs),
        payload().access_log(log).boxed(Hangs),
        payload().upstream(UpstreamLayer::new()).boxed(Hangs),
        payload().cache(CacheLayer::new("upstream", Scope::Shared)).boxed(Hangs),
    ];
    for gateway in gateways {
        let Ok(response) = gateway.oneshot(request()).await;
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    }
    // As the documentation says.
    assert_eq!(*records.lock().unwrap(), [(RequestOutcome::Cancelled, None)]);
}

#[tokio::test(start_paused = true)]
async fn each_layer_alone_has_an_empty_default_body() {
    macro_rules! check {
        ($($layer:expr),*) => {$({
            let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::ZERO);
            let service = (timeout, $layer).layer(Hangs);
            let response = service.oneshot(Request::new(Payload::buffered("{}"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
            let body = response.into_body();
            assert!(http_body::Body::is_end_stream(&body));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "");
        })*};
    }
    let rate = Rate::per_second(1);
    let token = TokenSource::value(Secret::new("hf_default")).unwrap();
    let allow_all = ModelRules::new().allow(ModelRule::new(["*"]));
    check!(
        StalledReaderLayer::new(),
        RequestIdLayer::new(),
        AccessLogLayer::new(),
        ThrottleLayer::new(Limit::global(rate)),
        PayloadLayer::bytes(),
        SchemaLayer::any_body(),
        TransformLayer::new(),
        ModelRulesLayer::new(Profile::compatible(), allow_all).open_route(Method::GET, "/"),
        CacheLayer::new("upstream", Scope::Shared),
        TokenBudgetLayer::new(Limit::global(rate)).flat_cost(0),
        UpstreamLayer::new(),
        HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token)
    );
}

#[tokio::test]
async fn tuples_functions_and_options_are_layers_too() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| NoteLayer { name, order: Arc::clone(&order) };
    let shared = Arc::clone(&order);
    let function =
        layer_fn(move |inner| Note { inner, name: "function", order: Arc::clone(&shared) });
    let gateway = Stack::new()
        .around((note("one"), note("two")))
        .before_cache((note("three"), option_layer(Some(note("four"))), function))
        .cache(CacheLayer::new("upstream", Scope::Shared))
        .schema(schema())
        .layer(note("five").layer(service_fn(upstream)));
    assert_eq!(status(gateway, r#"{"input":"a"}"#).await, StatusCode::OK);
    assert_eq!(*order.lock().unwrap(), ["one", "two", "three", "four", "function", "five"]);
    let absent = Stack::new().before_cache(option_layer(None::<Identity>));
    assert_eq!(status(absent.layer(service_fn(upstream)), "{}").await, StatusCode::OK);
}

#[derive(Clone)]
struct NoteLayer {
    name: &'static str,
    order: Arc<Mutex<Vec<&'static str>>>,
}

impl<S> Layer<S> for NoteLayer {
    type Service = Note<S>;

    fn layer(&self, inner: S) -> Note<S> {
        Note { inner, name: self.name, order: Arc::clone(&self.order) }
    }
}

#[derive(Clone)]
struct Note<S> {
    inner: S,
    name: &'static str,
    order: Arc<Mutex<Vec<&'static str>>>,
}

impl<S, R> Service<R> for Note<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.order.lock().unwrap().push(self.name);
        self.inner.call(request)
    }
}
