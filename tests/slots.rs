//! The slots of `UpstreamLayer`: the shares of callers, and the release of a slot by every end.

mod support;

use std::{
    convert::Infallible, future::ready, net::SocketAddr, pin::Pin, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use support::{ScriptedBody, Step};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    cache::{CacheLayer, Cacheable, Scope, SharedCalls},
    context::RequestContext,
    identity::{Identity, Proof},
    payload::{Payload, PayloadLayer},
    peer::{ForwardedHeader, PeerAddress},
    stack::Stack,
    upstream::{BodyError, UpstreamLayer},
};

/// The caller of a request.
#[derive(Clone, Default)]
struct From {
    subject: Option<&'static str>,
    address: Option<&'static str>,
    forwarded_for: Option<&'static str>,
}

fn subject(name: &'static str) -> From {
    From { subject: Some(name), ..From::default() }
}

fn address(address: &'static str) -> From {
    From { address: Some(address), ..From::default() }
}

impl From {
    fn request(&self, body: &'static str) -> Request<Full<Bytes>> {
        let mut request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let context = RequestContext::ensure(request.extensions_mut());
        if let Some(subject) = self.subject {
            let identity = Identity::new(Proof::Jwt, "https://issuer.example", subject);
            context.set_identity(Arc::new(identity));
        }
        if let Some(address) = self.address {
            request.extensions_mut().insert(address.parse::<SocketAddr>().unwrap());
        }
        if let Some(address) = self.forwarded_for {
            request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(address));
        }
        request
    }
}

/// Responses that stream until they are dropped.
fn stream<B>(_: Request<B>) -> std::future::Ready<Result<Response<ScriptedBody>, Infallible>> {
    ready(Ok(Response::new(ScriptedBody::new([Step::Data(b"one"), Step::Stall]))))
}

/// How many requests of `from` are served at once, at most 100, and the status of the first that is
/// not. What is served goes to `open`.
async fn fill<S, B>(
    service: &S,
    from: &From,
    body: &'static str,
    open: &mut Vec<Response<B>>,
) -> (usize, Option<StatusCode>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
{
    for served in 0..100 {
        let Ok(response) = service.clone().oneshot(from.request(body)).await;
        if response.status() != StatusCode::OK {
            return (served, Some(response.status()));
        }
        open.push(response);
    }
    (100, None)
}

const TOO_MANY: Option<StatusCode> = Some(StatusCode::TOO_MANY_REQUESTS);
const OVERLOADED: Option<StatusCode> = Some(StatusCode::SERVICE_UNAVAILABLE);

#[tokio::test]
async fn a_principal_leaves_a_quarter_of_the_slots_to_others() {
    let service = UpstreamLayer::new().max_in_flight(16).layer(service_fn(stream));
    let mut open = Vec::new();
    // Wherever the principal calls from.
    let greedy = From { address: Some("192.0.2.1:1"), ..subject("greedy") };
    assert_eq!(fill(&service, &greedy, "", &mut open).await, (12, TOO_MANY));
    let elsewhere = From { address: Some("192.0.2.2:1"), ..subject("greedy") };
    assert_eq!(fill(&service, &elsewhere, "", &mut open).await, (0, TOO_MANY));
    assert_eq!(fill(&service, &subject("honest"), "", &mut open).await, (4, OVERLOADED));
    // All slots are taken: nobody has too many of them.
    assert_eq!(fill(&service, &greedy, "", &mut open).await, (0, OVERLOADED));
    drop(open);
    assert_eq!(fill(&service, &subject("greedy"), "", &mut Vec::new()).await, (12, TOO_MANY));
}

#[tokio::test]
async fn a_caller_beyond_its_share_gets_429() {
    let service = UpstreamLayer::new().max_in_flight(4).layer(service_fn(stream));
    let greedy = subject("greedy");
    let mut open = Vec::new();
    assert_eq!(fill(&service, &greedy, "", &mut open).await, (3, TOO_MANY));
    let request = greedy.request("");
    let context = RequestContext::of(request.extensions()).unwrap().clone();
    let Ok(refused) = service.oneshot(request).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(context.outcome().rejection, Some("throttled"));
    assert_eq!(
        (context.outcome().limited_by.as_deref(), context.outcome().attempts),
        (Some("caller-share"), 0)
    );
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        problem["detail"],
        "too many requests of this caller are in flight: wait until one ends"
    );
}

#[tokio::test]
async fn without_an_identity_the_address_counts() {
    let service = UpstreamLayer::new().max_in_flight(16).layer(service_fn(stream));
    let mut open = Vec::new();
    assert_eq!(fill(&service, &address("192.0.2.1:1"), "", &mut open).await, (12, TOO_MANY));
    // Another port, and the same address as IPv6 maps it.
    for same in ["192.0.2.1:2", "[::ffff:192.0.2.1]:1"] {
        assert_eq!(fill(&service, &address(same), "", &mut open).await, (0, TOO_MANY));
    }
    assert_eq!(fill(&service, &address("192.0.2.2:1"), "", &mut open).await, (4, OVERLOADED));
}

#[tokio::test]
async fn an_ipv6_network_is_one_caller() {
    let service = UpstreamLayer::new().max_in_flight(16).layer(service_fn(stream));
    let mut open = Vec::new();
    assert_eq!(fill(&service, &address("[2001:db8::1]:1"), "", &mut open).await, (12, TOO_MANY));
    let same = address("[2001:db8::ffff:1]:1");
    assert_eq!(fill(&service, &same, "", &mut open).await, (0, TOO_MANY));
    let other = address("[2001:db8:0:1::1]:1");
    assert_eq!(fill(&service, &other, "", &mut open).await, (4, OVERLOADED));
}

#[tokio::test]
async fn behind_a_proxy_the_forwarded_address_counts() {
    let peer = PeerAddress::connection().behind(ForwardedHeader::XForwardedFor, ["10.0.0.0/8"]);
    let layer = UpstreamLayer::new().peer_address(peer.unwrap()).max_in_flight(16);
    let service = layer.layer(service_fn(stream));
    let of = |client| From { forwarded_for: Some(client), ..address("10.0.0.1:1") };
    let mut open = Vec::new();
    assert_eq!(fill(&service, &of("192.0.2.1"), "", &mut open).await, (12, TOO_MANY));
    assert_eq!(fill(&service, &of("192.0.2.2"), "", &mut open).await, (4, OVERLOADED));
}

#[tokio::test]
async fn unknown_callers_share_all_slots() {
    let service = UpstreamLayer::new().max_in_flight(16).layer(service_fn(stream));
    let counted = fill(&service, &From::default(), "", &mut Vec::new()).await;
    assert_eq!(counted, (16, OVERLOADED));
}

#[tokio::test]
async fn setters_work_in_any_order() {
    for (layer, first, second) in [
        (UpstreamLayer::new().caller_share(50).max_in_flight(8), 6, 2),
        (UpstreamLayer::new().max_in_flight(8).caller_share(50), 6, 2),
        (UpstreamLayer::new().max_in_flight(8).caller_share(100), 8, 0),
        (UpstreamLayer::new().max_in_flight(8).caller_share(255), 8, 0),
        (UpstreamLayer::new().max_in_flight(8).caller_share(0), 6, 1),
    ] {
        let service = layer.layer(service_fn(stream));
        let mut open = Vec::new();
        let counts = [
            fill(&service, &subject("first"), "", &mut open).await.0,
            fill(&service, &subject("second"), "", &mut open).await.0,
        ];
        assert_eq!(counts, [first, second], "{layer:?}");
    }
}

/// The slot of a shared call is the leader's, also after the leader has left.
#[tokio::test]
async fn the_slot_of_a_shared_call_counts_for_the_caller_that_started_it() {
    let all = Scope::by(|_| Some("all".to_owned()));
    let cache = CacheLayer::new("upstream", all)
        .cacheable(Cacheable::always())
        .shared_calls(SharedCalls::new().share_all());
    let service = Stack::new()
        .payload(PayloadLayer::new())
        .cache(cache)
        // A share of one slot.
        .upstream(UpstreamLayer::new().max_in_flight(4))
        .layer(service_fn(stream));
    let shared = r#"{"shared":true}"#;
    let (leader, follower) = (subject("leader"), subject("follower"));
    let Ok(led) = service.clone().oneshot(leader.request(shared)).await;
    let Ok(_followed) = service.clone().oneshot(follower.request(shared)).await;
    drop(led);

    // Two more of others: one slot is free, for a caller that has none.
    let mut open = Vec::new();
    for (number, other) in ["one", "two"].into_iter().enumerate() {
        let body = [r#"{"number":1}"#, r#"{"number":2}"#][number];
        open.push(service.clone().oneshot(subject(other).request(body)).await.unwrap());
    }
    let Ok(refused) = service.clone().oneshot(leader.request(r#"{"own":1}"#)).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let Ok(served) = service.oneshot(follower.request(r#"{"own":2}"#)).await;
    assert_eq!(served.status(), StatusCode::OK);
}

// === Request bodies that stop ===

/// A streamed body of which one piece comes, on its way to `upstream`.
async fn half_a_request(upstream: &TcpListener) -> (Stopped, TcpStream) {
    let client: Client<HttpConnector, Payload> = Client::builder(TokioExecutor::new()).build_http();
    let service = Stack::new()
        .payload(PayloadLayer::streamed().body_timeout(Duration::from_millis(100)))
        .upstream(UpstreamLayer::new().max_in_flight(1))
        .layer(client);
    let uri = format!("http://{}/", upstream.local_addr().unwrap());
    let request = move || {
        let body = ScriptedBody::new([Step::Data(b"one"), Step::Stall]);
        Request::post(&uri).body(body).unwrap()
    };
    let responding = tokio::spawn(service.clone().oneshot(request()));
    let (mut stream, _) = upstream.accept().await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"one\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    let is_free = Box::pin(async move {
        let Ok(response) = service.oneshot(request()).await;
        response.status() != StatusCode::SERVICE_UNAVAILABLE
    });
    let responding = Box::pin(async {
        let Ok(response) = responding.await.unwrap();
        response.map(|body| -> AnyBody { Box::pin(body) })
    });
    (Stopped { responding, is_free }, stream)
}

struct Stopped {
    responding: Pin<Box<dyn Future<Output = Response<AnyBody>>>>,
    is_free: Pin<Box<dyn Future<Output = bool>>>,
}

type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>;

/// Reads until the gateway's client has closed the connection.
async fn closed(mut stream: TcpStream) {
    let _ended = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_request_body_that_stops_before_the_head_ends_the_call() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stopped, stream) = half_a_request(&upstream).await;
    assert_eq!(stopped.responding.await.status(), StatusCode::BAD_GATEWAY);
    closed(stream).await;
    drop(upstream);
    assert!(stopped.is_free.await);
}

/// The deadline of the request body ends the response as well: nobody polls one for the other.
#[tokio::test]
async fn a_request_body_that_stops_after_the_head_ends_the_call() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stopped, mut stream) = half_a_request(&upstream).await;
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n";
    stream.write_all(head).await.unwrap();
    let response = stopped.responding.await;
    assert_eq!(response.status(), StatusCode::OK);
    // Nobody reads the response: the client's own task polls the request body.
    closed(stream).await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    assert!(body.frame().await.unwrap().is_err());
    drop(upstream);
    assert!(stopped.is_free.await);
}
