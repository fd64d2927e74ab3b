//! The layer between real connections.

use std::{convert::Infallible, net::SocketAddr};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::wire::{RawUpstream, Seen};

fn client() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn get(address: SocketAddr) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{address}/")).body(Empty::new()).unwrap()
}

const FIRST_CHUNK: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";

#[tokio::test]
async fn a_dropped_call_closes_the_connection_to_the_upstream() {
    let mut upstream = RawUpstream::answering(FIRST_CHUNK).await;
    let service = UpstreamLayer::new().layer(client());

    let response = service.clone().oneshot(get(upstream.address)).await.unwrap();
    let mut body = body(response);
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    assert!(matches!(upstream.next().await, Seen::Request(_)));
    drop(body);
    assert_eq!(upstream.next().await, Seen::Closed);
}

#[tokio::test]
async fn a_deadline_in_the_body_closes_the_connection_to_the_upstream() {
    let mut upstream = RawUpstream::answering(FIRST_CHUNK).await;
    let service = UpstreamLayer::new().idle_timeout(Duration::ZERO).layer(client());
    let response = service.oneshot(get(upstream.address)).await.unwrap();
    let mut body = body(response);
    let error = loop {
        if let Err(error) = body.frame().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error, BodyError::IdleTimeout);
    assert!(matches!(upstream.next().await, Seen::Request(_)));
    assert_eq!(upstream.next().await, Seen::Closed);
    drop(body);
}

/// A gateway of `UpstreamLayer` over a real client, on a real server.
async fn gateway(upstream: SocketAddr) -> SocketAddr {
    let service = UpstreamLayer::new().layer(client());
    let service =
        tower::util::MapRequest::new(service, move |_: Request<hyper::body::Incoming>| {
            get(upstream)
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    address
}

#[tokio::test]
async fn a_client_that_disconnects_closes_the_connection_to_the_upstream() {
    let mut upstream = RawUpstream::answering(FIRST_CHUNK).await;
    let gateway = gateway(upstream.address).await;
    let mut caller = TcpStream::connect(gateway).await.unwrap();
    caller.write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.windows(5).any(|window| window == b"first") {
        caller.read_buf(&mut read).await.unwrap();
    }
    assert!(matches!(upstream.next().await, Seen::Request(_)));
    drop(caller);
    assert_eq!(upstream.next().await, Seen::Closed);
}

#[tokio::test]
async fn connection_close_of_the_upstream_does_not_reach_the_caller() {
    let response = "HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::answering(response).await;
    let gateway = gateway(upstream.address).await;
    let mut caller = TcpStream::connect(gateway).await.unwrap();
    // Twice over one connection.
    for _ in 0..2 {
        caller.write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\nok") {
            assert_ne!(caller.read_buf(&mut read).await.unwrap(), 0);
        }
        let read = String::from_utf8(read).unwrap();
        assert!(read.starts_with("HTTP/1.1 200"), "{read}");
        assert!(!read.to_lowercase().contains("connection"), "{read}");
    }
}

#[tokio::test]
async fn interim_responses_of_the_upstream_do_not_reach_the_caller() {
    let response = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let upstream = RawUpstream::answering(response).await;
    let gateway = gateway(upstream.address).await;
    let mut caller = TcpStream::connect(gateway).await.unwrap();
    caller.write_all(b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nok") {
        assert_ne!(caller.read_buf(&mut read).await.unwrap(), 0);
    }
    assert!(read.starts_with(b"HTTP/1.1 200"), "{read:?}");
}

#[tokio::test]
async fn a_switch_of_protocols_is_a_502() {
    let response = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let upstream = RawUpstream::answering(response).await;
    let service = UpstreamLayer::new().layer(client());
    let response = service.oneshot(get(upstream.address)).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

/// A body that begins, never goes on, and tells when it is dropped.
struct Endless {
    first: Option<Bytes>,
    dropped: mpsc::UnboundedSender<()>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.first.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _nobody_looks = self.dropped.send(());
    }
}

#[tokio::test]
async fn over_http2_a_caller_that_leaves_resets_the_stream_and_keeps_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut dropped) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Relaxed);
            let tell = tell.clone();
            let service = hyper::service::service_fn(move |_| {
                let first = Some(Bytes::from("first"));
                ready(Ok::<_, Infallible>(Response::new(Endless { first, dropped: tell.clone() })))
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });

    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let service = UpstreamLayer::new().layer(client);
    for _ in 0..2 {
        let response = service.clone().oneshot(get(address)).await.unwrap();
        let mut body = body(response);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        drop(body);
        dropped.recv().await.unwrap();
    }
    assert_eq!(connections.load(Relaxed), 1);
}
