//! The contract of `tower_service::Service`, over every layer and over the whole stack.
//!
//! Each check is a macro over a layer, because the layers change the body's type; `each_layer!`
//! runs it over all of them. A new layer belongs there.

mod support;
#[path = "support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    future::{Pending, Ready, pending, ready},
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use support::{Probe, ScriptedBody, Step};
use token::Signer;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, Jwt, Keys},
    cache::{CacheLayer, Cacheable, Scope},
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource},
    limits::{Concurrency, Limit, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    route::RouteLayer,
    schema::{ResponseSchema, Schema, SchemaLayer},
    secret::Secret,
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::es256);
static TOKEN: LazyLock<String> = LazyLock::new(|| SIGNER.sign(&token::claims()));

fn auth() -> AuthLayer {
    let keys = Keys::from_jwks(SIGNER.jwks().as_bytes()).unwrap();
    AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE))
}

fn hf_token() -> HfTokenLayer {
    let token = TokenSource::value(Secret::new("hf_contract")).unwrap();
    HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token)
}

/// Two targets, which have one attempt each.
fn fallback() -> FallbackLayer {
    let target = |name: &str| {
        let token = TokenSource::value(Secret::new("hf_contract")).unwrap();
        Target::new(Stage::new(name, format!("https://{name}.example").parse().unwrap(), token))
    };
    FallbackLayer::new([target("a"), target("b").max_in_flight(8)])
}

fn model_rules() -> ModelRulesLayer {
    let rules = ModelRules::new().allow(ModelRule::new(["demo"]));
    ModelRulesLayer::new(Profile::compatible(), rules)
}

/// Edits what it finds, and would hide the usage of a stream.
fn transform() -> TransformLayer {
    TransformLayer::new()
        .set_header("x-stage".parse().unwrap(), "test")
        .max_output_tokens(16)
        .include_usage()
}

/// Puts a limit into the body, and settles at the end of the answer.
fn token_budget() -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::global(Rate::per_day(100_000_000)))
}

/// Checks the body, and has its eye on the answer.
fn schema() -> SchemaLayer {
    let schema = Schema::new(&json!({ "required": ["model"] })).unwrap();
    SchemaLayer::new(schema.clone()).response(ResponseSchema::report(schema))
}

/// Keeps and shares what it can, whoever asks.
fn cache() -> CacheLayer {
    let all = Scope::by(|_| Some("all".to_owned()));
    CacheLayer::new("upstream", all).cacheable(Cacheable::always())
}

/// The same, for those who are known.
fn cache_of_callers() -> CacheLayer {
    CacheLayer::new("upstream", Scope::Identity).cacheable(Cacheable::always())
}

/// Counts all requests, and those in flight.
fn throttle() -> ThrottleLayer {
    ThrottleLayer::new(Limit::global(Rate::per_second(1_000)))
        .limit(Limit::global(Concurrency::new(1_000)))
}

/// A request that every layer lets pass.
fn request() -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", *TOKEN))
        .body(Full::new(Bytes::from_static(br#"{"model":"demo","messages":[]}"#)))
        .unwrap()
}

fn answer<B>(_: Request<B>) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"{}")))
}

async fn made_ready<S>(service: &mut S) -> &mut S
where
    S: Service<Request<Full<Bytes>>, Error = Infallible>,
{
    let Ok(service) = service.ready().await;
    service
}

/// Every layer that may be absent is.
macro_rules! absent_layers {
    () => {
        Stack::new()
            .stalled_reader(None)
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
use absent_layers;

macro_rules! each_layer {
    ($check:ident) => {
        mod $check {
            use super::*;

            #[tokio::test]
            async fn stalled_reader() {
                $check!(StalledReaderLayer::new());
            }

            #[tokio::test]
            async fn request_id() {
                $check!(RequestIdLayer::new());
            }

            #[tokio::test]
            async fn access_log() {
                $check!(AccessLogLayer::new());
            }

            #[tokio::test]
            async fn auth() {
                $check!(super::auth());
            }

            #[tokio::test]
            async fn route() {
                $check!(RouteLayer::new(&Profile::compatible()));
            }

            #[tokio::test]
            async fn throttle() {
                $check!(super::throttle());
            }

            #[tokio::test]
            async fn payload() {
                $check!(PayloadLayer::new());
            }

            #[tokio::test]
            async fn model_rules() {
                $check!((PayloadLayer::new(), super::model_rules()));
            }

            #[tokio::test]
            async fn schema() {
                $check!((PayloadLayer::new(), super::schema()));
            }

            #[tokio::test]
            async fn transform() {
                $check!((PayloadLayer::new(), super::transform()));
            }

            #[tokio::test]
            async fn cache() {
                $check!((PayloadLayer::new(), super::cache()));
            }

            #[tokio::test]
            async fn token_budget() {
                $check!((PayloadLayer::new(), super::token_budget()));
            }

            #[tokio::test]
            async fn fallback() {
                $check!((PayloadLayer::new(), super::fallback()));
            }

            #[tokio::test]
            async fn upstream() {
                $check!(UpstreamLayer::new());
            }

            #[tokio::test]
            async fn hf_token() {
                $check!(super::hf_token());
            }

            #[tokio::test]
            async fn absent_layers() {
                $check!(super::absent_layers!());
            }

            #[tokio::test]
            async fn stack() {
                $check!(
                    Stack::new()
                        .hf_token(super::hf_token())
                        .upstream(UpstreamLayer::new())
                        .fallback(super::fallback())
                        .token_budget(super::token_budget())
                        .cache(super::cache_of_callers())
                        .model_rules(super::model_rules())
                        .schema(super::schema())
                        .transform(super::transform())
                        .payload(PayloadLayer::new())
                        .throttle(super::throttle())
                        .auth(super::auth())
                        .peer_throttle(super::throttle())
                        .access_log(AccessLogLayer::new())
                        .request_id(RequestIdLayer::new())
                        .stalled_reader(StalledReaderLayer::new())
                );
            }
        }
    };
}

/// The probe panics when an instance is called that was not made ready; its clones never are.
macro_rules! calls_the_instance_that_was_made_ready {
    ($layer:expr) => {
        let mut service = $layer.layer(Probe::new(answer));
        for _ in 0..2 {
            let response = made_ready(&mut service).await.call(request()).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            // A clone of a ready service is not ready, and must be made so on its own.
            service = service.clone();
        }
    };
}
each_layer!(calls_the_instance_that_was_made_ready);

/// axum calls `layer` several times for one router.
macro_rules! makes_any_number_of_services {
    ($layer:expr) => {
        let layer = $layer;
        for _ in 0..3 {
            let service = layer.layer(Probe::new(answer));
            assert_eq!(service.oneshot(request()).await.unwrap().status(), StatusCode::OK);
        }
    };
}
each_layer!(makes_any_number_of_services);

macro_rules! passes_the_body_and_its_end {
    ($layer:expr) => {
        let body = || {
            ScriptedBody::new([
                Step::Pending,
                Step::Data(b"one"),
                Step::Data(b"two"),
                Step::Trailers([(header::ETAG, "7".parse().unwrap())].into_iter().collect()),
            ])
        };
        let service = $layer.layer(Probe::new(move |_| Response::new(body())));
        let response = service.oneshot(request()).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()[header::ETAG], "7");
        assert_eq!(collected.to_bytes(), "onetwo");
    };
}
each_layer!(passes_the_body_and_its_end);

/// Wherever a caller leaves, the request and the answer are given back.
macro_rules! gives_everything_back {
    ($layer:expr) => {
        let held = Arc::new(());
        let ours = |held: &Arc<()>| {
            let mut request = request();
            request.extensions_mut().insert(Arc::clone(held));
            request
        };
        let mut cx = Context::from_waker(Waker::noop());

        // Before the call: what was reserved by readiness goes with the service, and no clone of it
        // reserves anything.
        let mut service = $layer.layer(Reserving { slots: Arc::clone(&held), taken: None });
        let clone = made_ready(&mut service).await.clone();
        assert_eq!(Arc::strong_count(&held), 4);
        drop(service);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(clone);
        assert_eq!(Arc::strong_count(&held), 1);

        // Before the first poll.
        let mut service = $layer.layer(Probe::new(answer));
        drop(made_ready(&mut service).await.call(ours(&held)));
        assert_eq!(Arc::strong_count(&held), 1);

        // Before the head.
        let mut service = $layer.layer(service_fn(|request: Request<_>| async move {
            let _request = request;
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }));
        {
            let mut future = pin!(made_ready(&mut service).await.call(ours(&held)));
            assert!(future.as_mut().poll(&mut cx).is_pending());
            assert_eq!(Arc::strong_count(&held), 2);
        }
        assert_eq!(Arc::strong_count(&held), 1);

        // Mid-body.
        let inside = Arc::clone(&held);
        let mut service = $layer.layer(Probe::new(move |_| {
            Response::new(Held {
                body: ScriptedBody::new([Step::Data(b"one"), Step::Stall]),
                _held: Arc::clone(&inside),
            })
        }));
        let response = made_ready(&mut service).await.call(request()).await.unwrap();
        let mut body = Box::pin(response.into_body());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&held), 3);
        drop(body);
        assert_eq!(Arc::strong_count(&held), 2);
    };
}
each_layer!(gives_everything_back);

/// Whatever a layer is made of may go to another thread, if what it wraps may.
macro_rules! is_send_sync_and_clone {
    ($layer:expr) => {
        fn whole<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
        fn part<T: Send + 'static>(it: T) -> T {
            it
        }
        let layer = $layer;
        whole(&layer);
        let mut service = layer.layer(Probe::new(answer));
        let future = part(made_ready(&mut service).await.call(request()));
        part(future.await.unwrap().into_body());
        fn cloned<T: Clone + Send + Sync + 'static>(_: &T) {}
        cloned(&service);
    };
}
each_layer!(is_send_sync_and_clone);

/// `poll_ready` forwards: a layer neither hides that the inner service is busy nor invents it.
macro_rules! forwards_readiness {
    ($layer:expr) => {
        let mut service = $layer.layer(Busy);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx).is_pending());
    };
}
each_layer!(forwards_readiness);

/// Never ready.
#[derive(Clone, Debug)]
struct Busy;

impl<B> Service<Request<B>> for Busy {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        pending()
    }
}

/// Takes a slot when it is made ready, as tower's concurrency limit does; its clones have none.
#[derive(Debug)]
struct Reserving {
    slots: Arc<()>,
    taken: Option<Arc<()>>,
}

impl Clone for Reserving {
    fn clone(&self) -> Self {
        Self { slots: Arc::clone(&self.slots), taken: None }
    }
}

impl<B> Service<Request<B>> for Reserving {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.taken.get_or_insert_with(|| Arc::clone(&self.slots));
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.taken = None;
        ready(Ok(answer(request)))
    }
}

/// A body that holds something as long as it lives.
struct Held {
    body: ScriptedBody,
    _held: Arc<()>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// Law 1: the inner service's error passes untouched, except through `UpstreamLayer`.
mod passes_errors_untouched {
    use super::*;

    macro_rules! check {
        ($name:ident, $layer:expr) => {
            #[tokio::test]
            async fn $name() {
                let failing = service_fn(|_: Request<_>| async {
                    Err::<Response<Full<Bytes>>, _>("x".parse::<u8>().unwrap_err())
                });
                let error = $layer.layer(failing).oneshot(request()).await.err().unwrap();
                assert_eq!(error, "x".parse::<u8>().unwrap_err());
            }
        };
    }

    check!(stalled_reader, StalledReaderLayer::new());
    check!(request_id, RequestIdLayer::new());
    check!(access_log, AccessLogLayer::new());
    check!(auth, super::auth());
    check!(throttle, super::throttle());
    check!(payload, PayloadLayer::new());
    check!(model_rules, (PayloadLayer::new(), super::model_rules()));
    check!(schema, (PayloadLayer::new(), super::schema()));
    check!(transform, (PayloadLayer::new(), super::transform()));
    check!(cache, (PayloadLayer::new(), super::cache()));
    check!(fallback, (PayloadLayer::new(), super::fallback()));
    check!(hf_token, super::hf_token());
    check!(absent_layers, super::absent_layers!());

    #[tokio::test]
    async fn upstream_turns_errors_into_responses() {
        let failing = service_fn(|_: Request<Full<Bytes>>| async {
            Err::<Response<Full<Bytes>>, _>("x".parse::<u8>().unwrap_err())
        });
        let response = UpstreamLayer::new().layer(failing).oneshot(request()).await;
        let Ok::<_, Infallible>(response) = response;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
}
