//! Every layer under axum (also nested), under tonic and around a hyper client, over HTTP/1.1 and
//! HTTP/2, on real connections.

#[path = "support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::json;
use token::Signer;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, Jwt, Keys},
    cache::{CacheLayer, Cacheable, Scope},
    hf::{HfTokenLayer, Origin, TokenSource},
    limits::{Concurrency, Limit, Rate},
    model::{BodyForm, Profile},
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::{Payload, PayloadLayer},
    rejection::{Refusal, Rejection},
    request_id::RequestIdLayer,
    schema::{Parameter, ResponseSchema, Schema, SchemaLayer},
    secret::Secret,
    stack::Stack,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::es256);
static TOKEN: LazyLock<String> = LazyLock::new(|| SIGNER.sign(&token::claims()));

const BODY: &str = r#"{"model":"demo","messages":[],"max_tokens":1}"#;

fn auth() -> AuthLayer {
    let keys = Keys::from_jwks(SIGNER.jwks().as_bytes()).unwrap();
    AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE))
}

/// Counts all requests, and those in flight.
fn throttle() -> ThrottleLayer {
    ThrottleLayer::new(Limit::global(Rate::per_second(1_000)))
        .limit(Limit::global(Concurrency::new(1_000)))
}

/// An endpoint that serves its model by every route of these tests.
fn model_rules() -> ModelRulesLayer {
    let routes = ["/echo", "/routed", "/v1/echo"];
    let health = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
    let endpoint = routes
        .into_iter()
        .chain(health)
        .fold(Profile::endpoint("demo"), |profile, path| profile.route(path, BodyForm::Unknown));
    ModelRulesLayer::new(endpoint, ModelRules::new().allow(ModelRule::new(["demo"])))
}

fn hf_token(origin: SocketAddr) -> HfTokenLayer {
    let origin: Origin = format!("http://{origin}").parse().unwrap();
    HfTokenLayer::new(origin, TokenSource::value(Secret::new("hf_servers")).unwrap())
}

/// Fields and the query, since no gRPC call has JSON.
fn transform() -> TransformLayer {
    let edits = TransformLayer::new().set_header("x-stage".parse().unwrap(), "test");
    edits.remove_query("debug")
}

/// Looks at fields and answers, since no gRPC call has JSON.
fn schema() -> SchemaLayer {
    let bearer = Parameter::header(header::AUTHORIZATION).required().pattern("Bearer .+").unwrap();
    let answers = ResponseSchema::report(Schema::new(&json!({ "type": "object" })).unwrap());
    SchemaLayer::any_body().parameter(bearer).response(answers)
}

/// Keeps and shares what it can, whoever asks.
fn cache() -> CacheLayer {
    let all = Scope::by(|_| Some("all".to_owned()));
    CacheLayer::new("upstream", all).cacheable(Cacheable::always())
}

/// At a price for each call of gRPC.
fn token_budget() -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::global(Rate::per_day(100_000_000))).flat_cost(1)
}

/// Somewhere on loopback; for layers that are never asked to go there.
fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// A server on a free loopback port that speaks HTTP/1.1 and HTTP/2, stopped when dropped.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S, B>(service: S) -> Server
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _client_left = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Server { address, task }
}

fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

async fn ask(server: &Server, version: Version, path: &str) -> Response<Incoming> {
    let request = Request::post(format!("http://{}{path}", server.address))
        .version(version)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", *TOKEN))
        .body(Full::new(Bytes::from_static(BODY.as_bytes())))
        .unwrap();
    client(version).request(request).await.unwrap()
}

/// Answers with what it was sent.
async fn echo(body: Bytes) -> Bytes {
    body
}

macro_rules! each_layer {
    ($check:ident) => {
        mod $check {
            use super::*;

            #[tokio::test]
            async fn request_id() {
                $check!(|_| RequestIdLayer::new());
            }

            #[tokio::test]
            async fn access_log() {
                $check!(|_| AccessLogLayer::new());
            }

            #[tokio::test]
            async fn auth() {
                $check!(|_| super::auth());
            }

            #[tokio::test]
            async fn throttle() {
                $check!(|_| super::throttle());
            }

            #[tokio::test]
            async fn payload() {
                $check!(|_| PayloadLayer::bytes());
            }

            #[tokio::test]
            async fn model_rules() {
                $check!(|_| (PayloadLayer::bytes(), super::model_rules()));
            }

            #[tokio::test]
            async fn schema() {
                $check!(|_| (PayloadLayer::bytes(), super::schema()));
            }

            #[tokio::test]
            async fn transform() {
                $check!(|_| (PayloadLayer::bytes(), super::transform()));
            }

            #[tokio::test]
            async fn cache() {
                $check!(|_| (PayloadLayer::bytes(), super::cache()));
            }

            #[tokio::test]
            async fn token_budget() {
                $check!(|_| (PayloadLayer::bytes(), super::token_budget()));
            }

            #[tokio::test]
            async fn upstream() {
                $check!(|_| UpstreamLayer::new());
            }

            #[tokio::test]
            async fn hf_token() {
                $check!(super::hf_token);
            }

            #[tokio::test]
            async fn stack() {
                $check!(|origin| {
                    Stack::new()
                        .upstream(UpstreamLayer::new())
                        .hf_token(super::hf_token(origin))
                        .payload(PayloadLayer::bytes())
                        .cache(super::cache())
                        .model_rules(super::model_rules())
                        .schema(super::schema())
                        .transform(super::transform())
                        .throttle(super::throttle())
                        .auth(super::auth())
                        .peer_throttle(super::throttle())
                        .access_log(AccessLogLayer::new())
                        .request_id(RequestIdLayer::new())
                });
            }
        }
    };
}

macro_rules! serves_under_axum_and_nested {
    ($layer:expr) => {
        let layer = $layer(nowhere());
        let inner = Router::new().route("/echo", post(echo)).layer(layer.clone());
        let app = Router::new()
            .route("/echo", post(echo))
            .layer(layer.clone())
            .nest("/nested", inner)
            .route("/routed", post(echo).layer(layer));
        let server = serve(app).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for path in ["/echo", "/nested/echo", "/routed"] {
                let response = ask(&server, version, path).await;
                assert_eq!(response.status(), StatusCode::OK, "{path} {version:?}");
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), BODY);
            }
        }
    };
}
each_layer!(serves_under_axum_and_nested);

macro_rules! wraps_a_hyper_client {
    ($layer:expr) => {
        let upstream = serve(Router::new().route("/echo", post(echo))).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let service = $layer(upstream.address).layer(client(version));
            let request = Request::post(format!("http://{}/echo", upstream.address))
                .version(version)
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::AUTHORIZATION, format!("Bearer {}", *TOKEN))
                .body(Full::new(Bytes::from_static(BODY.as_bytes())))
                .unwrap();
            let response = service.oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{version:?}");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), BODY);
        }
    };
}
each_layer!(wraps_a_hyper_client);

macro_rules! serves_a_grpc_stream {
    ($layer:expr) => {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("demo", tonic_health::ServingStatus::Serving).await;
        let routes = tonic::service::Routes::new(health);
        let server = serve($layer(nowhere()).layer(routes)).await;

        let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap();
        let mut client = HealthClient::new(channel.connect().await.unwrap());
        let ask = || {
            let mut request =
                tonic::Request::new(HealthCheckRequest { service: "demo".to_owned() });
            let bearer = format!("Bearer {}", *TOKEN).parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
            request
        };
        let checked = client.check(ask()).await.unwrap();
        assert_eq!(checked.get_ref().status(), ServingStatus::Serving);

        // A stream, whose second message is sent only after the first has arrived.
        let mut watched = client.watch(ask()).await.unwrap().into_inner();
        let first = watched.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        reporter.set_service_status("demo", tonic_health::ServingStatus::NotServing).await;
        let second = watched.message().await.unwrap().unwrap();
        assert_eq!(second.status(), ServingStatus::NotServing);
    };
}
each_layer!(serves_a_grpc_stream);

#[tokio::test]
async fn a_grpc_client_reads_a_refusal_as_a_status() {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = serve(auth().layer(tonic::service::Routes::new(health))).await;
    let channel = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let status = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert!(status.message().contains("authorization: Bearer"), "{}", status.message());
}

/// The promise of the docs: the stack around a client serves as an axum fallback.
#[tokio::test]
async fn the_stack_around_a_client_is_an_axum_service() {
    let upstream = serve(Router::new().route("/v1/echo", post(echo))).await;
    let client: Client<_, Payload> = client(Version::HTTP_11);
    let gateway = Stack::new()
        .request_id(RequestIdLayer::new())
        .access_log(AccessLogLayer::new())
        .auth(auth())
        .payload(PayloadLayer::new())
        .model_rules(model_rules())
        .upstream(UpstreamLayer::new())
        .hf_token(hf_token(upstream.address))
        .layer(client);
    let server = serve(Router::new().fallback_service(gateway)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let response = ask(&server, version, "/v1/echo").await;
        assert_eq!(response.status(), StatusCode::OK, "{version:?}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), BODY);
    }
}

#[tokio::test]
async fn outer_layers_read_a_refusal_as_a_value() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let into = Arc::clone(&seen);
    let inner = auth().layer(Router::new().route("/echo", post(echo)));
    let outer = tower::service_fn(move |request: Request<Incoming>| {
        let (inner, into) = (inner.clone(), Arc::clone(&into));
        async move {
            let response = inner.oneshot(request).await?;
            let refusal = response.extensions().get::<Rejection>().map(Rejection::refusal);
            *into.lock().unwrap() = refusal;
            Ok::<_, Infallible>(response)
        }
    });
    let server = serve(outer).await;
    let request = Request::post(format!("http://{}/echo", server.address));
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let response = client(Version::HTTP_11).request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(*seen.lock().unwrap(), Some(Refusal::MissingCredentials));
}
