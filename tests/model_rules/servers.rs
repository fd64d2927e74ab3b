//! The list of models over real connections.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    identity::{Callers, Identity, Proof},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::Payload,
    secret::Secret,
    stack::Stack,
    upstream::UpstreamLayer,
};

use crate::ISSUER;

const LIST: &str = r#"{"object":"list","data":[
  {"id":"org/one","providers":[{"provider":"together"},{"provider":"groq"}]},
  {"id":"org/two","providers":[{"provider":"hf-inference"}]}]}"#;

async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _client_left = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Compresses for whoever takes it, knows its list by a tag and sends parts of it: as a CDN does.
async fn upstream(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/models");
    let headers = request.headers();
    let answer = Response::builder().header(header::ETAG, "\"whole\"");
    let answer = if headers.contains_key(header::IF_NONE_MATCH) {
        answer.status(StatusCode::NOT_MODIFIED).body(Full::default())
    } else if headers.contains_key(header::RANGE) {
        answer.status(StatusCode::PARTIAL_CONTENT).body(Full::from(&LIST[..40]))
    } else if headers.get(header::ACCEPT_ENCODING).is_some_and(|coding| coding != "identity") {
        answer.header(header::CONTENT_ENCODING, "br").body(Full::from("coded"))
    } else {
        let answer = answer.header(header::CACHE_CONTROL, "public, max-age=300");
        answer.header(header::CONTENT_TYPE, "application/json").body(Full::from(LIST))
    };
    Ok(answer.unwrap())
}

/// A gateway in front of [`upstream`], whose callers say by themselves which tenant they are of.
async fn gateway() -> SocketAddr {
    let upstream = serve(service_fn(upstream)).await;
    let rules = ModelRules::new()
        .allow(
            ModelRule::new(["org/*"])
                .providers(["together"])
                .callers(Callers::new().tenant(ISSUER, "acme")),
        )
        .allow(
            ModelRule::new(["*"]).any_provider().callers(Callers::new().tenant(ISSUER, "globex")),
        );
    let origin = format!("http://{upstream}").parse().unwrap();
    let token = TokenSource::value(Secret::new("hf_list")).unwrap();
    let client: Client<_, Payload> = Client::builder(TokioExecutor::new()).build_http();
    // The payload layer comes along.
    let stack = Stack::new()
        .model_rules(ModelRulesLayer::new(Profile::router(), rules))
        .upstream(UpstreamLayer::new())
        .hf_token(HfTokenLayer::new(origin, token))
        .layer(client);
    serve(service_fn(move |mut request: Request<Incoming>| {
        let context = RequestContext::ensure(request.extensions_mut());
        if let Some(tenant) = request.headers().get("x-tenant") {
            let identity = Identity::new(Proof::Jwt, ISSUER, "user-7");
            let tenant = tenant.to_str().unwrap();
            context.set_identity(Arc::new(identity.with_tenant(tenant)));
        }
        stack.clone().oneshot(request)
    }))
    .await
}

async fn ask(
    gateway: SocketAddr,
    version: Version,
    method: Method,
    fields: &[(&'static str, &'static str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.version_mut() = version;
    *request.uri_mut() = format!("http://{gateway}/v1/models").parse().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let client =
        Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_tenant_sees_its_models_over_either_version() {
    let gateway = gateway().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let acme = json!([{"id": "org/one", "providers": [{"provider": "together"}]}]);
        for fields in [
            &[("x-tenant", "acme")][..],
            &[("x-tenant", "acme"), ("accept-encoding", "gzip, br")],
            &[("x-tenant", "acme"), ("if-none-match", "\"whole\"")],
            &[("x-tenant", "acme"), ("range", "bytes=0-39")],
        ] {
            let (status, headers, body) = ask(gateway, version, Method::GET, fields).await;
            assert_eq!(status, StatusCode::OK, "{version:?} {fields:?}");
            let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(list["data"], acme, "{version:?} {fields:?}");
            assert_eq!(headers["content-length"], body.len().to_string());
            assert_eq!(headers["cache-control"], "no-store");
            assert!(!headers.contains_key("etag") && !headers.contains_key("content-encoding"));
        }
        let (_, _, body) = ask(gateway, version, Method::GET, &[("x-tenant", "globex")]).await;
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(list["data"].as_array().unwrap().len(), 2);
        let (_, _, body) = ask(gateway, version, Method::GET, &[]).await;
        assert_eq!(body, r#"{"object":"list","data":[]}"#);
    }
}

#[tokio::test]
async fn a_head_response_has_no_length_of_the_whole_list() {
    let gateway = gateway().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let fields = [("x-tenant", "acme"), ("if-none-match", "\"whole\"")];
        let (status, headers, body) = ask(gateway, version, Method::HEAD, &fields).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        assert!(!headers.contains_key("etag"));
        assert!(!headers.contains_key("content-length"), "{version:?} {headers:?}");
    }
}
