//! The id on every outcome under a real server: rejections, hits, streams and failures.

use std::net::SocketAddr;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_inference::{
    cache::{CacheLayer, Cacheable, Scope},
    hf::{HfTokenLayer, TokenSource},
    payload::PayloadLayer,
    secret::Secret,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use super::*;

/// Serves one gateway and returns its address.
async fn gateway() -> SocketAddr {
    let token = TokenSource::value(Secret::new("hf_example")).unwrap();
    let hf_token = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token);
    let header = |name: &'static str| http::HeaderName::from_static(name);
    let own_ids = |response: TestResponse| {
        response
            .header(header("x-request-id"), HeaderValue::from_static("of-the-upstream"))
            .header(header("x-amzn-requestid"), HeaderValue::from_static("of-the-upstream"))
    };
    let upstream = TestUpstream::new(own_ids(TestResponse::chat("Hello")))
        .then(own_ids(TestResponse::chat_stream(["a", "b"])))
        .then(own_ids(TestResponse::error(http::StatusCode::BAD_GATEWAY)));
    let cacheable = Cacheable::by(|request| request.headers().contains_key("x-store"));
    let service = Stack::new()
        .request_id(RequestIdLayer::new().amzn_request_id())
        .payload(PayloadLayer::new())
        .cache(CacheLayer::new("upstream", Scope::Shared).cacheable(cacheable))
        .upstream(UpstreamLayer::new())
        .hf_token(hf_token)
        .boxed(upstream);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let server = auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ended = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Sends a request on a connection of its own and returns the whole response.
async fn exchanged(address: SocketAddr, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nx-request-id: forged\r\n\
         {headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn the_id_is_on_every_outcome() {
    let address = gateway().await;
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let mut seen = std::collections::HashSet::new();
    for (outcome, headers, body, status, content) in [
        ("miss", "x-store: 1\r\n", chat, "200", "Hello"),
        ("hit", "x-store: 1\r\n", chat, "200", "Hello"),
        ("stream", "", chat, "200", "[DONE]"),
        ("rejection", "", "{", "400", "malformed"),
        ("failure of the upstream", "", chat, "502", ""),
    ] {
        let response = exchanged(address, headers, body).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{outcome}: {response}");
        assert!(response.contains(content), "{outcome}: {response}");
        let head = response.split("\r\n\r\n").next().unwrap();
        let of = |name: &str| {
            let values: Vec<_> = head
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .collect();
            assert_eq!(values.len(), 1, "{outcome}: {head}");
            values[0].to_owned()
        };
        let id = of("x-request-id");
        assert!(is_ours(&id), "{outcome}: {id}");
        assert_eq!(of("x-amzn-requestid"), id, "{outcome}");
        assert!(seen.insert(id), "{outcome}: the id is not new");
    }
}
