//! Limits by address on real connections: only addresses that guess credentials are rejected.

#[path = "../support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, Jwt, Keys},
    clock::{FakeClock, SharedClock},
    limits::{Limit, MemoryStore, Rate},
    peer::{ForwardedHeader, PeerAddress},
    rejection::{Refusal, Rejection, RejectionFormat},
    stack::Stack,
    throttle::ThrottleLayer,
};

static SIGNER: LazyLock<token::Signer> = LazyLock::new(token::Signer::es256);
static TOKEN: LazyLock<String> = LazyLock::new(|| SIGNER.sign(&token::claims()));

fn auth() -> AuthLayer {
    let keys = Keys::from_jwks(SIGNER.jwks().as_bytes()).unwrap();
    AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE))
}

/// Allows three failures and one more each minute, on the test's clock.
fn failures(address: PeerAddress) -> (ThrottleLayer, FakeClock) {
    let clock = FakeClock::new(UNIX_EPOCH + Duration::from_secs(1_795_424_887));
    let limit = Limit::per_peer(address, Rate::per_minute(1).burst(3)).failed_authentications();
    let store = MemoryStore::new().clock(SharedClock::new(clock.clone()));
    (ThrottleLayer::new(limit).store(store), clock)
}

/// A server that stops on drop.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Counts failures by address, outside authentication.
    async fn start(throttle: ThrottleLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let inner = service_fn(|_: Request<Incoming>| async {
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                });
                let stack = Stack::new().peer_throttle(throttle.clone()).auth(auth());
                let service = ServiceBuilder::new()
                    .map_request(move |mut request: Request<Incoming>| {
                        request.extensions_mut().insert(peer);
                        request
                    })
                    .service(stack.layer(inner));
                connections.spawn(async move {
                    let service = TowerToHyperService::new(service);
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = connection.await;
                });
            }
        });
        Self { address, task }
    }

    /// One request from an address of this machine.
    async fn get(
        &self,
        from: &str,
        token: Option<&str>,
        fields: &[(&'static str, &str)],
    ) -> Response<Bytes> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().uri("/").header("host", "gateway.example");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        Response::from_parts(parts, body)
    }
}

#[tokio::test]
async fn a_guessing_address_is_rejected_and_others_are_served() {
    let (layer, clock) = failures(PeerAddress::connection());
    let server = Server::start(layer.rejections(RejectionFormat::ApiGateway)).await;
    for _ in 0..3 {
        assert_eq!(server.get("127.0.0.1", Some("guess"), &[]).await.status(), 401);
    }
    let refused = server.get("127.0.0.1", Some("guess"), &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(refused.body(), r#"{"message":"Too Many Requests"}"#);
    // A limit by address is hidden.
    assert!(!refused.headers().contains_key("ratelimit"));
    // Even valid credentials are rejected from that address.
    assert_eq!(server.get("127.0.0.1", Some(&TOKEN), &[]).await.status(), 429);
    assert_eq!(server.get("127.0.0.2", Some(&TOKEN), &[]).await.status(), 200);

    clock.advance(Duration::from_secs(60));
    assert_eq!(server.get("127.0.0.1", Some(&TOKEN), &[]).await.status(), 200);
}

#[tokio::test]
async fn valid_and_missing_credentials_are_no_failures() {
    let (layer, _clock) = failures(PeerAddress::connection());
    let server = Server::start(layer).await;
    for _ in 0..10 {
        assert_eq!(server.get("127.0.0.1", Some(&TOKEN), &[]).await.status(), 200);
        assert_eq!(server.get("127.0.0.1", None, &[]).await.status(), 401);
    }
}

#[tokio::test]
async fn the_address_behind_a_proxy_is_the_one_it_adds() {
    for (field, name, address) in [
        (ForwardedHeader::XForwardedFor, "x-forwarded-for", ["203.0.113.7", "203.0.113.8"]),
        (ForwardedHeader::Forwarded, "forwarded", ["for=203.0.113.7", "for=203.0.113.8"]),
    ] {
        let peer = PeerAddress::connection().behind(field, ["127.0.0.1"]).unwrap();
        let (layer, _clock) = failures(peer);
        let server = Server::start(layer).await;
        let [guesser, other] = address;
        let mut statuses = Vec::new();
        for spoofed in ["1.2.3.4", "for=\"", "127.0.0.1", "unknown"] {
            let line = format!("{spoofed}, {guesser}");
            let fields = [(name, line.as_str())];
            statuses.push(server.get("127.0.0.1", Some("guess"), &fields).await.status().as_u16());
        }
        assert_eq!(statuses, [401, 401, 401, 429], "{name}");
        let fields = [(name, other)];
        assert_eq!(server.get("127.0.0.1", Some(&TOKEN), &fields).await.status(), 200);
        // A client that is no proxy cannot claim another address.
        for _ in 0..3 {
            let fields = [(name, other)];
            assert_eq!(server.get("127.0.0.2", Some("guess"), &fields).await.status(), 401);
        }
        assert_eq!(server.get("127.0.0.2", Some("guess"), &[(name, "x")]).await.status(), 429);
        assert_eq!(server.get("127.0.0.1", Some(&TOKEN), &fields).await.status(), 200);
    }
}

#[tokio::test]
async fn parallel_attempts_leave_a_debt() {
    // Ten of three permits were taken. Seven are debt, and one more must grow.
    owes_after(10, 480).await;
}

/// The debt of a thousand parallel guesses lasts longer than a window, but a day at most.
#[tokio::test]
async fn a_thousand_parallel_attempts_stay_in_debt() {
    owes_after(1_000, (1_000 - 3 + 1) * 60).await;
    owes_after(2_000, 86_400 + 60).await;
}

/// Sends attempts in parallel before any gets its response. Returns the wait of the next attempt.
async fn owes_after(attempts_at_once: u64, seconds: u64) {
    let (layer, clock) = failures(PeerAddress::connection());
    // Delays the responses until all attempts are in.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let inner = {
        let gate = Arc::clone(&gate);
        service_fn(move |_: Request<()>| {
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await.unwrap());
                let mut response = Response::new(Empty::<Bytes>::new());
                response.extensions_mut().insert(Rejection::new(Refusal::InvalidToken));
                Ok::<_, Infallible>(response)
            }
        })
    };
    let service = layer.layer(inner);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..attempts_at_once {
        attempts.spawn(service.clone().oneshot(Request::new(())));
    }
    while layer.counts()[0].allowed < attempts_at_once {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    while let Some(ended) = attempts.join_next().await {
        assert_eq!(ended.unwrap().unwrap().status(), 200);
    }
    let refused = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], seconds.to_string());
    clock.advance(Duration::from_secs(seconds - 1));
    assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 429);
    clock.advance(Duration::from_secs(1));
    assert_eq!(service.oneshot(Request::new(())).await.unwrap().status(), 200);
}

#[tokio::test]
async fn only_rejections_of_credentials_count() {
    for refusal in Refusal::ALL.iter().copied() {
        let (layer, _clock) = failures(PeerAddress::connection());
        let service = layer.layer(service_fn(move |_: Request<()>| async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            response.extensions_mut().insert(Rejection::new(refusal));
            Ok::<_, Infallible>(response)
        }));
        for _ in 0..3 {
            service.clone().oneshot(Request::new(())).await.unwrap();
        }
        let status = service.oneshot(Request::new(())).await.unwrap().status();
        let counts = matches!(
            refusal.slug(),
            "invalid-request"
                | "invalid-token"
                | "expired-token"
                | "invalid-api-key"
                | "invalid-signature"
        );
        assert_eq!(status == 429, counts, "{}", refusal.slug());
    }
}
