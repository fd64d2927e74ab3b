//! Cache entries: the memory that each takes.

use axum::{
    Router,
    body::to_bytes,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::{
    client::{bytes, post, send_over_http1},
    memory::{Resident, assert_grown_at_most},
    process::{Gateway, unless_hung},
    size,
    stub::{Folder, Served, gateway},
    token::{self, Signer},
};

const MIB: u64 = 1 << 20;

/// A response that a cache stores.
const KEPT: &str = r#"{"choices":[{"text":"a","finish_reason":"stop"}]}"#;

/// Answers what is sampled with a mebibyte, and all else with a few bytes.
async fn large_or_tiny(request: axum::extract::Request) -> Response {
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let sampled = body.windows(15).any(|part| part == br#""temperature":1"#);
    let text = if sampled { "x".repeat(1 << 20) } else { KEPT.to_owned() };
    let fields = [
        (header::CONTENT_TYPE.as_str(), "application/json"),
        ("x-inference-id", "3f1e1f2c-7a52-4c3c-9d86-0b4c6b0c2f5e"),
        ("x-compute-type", "gpu"),
    ];
    (fields, text).into_response()
}

fn chat(temperature: u8, seed: usize) -> String {
    format!(
        r#"{{"model":"demo","temperature":{temperature},"seed":{seed},"messages":[{{"role":"user","content":"hi"}}]}}"#
    )
}

/// A client over one connection.
struct Client {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    token: String,
}

impl Client {
    async fn connect(gateway: &Gateway, token: String) -> Self {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self { sender, token }
    }

    async fn ask(&mut self, body: &str) -> http::Response<Incoming> {
        let request: Request<_> = post("/v1/chat/completions", &self.token, body);
        unless_hung(self.sender.ready()).await.unwrap();
        unless_hung(self.sender.send_request(request)).await.unwrap()
    }
}

/// Each entry is a few hundred bytes, out of a read buffer that a large response has made large.
#[tokio::test]
async fn tiny_entries_after_large_responses_keep_no_buffers() {
    let entries = size(200, 8_000);
    let upstream = Served::start(Router::new().fallback(large_or_tiny)).await;
    let (folder, signer) = (Folder::new("kept"), Signer::es256());
    let flags = ["--cache-ttl", "1h", "--cache-max", "8MiB", "--access-log", "off"];
    let gateway = gateway(&folder, &upstream.url, &signer, flags).await;
    let mut client = Client::connect(&gateway, signer.sign(&token::claims())).await;
    // Buffers and tables have their size.
    for seed in 0..20 {
        bytes(client.ask(&chat(1, seed)).await).await;
    }
    let before = Resident::of(&gateway);
    for seed in 0..entries {
        assert_eq!(bytes(client.ask(&chat(1, seed)).await).await.len(), 1 << 20);
        let response = client.ask(&chat(0, seed)).await;
        assert_eq!(response.headers()["cache-status"], "tower-inference; fwd=miss");
        assert_eq!(bytes(response).await, KEPT);
    }
    if let Some(before) = before {
        assert_grown_at_most(&gateway, before, 16 * MIB);
    }
    // The honest client is given again what it asked last.
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = post("/v1/chat/completions", &client.token, &chat(0, entries - 1));
    let response = send_over_http1(stream, request).await;
    let status = response.headers()["cache-status"].to_str().unwrap();
    assert!(status.starts_with("tower-inference; hit"), "{status}");
    assert_eq!(bytes(response).await, KEPT);
}
