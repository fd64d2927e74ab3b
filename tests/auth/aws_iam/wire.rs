//! Signed requests over HTTP/1.1 and HTTP/2.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_inference::{
    auth::{AuthLayer, aws_iam::SignedBodyLayer},
    payload::{Payload, PayloadLayer},
};

use super::{
    super::support::{ScriptedBody, Step},
    sign::{DATE, Signing, sha256, sigv4},
};

/// Serves one connection and responds with the body of its request.
async fn serve() -> SocketAddr {
    let inner = service_fn(|request: Request<Payload>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let service = AuthLayer::new(sigv4()).layer(PayloadLayer::bytes().layer(inner));
    let service = TowerToHyperService::new(SignedBodyLayer::new().layer(service));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = Builder::new(TokioExecutor::new());
        let _closed = connection.serve_connection(TokioIo::new(stream), service).await;
    });
    address
}

async fn send(version: Version, signed: &str, sent: &'static str) -> (StatusCode, Bytes) {
    let host = serve().await;
    let canonical = format!(
        "POST\n/v1/chat\na=%252F\nhost:{host}\nx-amz-date:{DATE}\n\nhost;x-amz-date\n{}",
        sha256(signed.as_bytes())
    );
    // Without a length: HTTP/2 then has no header that tells of a body.
    let body = ScriptedBody::new([Step::Pending, Step::Data(sent.as_bytes())]);
    let request = Request::post(format!("http://{host}/v1/chat?a=%252F"))
        .version(version)
        .header("x-amz-date", DATE)
        .header("authorization", Signing::default().authorization(&canonical))
        .body(body)
        .unwrap();
    let mut client = Client::builder(TokioExecutor::new());
    let client = client.http2_only(version == Version::HTTP_2).build_http();
    let response = client.request(request).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn body_without_headers_about_it_is_hashed_too() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(send(version, "{}", "{}").await, (StatusCode::OK, "{}".into()));
        // The signature is for an empty body and for another one.
        for signed in ["", "[]"] {
            assert_eq!(send(version, signed, "{}").await.0, 401, "{version:?}");
        }
    }
}
