//! How it ends.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::{
    client::{CHAT_STREAM, piece, post, send},
    process::{Gateway, unless_hung},
    stub::{Folder, Seen, Stub, gateway},
    token::{self, Signer},
};

/// A gateway with a stream in flight, of which the first event has come.
struct InFlight {
    gateway: Gateway,
    upstream: Seen,
    body: Incoming,
    _stub: Stub,
    _folder: Folder,
}

async fn in_flight(name: &str, drain: &str) -> InFlight {
    let folder = Folder::new(name);
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, ["--drain", drain]).await;
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT_STREAM);
    let (response, mut upstream) = tokio::join!(send(gateway.address, request), async {
        let mut upstream = stub.seen().await;
        upstream.answer("data: 1\n\n").await;
        upstream
    });
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), "data: 1\n\n");
    upstream.answer("data: 2\n\n").await;
    assert_eq!(piece(&mut body).await.unwrap(), "data: 2\n\n");
    InFlight { gateway, upstream, body, _stub: stub, _folder: folder }
}

#[tokio::test]
async fn a_stream_finishes_while_new_connections_are_refused() {
    let mut all = in_flight("drain", "60s").await;
    all.gateway.signal("TERM").await;
    all.gateway.complained("draining: 1 ").await;
    let refused = TcpStream::connect(all.gateway.address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    all.upstream.answer("data: [DONE]\n\n").await;
    drop(all.upstream);
    assert_eq!(unless_hung(all.body.collect()).await.unwrap().to_bytes(), "data: [DONE]\n\n");
    assert_eq!(all.gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut all = in_flight("second", "600s").await;
    all.gateway.signal("TERM").await;
    all.gateway.complained("draining").await;
    all.gateway.signal("TERM").await;
    assert_eq!(all.gateway.ended().await.code(), Some(0));
    assert!(unless_hung(all.body.collect()).await.is_err(), "the stream is cut");
    all.gateway.said(r#""outcome":"cancelled""#).await;
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let mut all = in_flight("limit", "100ms").await;
    all.gateway.signal("INT").await;
    all.gateway.complained("drain timeout").await;
    assert_eq!(all.gateway.ended().await.code(), Some(0));
    assert!(unless_hung(all.body.collect()).await.is_err(), "the stream is cut");
}

#[tokio::test]
async fn idle_connections_hold_nothing_up() {
    let mut gateway = Gateway::start(["--drain", "600s", "--access-log", "off"]).await;
    let _silent = TcpStream::connect(gateway.address).await.unwrap();
    gateway.signal("TERM").await;
    gateway.complained("drained").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}
