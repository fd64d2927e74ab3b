//! HTTP/1.1 and HTTP/2 connections with axum routes and a hyper client.

use std::{convert::Infallible, io, net::SocketAddr};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_inference::{
    payload::{Payload, PayloadLayer},
    schema::{Parameter, ResponseSchema, Schema, SchemaLayer},
    stack::Stack,
    upstream::UpstreamLayer,
};

use crate::{Received, inputs, kind, schema};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// Serves until the runtime of the test ends.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

async fn send(address: SocketAddr, version: Version, path: &str, body: &str) -> Response<Incoming> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http();
    let request = Request::post(format!("http://{address}{path}"))
        .version(version)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    client.request(request).await.unwrap()
}

#[tokio::test]
async fn axum_routes_have_their_own_rules() {
    let checked = |layer| ServiceBuilder::new().layer(PayloadLayer::new()).layer(layer);
    let echo = || post(|body: Bytes| async { body });
    let limit = Parameter::query("limit").required().pattern("[0-9]+").unwrap();
    let app = Router::new()
        .route("/generate", echo().layer(checked(SchemaLayer::new(inputs()))))
        .route("/kind", echo().layer(checked(SchemaLayer::new(kind("chat")).parameter(limit))));
    let address = serve(Router::new().nest("/v1", app.clone()).merge(app)).await;

    let text = r#"{"inputs": "hello"}"#;
    let chat = r#"{"kind": "chat"}"#;
    for version in VERSIONS {
        for prefix in ["", "/v1"] {
            for (path, body, status) in [
                ("/generate", text, 200),
                ("/generate", chat, 422),
                ("/kind?limit=7", chat, 200),
                ("/kind?limit=7", r#"{"kind": 7}"#, 422),
                ("/kind?limit=x", chat, 400),
                ("/kind", chat, 400),
            ] {
                let response = send(address, version, &format!("{prefix}{path}"), body).await;
                assert_eq!(response.status(), status, "{version:?} {prefix}{path} {body}");
                let response = Received::of(response).await;
                if status == 200 {
                    assert_eq!(response.body, body);
                } else {
                    let problem = response.json();
                    assert_eq!(problem["error"]["message"], problem["detail"]);
                    assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
                }
            }
        }
    }
}

/// The first byte is read while the upstream has sent no more than that.
#[tokio::test]
async fn reported_response_streams_over_http() {
    for version in VERSIONS {
        let (give, mut given) = mpsc::channel(1);
        let slow = move |_: Request<Payload>| {
            let give = give.clone();
            async move {
                let (sender, body) = Channel::<Bytes, io::Error>::new(1);
                give.send(sender).await.unwrap();
                let response = Response::builder().header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(body).unwrap())
            }
        };
        let layer = SchemaLayer::any_body().response(ResponseSchema::report(kind("chat")));
        let gateway = (PayloadLayer::new(), layer).layer(service_fn(slow));
        let address = serve(Router::new().fallback_service(gateway)).await;

        let mut response = send(address, version, "/", "{}").await;
        let mut upstream = given.recv().await.unwrap();
        for piece in [r#"{"kind":"#, r#""other"}"#] {
            upstream.send_data(Bytes::from(piece)).await.unwrap();
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece, "{version:?}");
        }
        drop(upstream);
        // Over HTTP/2 the end may come as a frame without bytes.
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "", "{version:?}");
    }
}

/// Sends `response` on each connection and closes it.
async fn upstream(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _read = stream.read(&mut asked).await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn rejected_response_is_complete_over_http() {
    let vectors: fn() -> Schema =
        || schema(&json!({ "required": ["data"], "properties": { "data": { "type": "array" } } }));
    for (upstream_response, status, code) in [
        ("content-length: 11\r\n\r\n{\"data\":[]}", 200, ""),
        ("transfer-encoding: chunked\r\n\r\nb\r\n{\"data\":[]}\r\n0\r\n\r\n", 200, ""),
        ("content-length: 2\r\n\r\n{}", 502, "invalid_upstream_response"),
        ("content-length: 15\r\n\r\n{\"data\":[]}   x", 502, "invalid_upstream_response"),
        // Cut off, so that a caller that streams would have half of it by now.
        ("content-length: 100\r\n\r\n{\"data\":[]}", 502, "upstream_unavailable"),
        ("transfer-encoding: chunked\r\n\r\nb\r\n{\"data\":[]}\r\n", 502, "upstream_unavailable"),
        ("content-length: 99999999\r\n\r\n{\"data\":[]}", 502, "invalid_upstream_response"),
    ] {
        let upstream_response: &'static str =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{upstream_response}")
                .leak();
        let upstream = upstream(upstream_response).await;
        let client: Client<HttpConnector, Payload> =
            Client::builder(TokioExecutor::new()).build_http();
        let directed = service_fn(move |mut request: Request<Payload>| {
            *request.uri_mut() = format!("http://{upstream}/").parse().unwrap();
            *request.version_mut() = Version::HTTP_11;
            client.request(request)
        });
        let gateway = Stack::new()
            .upstream(UpstreamLayer::new())
            .schema(SchemaLayer::any_body().response(ResponseSchema::reject(vectors())))
            .payload(PayloadLayer::new())
            .layer(directed);
        let address = serve(Router::new().fallback_service(gateway)).await;
        for version in VERSIONS {
            let response = send(address, version, "/", "{}").await;
            assert_eq!(
                response.status(),
                StatusCode::from_u16(status).unwrap(),
                "{upstream_response}"
            );
            let response = Received::of(response).await;
            if status == 200 {
                assert_eq!(response.body, r#"{"data":[]}"#);
                assert_eq!(response.head.headers["content-length"], "11", "{version:?}");
            } else {
                assert_eq!(response.json()["error"]["code"], code);
            }
        }
    }
}
