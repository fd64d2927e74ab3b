//! Upstream slots, connections and clients that stall.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body::Frame;
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    client::{CHAT_STREAM, get, piece, post, send, send_over_http1},
    process::{Gateway, unless_hung},
    size,
    stub::{Folder, Served, Stub, gateway_with},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";

/// An upstream whose responses never end. It counts those that are open.
struct Endless {
    served: Served,
    open: watch::Receiver<usize>,
}

struct EndlessBody {
    event: Bytes,
    open: watch::Sender<usize>,
}

impl Endless {
    async fn start() -> Self {
        let (sender, open) = watch::channel(0);
        let respond = move |body: Body| {
            let open = sender.clone();
            async move {
                // The request is read to its end, as servers do.
                let _whole = axum::body::to_bytes(body, usize::MAX).await;
                open.send_modify(|open| *open += 1);
                let event = Bytes::from(format!("data: {}\n\n", "x".repeat(8_000)));
                let mut response = Response::new(Body::new(EndlessBody { event, open }));
                let event_stream = "text/event-stream".parse().unwrap();
                response.headers_mut().insert(header::CONTENT_TYPE, event_stream);
                response
            }
        };
        let served = Served::start(Router::new().fallback(respond)).await;
        Self { served, open }
    }

    async fn open(&mut self, count: usize) {
        let reached = self.open.wait_for(|open| *open == count);
        unless_hung(reached).await.expect("the upstream serves");
    }
}

impl http_body::Body for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.event.clone()))))
    }
}

impl Drop for EndlessBody {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
    }
}

/// A gateway in front of `upstream`, and tokens of an attacker and of an honest client.
struct Attacked {
    gateway: Gateway,
    attacker: String,
    honest: String,
    _folder: Folder,
}

impl Attacked {
    async fn start<'a>(
        name: &str,
        upstream: &str,
        flags: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let folder = Folder::new(name);
        let signer = Signer::es256();
        let jwks = folder.write("jwks.json", &signer.jwks());
        let gateway = gateway_with(&folder, upstream, &jwks, flags).await;
        let token_of = |subject: &str| {
            let mut claims = token::claims();
            claims["sub"] = subject.into();
            signer.sign(&claims)
        };
        let (attacker, honest) = (token_of("attacker"), token_of("honest"));
        Self { gateway, attacker, honest, _folder: folder }
    }

    /// The status that a request of the honest client has, after an event where it is served.
    async fn honest(&self) -> StatusCode {
        let request = post(PATH, &self.honest, CHAT_STREAM);
        let response = send(self.gateway.address, request).await;
        let status = response.status();
        if status == StatusCode::OK {
            piece(&mut response.into_body()).await.expect("an event");
        }
        status
    }

    /// Waits for this many records of responses that were cut off.
    async fn records(&mut self, count: usize) {
        let mut cut = 0;
        while cut < count {
            let record = self.gateway.said(r#""outcome":"cancelled""#).await;
            let of_attacker = record.contains(r#""subject":"attacker""#);
            assert!(record.contains(r#""status":200"#), "{record}");
            cut += usize::from(of_attacker);
        }
    }
}

/// A connection whose windows are closed: the gateway may send heads and nothing else.
async fn closed_windows(gateway: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(0);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// As HTTP/2 has it: without `host`.
fn http2_post(gateway: &Gateway, token: &str) -> Request<Full<Bytes>> {
    let mut request = post(&format!("{}{PATH}", gateway.url), token, CHAT_STREAM);
    request.headers_mut().remove(header::HOST);
    request
}

fn count(responses: &[http::Response<Incoming>], status: StatusCode) -> usize {
    responses.iter().filter(|response| response.status() == status).count()
}

/// What a caller gets that asks for all slots over eight connections, and then reads nothing.
async fn take_all_slots(all: &Attacked, slots: usize) -> Vec<http::Response<Incoming>> {
    let mut responses = Vec::new();
    for _ in 0..8 {
        let mut sender = closed_windows(all.gateway.address).await;
        let mut pending = JoinSet::new();
        for _ in 0..slots / 8 {
            unless_hung(sender.ready()).await.unwrap();
            let request = http2_post(&all.gateway, &all.attacker);
            pending.spawn(unless_hung(sender.send_request(request)));
        }
        while let Some(response) = pending.join_next().await {
            responses.push(response.unwrap().unwrap());
        }
    }
    responses
}

#[tokio::test]
async fn one_caller_leaves_a_quarter_of_the_slots_to_others() {
    let slots = size(32, 1_024);
    let upstream = Endless::start().await;
    let slots_flag = slots.to_string();
    let flags = ["--upstream-slots", &slots_flag, "--reader-timeout", "1h"];
    let all = Attacked::start("fair-slots", &upstream.served.url, flags).await;
    let responses = take_all_slots(&all, slots).await;
    assert_eq!(count(&responses, StatusCode::OK), slots / 4 * 3);
    assert_eq!(count(&responses, StatusCode::TOO_MANY_REQUESTS), slots / 4);
    assert_eq!(all.honest().await, StatusCode::OK);
}

#[tokio::test]
async fn closed_http2_windows_keep_no_slot() {
    let slots = size(32, 1_024);
    let mut upstream = Endless::start().await;
    let slots_flag = slots.to_string();
    let flags = ["--upstream-slots", &slots_flag, "--reader-timeout", "300ms"];
    let flags = flags.into_iter().chain(["--caller-share", "100"]);
    let mut all = Attacked::start("closed-windows", &upstream.served.url, flags).await;
    for _ in 0..2 {
        let responses = take_all_slots(&all, slots).await;
        let served = count(&responses, StatusCode::OK);
        assert_eq!(served + count(&responses, StatusCode::SERVICE_UNAVAILABLE), slots);
        // The windows are still closed, and the responses still there.
        all.records(served).await;
        upstream.open(0).await;
        assert_eq!(all.honest().await, StatusCode::OK);
        drop(responses);
    }
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// A field that is neither indexed nor coded (RFC 7541 section 6.2.2). Its name and value have fewer
/// than 127 bytes, or the value's length takes two or three more.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut length = vec![u8::try_from(value.len().min(127)).unwrap()];
    if value.len() >= 127 {
        let mut rest = value.len() - 127;
        while rest >= 128 {
            length.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        length.push(u8::try_from(rest).unwrap());
    }
    let name_length = u8::try_from(name.len()).unwrap();
    [&[0, name_length], name.as_bytes(), &length, value.as_bytes()].concat()
}

/// hyper does not poll a body while the client's window is closed, so it does not learn that the
/// body is gone. The gateway ends the connection, and with it the stream.
#[tokio::test]
async fn a_connection_with_a_closed_window_is_closed() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const INITIAL_WINDOW_SIZE: [u8; 6] = [0, 4, 0, 0, 0, 0];

    let mut upstream = Endless::start().await;
    let flags = ["--reader-timeout", "300ms", "--head-timeout", "300ms"];
    let all = Attacked::start("goaway", &upstream.served.url, flags).await;
    let head = [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", PATH),
        field(":authority", "gateway"),
        field("content-type", "application/json"),
        field("authorization", &format!("Bearer {}", all.attacker)),
    ];
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &INITIAL_WINDOW_SIZE),
        frame(HEADERS, 4, 1, &head.concat()),
        frame(DATA, 1, 1, CHAT_STREAM.as_bytes()),
    ];
    let mut stream = TcpStream::connect(all.gateway.address).await.unwrap();
    stream.write_all(&request.concat()).await.unwrap();
    upstream.open(1).await;
    upstream.open(0).await;

    let mut seen = Vec::new();
    while seen.last() != Some(&GOAWAY) {
        let mut head = [0; 9];
        unless_hung(stream.read_exact(&mut head)).await.unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        unless_hung(stream.read_exact(&mut vec![0; length])).await.unwrap();
        seen.push(head[3]);
    }
    // The head came, and nothing of the body.
    assert!(seen.contains(&HEADERS) && !seen.contains(&DATA), "{seen:?}");
    // It was not the silence after a ping that ended the connection.
    assert!(!seen.contains(&PING), "{seen:?}");
}

/// Sends a request over a connection whose client never reads.
async fn stalled_http1(gateway: SocketAddr, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // So that the buffers are full soon.
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = socket.connect(gateway).await.unwrap();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{CHAT_STREAM}",
        CHAT_STREAM.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The head has come.
    unless_hung(stream.readable()).await.unwrap();
    stream
}

/// Readers that stall give back what their principal may have in flight.
#[tokio::test]
async fn stalled_http1_readers_lose_slots_and_permits() {
    let permits = size(8, 32);
    let mut upstream = Endless::start().await;
    let permits_flag = permits.to_string();
    let flags = ["--max-in-flight", &permits_flag, "--reader-timeout", "300ms"];
    let mut all = Attacked::start("stalled-http1", &upstream.served.url, flags).await;
    for _ in 0..2 {
        let mut stalled = Vec::new();
        for _ in 0..permits {
            stalled.push(stalled_http1(all.gateway.address, &all.attacker).await);
        }
        assert_eq!(all.honest().await, StatusCode::OK);
        all.records(permits).await;
        upstream.open(0).await;
        // The permits are back as well: the next round takes them all.
        drop(stalled);
    }
}

#[tokio::test]
async fn a_client_whose_upstream_is_silent_is_not_cut_off() {
    let mut upstream = Stub::start().await;
    let flags = ["--reader-timeout", "300ms"];
    let all = Attacked::start("silent", &upstream.served.url, flags).await;
    let request = post(PATH, &all.honest, CHAT_STREAM);
    let (response, mut seen) = tokio::join!(send(all.gateway.address, request), async {
        let mut seen = upstream.seen().await;
        seen.answer("data: 1\n\n").await;
        seen
    });
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), "data: 1\n\n");
    // Several others come and are cut off meanwhile, so that more than the timeout passes.
    let mut endless = Endless::start().await;
    let others = Attacked::start("silent-others", &endless.served.url, flags).await;
    for _ in 0..3 {
        let _stalled = stalled_http1(others.gateway.address, &others.attacker).await;
        endless.open(0).await;
    }
    seen.answer("data: 2\n\n").await;
    assert_eq!(piece(&mut body).await.unwrap(), "data: 2\n\n");
}

/// Streams that are reset at once leave no call upstream.
#[tokio::test]
async fn rapid_resets_leave_nothing_upstream() {
    let resets = size(400, 5_000);
    let mut upstream = Endless::start().await;
    let flags = ["--upstream-slots", "32"];
    let all = Attacked::start("rapid-resets", &upstream.served.url, flags).await;
    let mut sent = 0;
    let mut connections = 0;
    while sent < resets {
        connections += 1;
        let mut sender = closed_windows(all.gateway.address).await;
        while sent < resets && unless_hung(sender.ready()).await.is_ok() {
            let request = http2_post(&all.gateway, &all.attacker);
            let response = sender.send_request(request);
            tokio::pin!(response);
            // Sends it, and resets it.
            tokio::select! {
                biased;
                _early = response.as_mut() => {}
                () = tokio::task::yield_now() => {}
            }
            sent += 1;
        }
        assert!(connections <= resets, "no connection was served");
    }
    assert_eq!(all.honest().await, StatusCode::OK);
    upstream.open(0).await;
}

/// A stranger: silent, or in the middle of a head.
async fn stranger(gateway: SocketAddr, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    if number.is_multiple_of(2) {
        // A connection that was closed to make room takes no more.
        let _closed = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await;
    }
    stream
}

async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // By an end or by a reset.
    let _ended = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
}

/// No deadline passes here: a stranger leaves because others need its place.
const NEVER: [&str; 2] = ["--head-timeout", "1h"];

#[tokio::test]
async fn idle_connections_make_room_for_active_clients() {
    let max = size(64, 4_096);
    let max_flag = max.to_string();
    let flags = ["--max-connections", &max_flag, "--max-connections-per-address", &max_flag];
    let mut upstream = Stub::start().await;
    let all =
        Attacked::start("strangers", &upstream.served.url, flags.into_iter().chain(NEVER)).await;
    // Two honest clients came first: one with a request in flight, one that keeps its connection.
    let request = post(PATH, &all.honest, CHAT_STREAM);
    let (response, mut seen) = tokio::join!(send(all.gateway.address, request), async {
        let mut seen = upstream.seen().await;
        seen.answer("data: 1\n\n").await;
        seen
    });
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), "data: 1\n\n");

    let mut strangers = JoinSet::new();
    for number in 0..2 * max {
        let stream = stranger(all.gateway.address, number).await;
        strangers.spawn(closed(stream));
    }
    // The honest clients that come now are served.
    for _ in 0..8 {
        assert_eq!(send(all.gateway.address, get("/healthz")).await.status(), StatusCode::OK);
    }
    // The gateway has closed all strangers that are more than its connections.
    for _ in 0..=max {
        unless_hung(strangers.join_next()).await.unwrap().unwrap();
    }
    // The request in flight was left alone.
    seen.answer("data: 2\n\n").await;
    assert_eq!(piece(&mut body).await.unwrap(), "data: 2\n\n");
}

// Other systems have no second loopback address unless they are told to.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_cannot_take_the_connections_of_others() {
    let most = size(8, 256);
    let most_flag = most.to_string();
    let flags = ["--max-connections-per-address", &most_flag];
    let upstream = Stub::start().await;
    let flags = flags.into_iter().chain(NEVER);
    let all = Attacked::start("one-address", &upstream.served.url, flags).await;

    let mut strangers = JoinSet::new();
    for number in 0..4 * most {
        let stream = stranger(all.gateway.address, number).await;
        strangers.spawn(closed(stream));
    }
    for _ in 0..3 * most {
        unless_hung(strangers.join_next()).await.unwrap().unwrap();
    }

    // Another address has its own places.
    let socket = TcpSocket::new_v4().unwrap();
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    socket.bind(SocketAddr::new(other, 0)).unwrap();
    let stream = socket.connect(all.gateway.address).await.unwrap();
    let response = send_over_http1(stream, get("/healthz")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_has_as_many_requests_in_flight_as_connections() {
    let most = size(8, 256);
    let most_flag = most.to_string();
    let flags = ["--max-connections-per-address", &most_flag];
    let mut upstream = Stub::start().await;
    let all = Attacked::start("busy-address", &upstream.served.url, flags).await;
    let mut in_flight = Vec::new();
    for _ in 0..most {
        let request = post(PATH, &all.attacker, CHAT_STREAM);
        let (response, seen) = tokio::join!(send(all.gateway.address, request), async {
            let mut seen = upstream.seen().await;
            seen.answer("data: 1\n\n").await;
            seen
        });
        assert_eq!(response.status(), StatusCode::OK);
        in_flight.push((response, seen));
    }
    closed(TcpStream::connect(all.gateway.address).await.unwrap()).await;
    // None was closed for the one that was refused.
    for (response, mut seen) in in_flight {
        let mut body = response.into_body();
        assert_eq!(piece(&mut body).await.unwrap(), "data: 1\n\n");
        seen.answer("data: 2\n\n").await;
        assert_eq!(piece(&mut body).await.unwrap(), "data: 2\n\n");
    }
}

#[tokio::test]
async fn a_principal_has_at_most_its_permits_in_flight() {
    let mut upstream = Stub::start().await;
    let flags = ["--max-in-flight", "2"];
    let all = Attacked::start("permits", &upstream.served.url, flags).await;
    let mut in_flight = Vec::new();
    for _ in 0..2 {
        let request = post(PATH, &all.attacker, CHAT_STREAM);
        let (response, seen) = tokio::join!(send(all.gateway.address, request), async {
            let mut seen = upstream.seen().await;
            seen.answer("data: 1\n\n").await;
            seen
        });
        in_flight.push((response, seen));
    }
    let refused = send(all.gateway.address, post(PATH, &all.attacker, CHAT_STREAM)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    let (honest, _seen) = tokio::join!(all.honest(), async {
        let mut seen = upstream.seen().await;
        seen.answer("data: 1\n\n").await;
        seen
    });
    assert_eq!(honest, StatusCode::OK);
}
