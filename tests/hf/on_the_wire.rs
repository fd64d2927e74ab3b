//! The layer between real connections.

use std::net::SocketAddr;

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::wire::RawUpstream;

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn wired(upstream: SocketAddr) -> HfTokenLayer {
    HfTokenLayer::new(format!("http://{upstream}").parse().unwrap(), source())
}

/// A gateway of both layers over a real client, on a real server of either HTTP version.
async fn gateway(upstream: SocketAddr) -> SocketAddr {
    let service = ServiceBuilder::new()
        .map_request(|request: Request<hyper::body::Incoming>| request.map(|_| Full::default()))
        .layer(UpstreamLayer::new())
        .layer(wired(upstream))
        .service(client());
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

/// Sends these bytes and reads one response until `end`.
async fn exchange(caller: &mut TcpStream, request: &str, end: &[u8]) -> String {
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert_ne!(caller.read_buf(&mut read).await.unwrap(), 0, "closed");
    }
    String::from_utf8(read).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn on_the_wire_the_token_replaces_the_callers_credentials() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    let request = "GET http://evil.example/v1/models?access_token=SPOOFED HTTP/1.1\r\n\
        Host: evil.example\r\nAuthorization: Bearer SPOOFED\r\nAUTHORIZATION: Basic SPOOFED\r\n\
        Cookie: a=SPOOFED\r\nX-Api-Key: SPOOFED\r\nX-HF-Bill-To: SPOOFED\r\n\
        X-Amz-Security-Token: SPOOFED\r\nX-Forwarded-User: SPOOFED\r\n\
        Proxy-Authorization: Basic SPOOFED\r\nConnection: X-Private, keep-alive\r\n\
        X-Private: SPOOFED\r\nX-Forwarded-Host: evil.example\r\nAccept: */*\r\n\r\n";
    exchange(&mut caller, request, b"\r\n\r\nok").await;

    let mut head = upstream.head().await;
    head[1..].sort_unstable();
    let expected = [
        "GET /v1/models HTTP/1.1".to_owned(),
        "accept: */*".to_owned(),
        format!("authorization: Bearer {TOKEN}"),
        format!("host: {}", upstream.address),
    ];
    assert_eq!(head, expected);
}

#[tokio::test]
async fn on_the_wire_the_path_keeps_its_bytes() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    for target in [
        "/",
        "/models/a%2Fb",
        "/a/../b",
        "//evil.example/x",
        "/a//b/./c",
        "/%e4%B8%ad?q=%2f&&x=y=z&",
        "/?",
        "/a;b=c,d!$'()*+@:",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        exchange(&mut caller, &request, b"\r\n\r\nok").await;
        assert_eq!(upstream.head().await[0], format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn on_the_wire_no_hop_by_hop_header_is_forwarded() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = gateway(upstream.address).await;
    let mut tried = 0;
    for connection in ["X-Hop", "x-hop", "keep-alive, X-HOP", " x-hop ,", ",,x-hop", "te, x-hop\t"]
    {
        for field in ["Connection", "connection", "CONNECTION"] {
            for te in ["", "te: trailers\r\n", "TE: trailers, deflate\r\n"] {
                for more in ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"] {
                    let mut caller = TcpStream::connect(gateway).await.unwrap();
                    let request = format!(
                        "GET / HTTP/1.1\r\nhost: gateway\r\n{field}: {connection}\r\n\
                         X-Hop: 1\r\n{te}{more}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
                    );
                    exchange(&mut caller, &request, b"\r\n\r\nok").await;
                    let mut head = upstream.head().await;
                    head.sort_unstable();
                    let mut expected = vec![
                        "GET / HTTP/1.1".to_owned(),
                        format!("authorization: Bearer {TOKEN}"),
                        format!("host: {}", upstream.address),
                    ];
                    if te == "te: trailers\r\n" {
                        expected.push("te: trailers".to_owned());
                    }
                    assert_eq!(head, expected, "{request}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 108);
}

#[tokio::test]
async fn on_the_wire_a_hostile_upstream_cannot_repeat_the_token_to_the_caller() {
    let response = format!(
        "HTTP/1.1 307 {TOKEN}\r\nlocation: https://evil.example/#{TOKEN}\r\n\
         x-echo: Bearer {TOKEN}\r\nset-cookie: t={TOKEN}\r\nset-cookie: a=b\r\n\
         trailer: x-late, x-fine\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nx-late: {TOKEN}\r\nx-fine: 1\r\n\r\n"
    );
    let upstream = RawUpstream::answering(response).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\n\r\n";
    let response = exchange(&mut caller, request, b"x-fine: 1\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 307 Temporary Redirect\r\n"), "{response}");
    assert!(!response.contains(TOKEN) && !response.contains("cookie"), "{response}");
}

#[tokio::test]
async fn a_caller_over_http2_reaches_an_upstream_over_http1() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = gateway(upstream.address).await;
    let caller = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get(format!("http://{gateway}/v1/models")).header("te", "trailers");
    let response = caller.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    let head = upstream.head().await;
    assert_eq!(head[0], "GET /v1/models HTTP/1.1");
    assert!(head.contains(&format!("host: {}", upstream.address)), "{head:?}");
}

#[tokio::test]
async fn over_http2_host_and_authority_are_both_the_origins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service =
            hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let host = &request.headers()["host"];
                let seen = format!("{} {}", request.uri(), host.to_str().unwrap());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    });
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get("http://evil.example/a%2Fb").header("host", "evil.example");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = wired(address).layer(client).oneshot(request).await.unwrap();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(seen, format!("http://{address}/a%2Fb {address}"));
}
