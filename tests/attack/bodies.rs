//! Request bodies in flight.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{
    BodyExt as _,
    channel::{Channel, Sender},
};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    client,
    memory::{Resident, assert_grown_at_most},
    process::{Gateway, unless_hung},
    size,
    stub::{self, Folder, Served},
    token::{self, Signer},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;
/// As many streams as a connection of the gateway may have.
const STREAMS: usize = 128;

/// An upstream that answers once it has read the request.
async fn upstream() -> Served {
    let answer = |request: axum::extract::Request| async {
        request.into_body().collect().await.unwrap();
        ([(header::CONTENT_TYPE, "application/json")], "{}")
    };
    Served::start(axum::Router::new().fallback(answer)).await
}

struct Attacked {
    gateway: Gateway,
    token: String,
    _parts: (Folder, Served),
}

impl Attacked {
    async fn start<const N: usize>(name: &str, flags: [&str; N]) -> Self {
        let (folder, served, signer) = (Folder::new(name), upstream().await, Signer::es256());
        let gateway = stub::gateway(&folder, &served.url, &signer, flags).await;
        let token = signer.sign(&token::claims());
        Self { gateway, token, _parts: (folder, served) }
    }

    async fn connect(&self) -> SendRequest<Channel<Bytes, Infallible>> {
        let stream = TcpStream::connect(self.gateway.address).await.unwrap();
        let executor = TokioExecutor::new();
        let handshake = http2::handshake(executor, TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A request that announces `length` bytes.
    fn request(
        &self,
        length: usize,
    ) -> (Request<Channel<Bytes, Infallible>>, Sender<Bytes, Infallible>) {
        let (sender, body) = Channel::new(1);
        let request = Request::post(format!("{}/v1/chat/completions", self.gateway.url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_LENGTH, length)
            .body(body)
            .unwrap();
        (request, sender)
    }

    /// A request as most clients send it, on a connection of its own.
    async fn honest(&self) -> StatusCode {
        let request = client::post("/v1/chat/completions", &self.token, client::CHAT);
        client::send(self.gateway.address, request).await.status()
    }
}

/// Sends `length` bytes of a body, or as many as are taken, and never ends it.
async fn send_unended(
    mut body: Sender<Bytes, Infallible>,
    length: usize,
) -> Sender<Bytes, Infallible> {
    let piece = Bytes::from(vec![b' '; 16 * KIB]);
    for _ in 0..length / piece.len() {
        if body.send_data(piece.clone()).await.is_err() {
            break;
        }
    }
    body
}

async fn assert_overloaded(response: Response<Incoming>) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{response:?}");
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(client::slug(response, StatusCode::SERVICE_UNAVAILABLE).await, "overloaded");
}

/// One connection held 1,293 MiB with bodies that never ended, and nothing was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_of_one_connection_stay_within_the_sum() {
    let (sum, length) = (size(8 * MIB, 64 * MIB), size(512 * KIB, 9 * MIB));
    let flag = format!("{sum}");
    let attacked = Attacked::start("attack-bodies", ["--max-bodies", &flag]).await;
    assert_eq!(attacked.honest().await, StatusCode::OK);
    let before = Resident::of(&attacked.gateway);

    let mut connection = attacked.connect().await;
    let (mut answers, mut bodies) = (JoinSet::new(), JoinSet::new());
    for _ in 0..STREAMS {
        let (request, body) = attacked.request(10 * MIB);
        unless_hung(connection.ready()).await.unwrap();
        answers.spawn(connection.send_request(request));
        bodies.spawn(send_unended(body, length));
    }
    // Three quarters of the sum are for bodies as long as these.
    let most_read = sum * 3 / 4 / length;
    for _ in 0..STREAMS - most_read {
        assert_overloaded(unless_hung(answers.join_next()).await.unwrap().unwrap().unwrap()).await;
    }
    // What passes while the others are unfinished is small.
    for _ in 0..8 {
        assert_eq!(attacked.honest().await, StatusCode::OK);
    }
    if let Some(before) = before {
        // What is read, and what an HTTP/2 connection and the allocator keep beside it.
        assert_grown_at_most(&attacked.gateway, before, (sum + 24 * MIB) as u64);
    }

    // A client that leaves gives its share back.
    drop((connection, answers, bodies));
    let mut connection = attacked.connect().await;
    loop {
        let (request, mut body) = attacked.request(length);
        unless_hung(connection.ready()).await.unwrap();
        let answer = tokio::spawn(connection.send_request(request));
        let mut text = vec![b' '; length];
        text[..2].copy_from_slice(b"{}");
        let _refused_half_way = body.send_data(text.into()).await;
        drop(body);
        let answer = unless_hung(answer).await.unwrap().unwrap();
        if answer.status() == StatusCode::OK {
            break;
        }
        // The gateway has not seen the end of the first connection yet.
        assert_overloaded(answer).await;
    }
}

/// A document of short values takes many times its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_weighed_by_their_nodes() {
    let (sum, length) = (size(8 * MIB, 64 * MIB), size(256 * KIB, 1900 * KIB));
    let flag = format!("{sum}");
    let attacked = Attacked::start("attack-nodes", ["--max-bodies", &flag]).await;
    assert_eq!(attacked.honest().await, StatusCode::OK);
    let before = Resident::of(&attacked.gateway);
    let mut tasks = JoinSet::new();
    let text = Bytes::from(format!("[0{}]", ",0".repeat(length / 2 - 2)));
    for _ in 0..STREAMS / 4 {
        let request = client::post("/v1/chat/completions", &attacked.token, "");
        let request = request.map(|_| http_body_util::Full::new(text.clone()));
        let address = attacked.gateway.address;
        tasks.spawn(async move { client::send(address, request).await.status() });
    }
    let mut passed = 0;
    while let Some(status) = unless_hung(tasks.join_next()).await {
        match status.unwrap() {
            StatusCode::OK => passed += 1,
            status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    assert!(passed > 0);
    assert_eq!(attacked.honest().await, StatusCode::OK);
    if let Some(before) = before {
        assert_grown_at_most(&attacked.gateway, before, (sum + 24 * MIB) as u64);
    }
}

/// What a client may send before any of it is read, and what a response may wait in.
#[tokio::test]
async fn an_http2_connection_has_small_windows() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    let attacked = Attacked::start("attack-windows", []).await;
    let mut stream = TcpStream::connect(attacked.gateway.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.unwrap();

    let (mut settings, mut window) = (Vec::new(), None);
    while window.is_none() {
        let mut head = [0; 9];
        unless_hung(stream.read_exact(&mut head)).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        unless_hung(stream.read_exact(&mut payload)).await.unwrap();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
        match head[3] {
            SETTINGS if head[4] == 0 => {
                let each = payload.chunks(6).map(|one| (number(&one[..2]), number(&one[2..])));
                settings.extend(each);
            }
            // RFC 9113 section 6.9.2: the window of a connection begins with 65,535.
            WINDOW_UPDATE => window = Some(number(&payload) + 65_535),
            _ => {}
        }
    }
    let of = |id| settings.iter().find(|(own, _)| *own == id).map(|(_, value)| *value as usize);
    const MAX_CONCURRENT_STREAMS: u32 = 3;
    const INITIAL_WINDOW_SIZE: u32 = 4;
    const MAX_HEADER_LIST_SIZE: u32 = 6;
    assert_eq!(of(MAX_CONCURRENT_STREAMS), Some(STREAMS));
    assert_eq!(of(INITIAL_WINDOW_SIZE), Some(256 * KIB));
    assert_eq!(of(MAX_HEADER_LIST_SIZE), Some(16 * KIB));
    assert_eq!(window, Some(512 * KIB as u32));
}
