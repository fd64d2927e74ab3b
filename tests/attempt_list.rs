//! Each time that a request is sent to an upstream is an attempt with its facts: in the record, and in the
//! trace headers that the upstream gets.

#[path = "support/slow.rs"]
mod slow;

use std::{
    collections::HashSet,
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, Service, ServiceExt, layer::layer_fn, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    cache::{CacheLayer, Cacheable, Scope},
    client::HttpsClient,
    clock::FakeClock,
    context::{AbandonReason, Attempt, RequestContext, TraceContext},
    fallback::{FallbackLayer, Target},
    hf::{FetchedToken, HfTokenLayer, Stage, TokenSource},
    model::Profile,
    payload::{Payload, PayloadLayer},
    record::Record,
    request_id::RequestIdLayer,
    secret::Secret,
    test_util::{TestRequest, TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

use crate::slow::Slow;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a record says of the attempts.
#[derive(Clone, Debug)]
struct Seen {
    attempts: Vec<Attempt>,
    count: u32,
    upstream_time: Option<Duration>,
    upstream_request_id: Option<String>,
    span_id: Option<String>,
    operation: Option<&'static str>,
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Seen>>>);

impl Records {
    fn layer(&self, clock: &FakeClock) -> AccessLogLayer {
        let records = Arc::clone(&self.0);
        let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
            records.lock().unwrap().push(Seen {
                attempts: record.attempt_list().cloned().collect(),
                count: record.attempts(),
                upstream_time: record.upstream_time(),
                upstream_request_id: record.upstream_request_id().map(str::to_owned),
                span_id: record.span_id().map(str::to_owned),
                operation: record.operation(),
            });
        });
        layer.clock(clock.shared())
    }

    fn only(&self) -> Seen {
        let records = self.0.lock().unwrap();
        assert_eq!(records.len(), 1);
        records[0].clone()
    }
}

fn stage(name: &str) -> Stage {
    let token = TokenSource::value(Secret::new(format!("hf_tokenOf{name}"))).unwrap();
    Stage::new(name, format!("https://{name}.example").parse().unwrap(), token)
}

fn chat() -> Request<Payload> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("traceparent", TRACEPARENT)
        .body(Payload::buffered(body))
        .unwrap()
}

async fn send<S, B>(service: S, request: Request<Payload>) -> (StatusCode, Bytes)
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let Ok(response) = service.oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await;
    (status, body.map(|body| body.to_bytes()).unwrap_or_default())
}

fn traceparent(request: &TestRequest) -> TraceContext {
    TraceContext::from_traceparent(&request.headers()["traceparent"]).unwrap()
}

fn identified(response: TestResponse, id: &'static str) -> TestResponse {
    response.header("x-request-id".parse().unwrap(), HeaderValue::from_static(id))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn one_attempt_has_its_target_status_id_and_times() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let upstream = TestUpstream::new(identified(TestResponse::chat("Hello"), "req_1"));
    let inner = HfTokenLayer::stage(stage("a").profile(Profile::openai()))
        .layer(Slow { upstream: upstream.clone(), clock: clock.clone() });
    let service = UpstreamLayer::new().layer(inner);
    let service = RequestIdLayer::new().layer(records.layer(&clock).layer(service));
    let (status, _body) = send(service, chat()).await;
    assert_eq!(status, StatusCode::OK);

    let seen = records.only();
    assert_eq!((seen.attempts.len(), seen.count, seen.operation), (1, 1, Some("chat")));
    let attempt = &seen.attempts[0];
    assert_eq!(attempt.target.as_deref(), Some("a"));
    assert_eq!(attempt.upstream.as_deref(), Some("https://a.example"));
    assert_eq!(attempt.provider, Some("openai"));
    assert_eq!(attempt.status, Some(StatusCode::OK));
    assert_eq!(attempt.upstream_request_id.as_deref(), Some("req_1"));
    assert_eq!(attempt.started_after, Some(Duration::ZERO));
    assert_eq!((attempt.duration, seen.upstream_time), (Some(seconds(3)), Some(seconds(3))));
    assert_eq!(attempt.abandoned, None);
    assert!(attempt.usage.unwrap().total_tokens.is_some());
    assert_eq!(seen.upstream_request_id.as_deref(), Some("req_1"));

    // The parent of the upstream's spans is the attempt, which is below the span of the gateway.
    let sent = traceparent(&upstream.requests()[0]);
    assert_eq!(sent.trace_id().as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(attempt.span_id.as_ref(), Some(sent.parent_id()));
    assert_ne!(seen.span_id.as_deref(), Some(sent.parent_id().as_str()));
}

#[tokio::test]
async fn each_attempt_of_a_fallback_has_a_parent_id_of_its_own() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let failing = identified(TestResponse::error(StatusCode::BAD_GATEWAY), "req_1");
    let upstream = TestUpstream::new(failing.clone())
        .then(failing)
        .then(identified(TestResponse::chat("Hello"), "req_3"));
    let inner = HfTokenLayer::stage(stage("default"))
        .layer(Slow { upstream: upstream.clone(), clock: clock.clone() });
    let fallback = FallbackLayer::new([
        Target::new(stage("a")),
        Target::new(stage("b")).model("org/b"),
        Target::new(stage("c")),
    ]);
    let layers = (
        RequestIdLayer::new(),
        records.layer(&clock),
        PayloadLayer::new(),
        fallback,
        UpstreamLayer::new(),
    );
    let (status, _body) = send(layers.layer(inner), chat()).await;
    assert_eq!(status, StatusCode::OK);

    let seen = records.only();
    assert_eq!((seen.attempts.len(), seen.count), (3, 3));
    let of = |attempt: &Attempt| {
        let target = attempt.target.clone().unwrap().to_string();
        (target, attempt.abandoned, attempt.status.unwrap().as_u16(), attempt.duration.unwrap())
    };
    let facts: Vec<_> = seen.attempts.iter().map(of).collect();
    let failed = Some(AbandonReason::Status);
    assert_eq!(
        facts,
        [
            ("a".to_owned(), failed, 502, seconds(3)),
            ("b/org/b".to_owned(), failed, 502, seconds(3)),
            ("c".to_owned(), None, 200, seconds(3)),
        ]
    );
    assert_eq!(seen.upstream_time, Some(seconds(9)));
    let starts: Vec<_> = seen.attempts.iter().filter_map(|attempt| attempt.started_after).collect();
    assert!(starts.is_sorted() && starts.len() == 3, "{starts:?}");

    let sent: Vec<_> = upstream.requests().iter().map(traceparent).collect();
    let parents: HashSet<_> = sent.iter().map(|trace| *trace.parent_id()).collect();
    assert_eq!(parents.len(), 3);
    for (trace, attempt) in sent.iter().zip(&seen.attempts) {
        assert_eq!(trace.trace_id(), sent[0].trace_id());
        assert_eq!(Some(trace.parent_id()), attempt.span_id.as_ref());
    }
}

/// A retry of the program's own, which knows nothing of attempts.
#[derive(Clone)]
struct Retry<S>(S);

impl<S, B> Service<Request<Payload>> for Retry<S>
where
    S: Service<Request<Payload>, Response = Response<B>, Error: Send> + Clone + Send + 'static,
    S::Future: Send,
    B: Send,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let copy = || Request::from_parts(head.clone(), body.try_clone().unwrap());
            let first = service.clone().oneshot(copy()).await?;
            if !first.status().is_server_error() {
                return Ok(first);
            }
            drop(first);
            service.oneshot(copy()).await
        })
    }
}

#[tokio::test]
async fn a_retry_of_the_program_is_an_attempt_wherever_it_is() {
    let failing_once = || {
        TestUpstream::new(TestResponse::error(StatusCode::BAD_GATEWAY))
            .then(TestResponse::chat("Hello"))
    };
    for is_outside in [true, false] {
        let (records, clock) = (Records::default(), FakeClock::default());
        let upstream = failing_once();
        let slow = Slow { upstream: upstream.clone(), clock: clock.clone() };
        let outer = (RequestIdLayer::new(), records.layer(&clock), PayloadLayer::new());
        let hf_token = HfTokenLayer::stage(stage("a"));
        let (status, _body) = if is_outside {
            let inner = (layer_fn(Retry), UpstreamLayer::new(), hf_token).layer(slow);
            send(outer.layer(inner), chat()).await
        } else {
            let inner = (UpstreamLayer::new(), layer_fn(Retry), hf_token).layer(slow);
            send(outer.layer(inner), chat()).await
        };
        assert_eq!(status, StatusCode::OK);
        let seen = records.only();
        assert_eq!((seen.count, seen.attempts.len()), (2, 2), "{is_outside}");
        let statuses: Vec<_> = seen.attempts.iter().map(|attempt| attempt.status).collect();
        assert_eq!(statuses, [Some(StatusCode::BAD_GATEWAY), Some(StatusCode::OK)]);
        assert!(seen.attempts.iter().all(|attempt| attempt.abandoned.is_none()));
        assert_eq!(seen.upstream_time, Some(seconds(6)));
        let sent: HashSet<_> =
            upstream.requests().iter().map(|request| *traceparent(request).parent_id()).collect();
        assert_eq!(sent.len(), 2);
    }
}

#[tokio::test]
async fn attempts_have_parent_ids_of_their_own_without_a_record() {
    let upstream = TestUpstream::new(TestResponse::error(StatusCode::BAD_GATEWAY))
        .then(TestResponse::chat("Hello"));
    let fallback = FallbackLayer::new([Target::new(stage("a")), Target::new(stage("b"))]);
    let hf_token = HfTokenLayer::stage(stage("default"));
    let service = (RequestIdLayer::new(), fallback, UpstreamLayer::new(), hf_token);
    let mut request = chat();
    let context = RequestContext::ensure(request.extensions_mut());
    assert_eq!(send(service.layer(upstream.clone()), request).await.0, StatusCode::OK);
    let sent: Vec<_> = upstream.requests().iter().map(traceparent).collect();
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].parent_id(), sent[1].parent_id());
    assert_eq!(context.outcome().abandoned.len(), 1);
    assert_eq!(context.outcome().abandoned[0].span_id.as_ref(), Some(sent[0].parent_id()));
}

#[tokio::test]
async fn an_attempt_without_a_response_has_no_status_and_an_end() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let slow = {
        let clock = clock.clone();
        service_fn(move |_: Request<_>| {
            clock.advance(seconds(2));
            ready(Err::<Response<Full<Bytes>>, _>("refused"))
        })
    };
    let service = UpstreamLayer::new().layer(HfTokenLayer::stage(stage("a")).layer(slow));
    let service = RequestIdLayer::new().layer(records.layer(&clock).layer(service));
    assert_eq!(send(service, chat()).await.0, StatusCode::BAD_GATEWAY);
    let attempt = records.only().attempts.remove(0);
    assert_eq!((attempt.status, attempt.duration), (None, Some(seconds(2))));
}

#[tokio::test]
async fn an_attempt_ends_with_a_client_that_leaves() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let upstream = TestUpstream::new(TestResponse::chat_stream(["a", "b"]).then_stalls());
    let slow = Slow { upstream, clock: clock.clone() };
    let service = UpstreamLayer::new().layer(HfTokenLayer::stage(stage("a")).layer(slow));
    let service = RequestIdLayer::new().layer(records.layer(&clock).layer(service));
    let response = service.oneshot(chat()).await.unwrap();
    let mut body = Box::pin(response.into_body());
    body.frame().await.unwrap().unwrap();
    clock.advance(seconds(4));
    drop(body);
    clock.advance(seconds(4));
    let attempt = records.only().attempts.remove(0);
    assert_eq!((attempt.status, attempt.duration), (Some(StatusCode::OK), Some(seconds(7))));
}

#[tokio::test]
async fn a_hit_has_no_attempt_and_a_shared_call_has_those_of_its_leader() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let upstream = TestUpstream::new(identified(TestResponse::chat("Hello"), "req_1"));
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::by(|_| true));
    let layers = (
        RequestIdLayer::new(),
        records.layer(&clock),
        PayloadLayer::new(),
        cache,
        UpstreamLayer::new(),
        HfTokenLayer::stage(stage("a")),
    );
    let service = layers.layer(Slow { upstream: upstream.clone(), clock: clock.clone() });
    for _ in 0..2 {
        assert_eq!(send(service.clone(), chat()).await.0, StatusCode::OK);
    }
    assert_eq!(upstream.calls(), 1);
    let records = records.0.lock().unwrap().clone();
    assert_eq!(records[0].attempts.len(), 1);
    assert_eq!(records[0].attempts[0].upstream_request_id.as_deref(), Some("req_1"));
    assert_eq!(records[0].upstream_time, Some(seconds(3)));
    assert_eq!((records[1].attempts.len(), records[1].upstream_time), (0, None));
}

#[tokio::test]
async fn only_a_plain_id_of_the_upstream_is_recorded() {
    let long: &'static str = "a".repeat(129).leak();
    for (name, value, recorded) in [
        ("x-request-id", "req_1", Some("req_1")),
        ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy", Some("req_011CSHoEeqs5C35K2UUqR7Fy")),
        ("inference-id", "1", Some("1")),
        (
            "x-amzn-requestid",
            "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            Some("c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
        ),
        ("x-amz-cf-id", "abc==", Some("abc==")),
        ("x-request-id", "", None),
        ("x-request-id", "a b", None),
        ("x-request-id", "a\tb", None),
        ("x-request-id", "\u{e9}", None),
        ("x-request-id", long, None),
        ("x-request-id", "Bearer-hf_tokenOfa-", None),
        ("x-other-id", "1", None),
    ] {
        let (records, clock) = (Records::default(), FakeClock::default());
        let header = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let response = TestResponse::chat("Hello").header(name.parse().unwrap(), header);
        let slow = Slow { upstream: TestUpstream::new(response), clock: clock.clone() };
        let service = UpstreamLayer::new().layer(HfTokenLayer::stage(stage("a")).layer(slow));
        send(records.layer(&clock).layer(service), chat()).await;
        assert_eq!(records.only().upstream_request_id.as_deref(), recorded, "{name}: {value:?}");
    }
}

#[tokio::test]
async fn a_rejected_token_is_an_attempt_with_its_reason() {
    let (records, clock) = (Records::default(), FakeClock::default());
    let rejected = identified(TestResponse::error(StatusCode::UNAUTHORIZED), "req_1");
    let upstream =
        TestUpstream::new(rejected).then(identified(TestResponse::chat("Hello"), "req_2"));
    let fetches = Arc::new(AtomicUsize::new(0));
    let source = TokenSource::fetch(move || {
        let number = fetches.fetch_add(1, Relaxed);
        ready(Ok::<_, Infallible>(FetchedToken::new(Secret::new(format!("hf_token{number}")))))
    });
    let hf_token = HfTokenLayer::new("https://a.example".parse().unwrap(), source);
    let slow = Slow { upstream: upstream.clone(), clock: clock.clone() };
    let layers = (
        RequestIdLayer::new(),
        records.layer(&clock),
        PayloadLayer::new(),
        UpstreamLayer::new(),
        hf_token,
    );
    assert_eq!(send(layers.layer(slow), chat()).await.0, StatusCode::OK);
    let seen = records.only();
    let of = |attempt: &Attempt| {
        let id = attempt.upstream_request_id.clone().unwrap().to_string();
        (attempt.status.unwrap().as_u16(), attempt.abandoned, id, attempt.duration.unwrap())
    };
    let facts: Vec<_> = seen.attempts.iter().map(of).collect();
    assert_eq!(
        facts,
        [
            (401, Some(AbandonReason::TokenRejected), "req_1".to_owned(), seconds(3)),
            (200, None, "req_2".to_owned(), seconds(3)),
        ]
    );
    assert_eq!(seen.count, 2);
    let sent: Vec<_> = upstream.requests().iter().map(traceparent).collect();
    assert_ne!(sent[0].parent_id(), sent[1].parent_id());
}

/// Serves connections in turns. The first one ends at its second request.
async fn serve(listener: TcpListener, requests: Arc<Mutex<Vec<String>>>) {
    for connection in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        for request in 0.. {
            let mut received = Vec::new();
            while !received.ends_with(b"{}") {
                let mut bytes = [0; 1_024];
                match stream.read(&mut bytes).await {
                    Ok(count) if count > 0 => received.extend_from_slice(&bytes[..count]),
                    _ => break,
                }
            }
            if received.is_empty() {
                break;
            }
            requests.lock().unwrap().push(String::from_utf8(received).unwrap());
            if (connection, request) == (0, 1) {
                break;
            }
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(response).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_request_that_the_client_sends_once_more_is_an_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::default();
    let _server = tokio::spawn(serve(listener, Arc::clone(&requests)));
    let client: HttpsClient<Payload> = HttpsClient::builder().build_for().unwrap();
    let (records, clock) = (Records::default(), FakeClock::default());
    let layers =
        (RequestIdLayer::new(), records.layer(&clock), PayloadLayer::new(), UpstreamLayer::new());
    let service = layers.layer(client);
    for _ in 0..2 {
        let request = Request::post(format!("http://{address}/v1/chat/completions"))
            .header("content-type", "application/json")
            .header("traceparent", TRACEPARENT)
            .body(Payload::buffered("{}"))
            .unwrap();
        assert_eq!(send(service.clone(), request).await.0, StatusCode::OK);
        // The connection goes back to the pool.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }
    let seen = records.0.lock().unwrap().clone();
    assert_eq!((seen[0].attempts.len(), seen[0].count), (1, 1));
    assert_eq!((seen[1].attempts.len(), seen[1].count), (2, 2));
    let requests = requests.lock().unwrap().clone();
    let parents: HashSet<_> = requests
        .iter()
        .map(|request| {
            let header =
                request.lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
            header.to_owned()
        })
        .collect();
    assert_eq!((requests.len(), parents.len()), (3, 3), "{requests:?}");
    let last = &seen[1].attempts[1];
    assert!(parents.iter().any(|parent| parent.contains(last.span_id.unwrap().as_str())));
    assert_eq!((seen[1].attempts[0].status, last.status), (None, Some(StatusCode::OK)));
}
