//! On real connections: per route under axum, around a hyper client, and in front of tonic.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::post_service};
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
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer,
    hf::{HfTokenLayer, Origin, TokenSource},
    payload::{Payload, PayloadLayer},
    record::Record,
    request_id::RequestIdLayer,
    secret::Secret,
    stack::Stack,
    transform::{PathTemplate, TransformLayer, ValueSource},
    upstream::UpstreamLayer,
};

use crate::{query_name, wire::RawUpstream};

/// Serves HTTP/1.1 and HTTP/2 until the test's runtime ends.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
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

fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

const STREAM: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 162\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\r\n\r\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\r\n\r\n",
    "data: [DONE]\r\n\r\n",
    ": end\r\n\r\n",
);

#[tokio::test]
async fn each_route_has_its_own_edits_and_hides_the_usage() {
    let mut upstream = RawUpstream::answering(STREAM).await;
    let used = Arc::new(Mutex::new(Vec::new()));
    let gateway = |edits: TransformLayer| {
        let origin: Origin = format!("http://{}", upstream.address).parse().unwrap();
        let token = TokenSource::value(Secret::new("hf_transform")).unwrap();
        let used = Arc::clone(&used);
        let log = AccessLogLayer::sink(move |record: &Record<'_>| {
            used.lock().unwrap().push(record.usage().and_then(|usage| usage.prompt_tokens));
        });
        let client: Client<_, Payload> = client(Version::HTTP_11);
        Stack::new()
            .request_id(RequestIdLayer::new())
            .access_log(log)
            .transform(edits)
            .upstream(UpstreamLayer::new())
            .hf_token(HfTokenLayer::new(origin, token))
            .layer(client)
    };
    let path = |text| PathTemplate::new(text, []).unwrap();
    let hidden = TransformLayer::new()
        .set_path(path("/v1/chat/completions"))
        .append_query(query_name("region"), "eu west")
        .set_header("x-id".parse().unwrap(), ValueSource::request_id())
        .include_usage();
    let plain = TransformLayer::new().strip_path_prefix(path("/plain")).remove_query("debug");
    let app = Router::new()
        .route("/chat", post_service(gateway(hidden)))
        .route("/plain/chat", post_service(gateway(plain)));
    let address = serve(app).await;

    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = client(version);
        let ask = async |target: &str| {
            let request = Request::post(format!("http://{address}{target}"))
                .version(version)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from_static(br#"{"stream":true}"#)))
                .unwrap();
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{version:?}");
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (parts.headers, String::from_utf8(body.to_vec()).unwrap())
        };
        let whole = STREAM.split_once("\r\n\r\n").unwrap().1;
        let frames: Vec<&str> = whole.split_inclusive("\r\n\r\n").collect();

        // Twice, so that what was hidden has not upset the connection.
        for _ in 0..2 {
            let (fields, body) = ask("/chat?a=%2F&b").await;
            assert_eq!(body, [frames[0], frames[2], frames[3]].concat(), "{version:?}");
            let head = upstream.head().await;
            assert_eq!(head[0], "POST /v1/chat/completions?a=%2F&b&region=eu%20west HTTP/1.1");
            let id = format!("x-id: {}", fields["x-request-id"].to_str().unwrap());
            assert!(head.contains(&id), "{head:?}");
        }
        let (_, body) = ask("/plain/chat?debug=1&a=%2F").await;
        assert_eq!(body, whole, "{version:?}");
        assert_eq!(upstream.head().await[0], "POST /chat?a=%2F HTTP/1.1");
    }
    assert_eq!(*used.lock().unwrap(), [Some(9); 6]);
}

#[tokio::test]
async fn grpc_requests_are_edited_and_rejected_with_a_status() {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("demo", tonic_health::ServingStatus::Serving).await;
    let routes = tonic::service::Routes::new(health);
    let serve_with = async |edits: TransformLayer| {
        let layers = (PayloadLayer::streamed(), edits);
        let address = serve(layers.layer(routes.clone())).await;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let origin = format!("http://{address}/gateway").parse().unwrap();
        HealthClient::with_origin(channel.connect().await.unwrap(), origin)
    };
    let request = || HealthCheckRequest { service: "demo".to_owned() };
    let edits = TransformLayer::new()
        .strip_path_prefix(PathTemplate::new("/gateway", []).unwrap())
        .set_header("x-stage".parse().unwrap(), "test");

    let checked = serve_with(edits.clone()).await.check(request()).await.unwrap();
    assert_eq!(checked.get_ref().status(), ServingStatus::Serving);

    let named = edits.clone().set_header("x-tenant".parse().unwrap(), ValueSource::tenant());
    let status = serve_with(named).await.check(request()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);

    let read = edits.max_output_tokens(16);
    let status = serve_with(read).await.check(request()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}
