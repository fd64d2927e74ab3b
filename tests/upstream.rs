//! `UpstreamLayer`: deadlines, slots and the errors and responses of the HTTP client.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Ready, pending, ready},
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready as try_ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use support::{Probe, ScriptedBody, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, Sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    rejection::{Refusal, Rejection, RejectionFormat},
    upstream::{BodyError, ResponseBody, Upstream, UpstreamLayer},
};
use wire::{Log, RawUpstream, Seen};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn request() -> Request<()> {
    Request::new(())
}

/// A service that responds to every request with a new response of `make`.
fn responding<R>(
    make: impl Fn() -> Response<R> + Clone,
) -> impl Service<Request<()>, Response = Response<R>, Error = io::Error, Future: Send> + Clone
where
    R: Send + 'static,
{
    service_fn(move |_: Request<()>| ready(Ok(make())))
}

/// The timer inside keeps the body where it is.
type Boxed<R> = Pin<Box<ResponseBody<R>>>;

fn body<R>(response: Response<ResponseBody<R>>) -> Boxed<R> {
    Box::pin(response.into_body())
}

/// What a body of these steps turns into.
async fn body_of(layer: UpstreamLayer, body: ScriptedBody) -> Boxed<ScriptedBody> {
    let body = std::sync::Mutex::new(Some(body));
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, io::Error>(Response::new(body.lock().unwrap().take().unwrap())))
    });
    Box::pin(layer.layer(service).oneshot(request()).await.unwrap().into_body())
}

fn poll_once<B: Body + Unpin>(body: &mut B) -> Poll<()> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())).map(drop)
}

// === Before the head ===

#[tokio::test(start_paused = true)]
async fn no_head_within_five_minutes_is_a_504() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let start = Instant::now();
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let refusal = response.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!(refusal, Refusal::UpstreamTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn head_and_total_timeouts_are_settable() {
    for layer in [
        UpstreamLayer::new().head_timeout(SECOND),
        UpstreamLayer::new().total_timeout(SECOND),
        UpstreamLayer::new().head_timeout(Duration::MAX).total_timeout(SECOND),
    ] {
        let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
        let start = Instant::now();
        let response = layer.layer(client).oneshot(request()).await.unwrap();
        assert_eq!((response.status().as_u16(), start.elapsed()), (504, SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeout_never_passes() {
    let layer = UpstreamLayer::new().head_timeout(Duration::MAX).total_timeout(Duration::MAX);
    let client = service_fn(async |_: Request<()>| {
        tokio::time::sleep(10_000 * MINUTE).await;
        Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let response = layer.layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 200);
}

/// Counts itself down when it goes.
#[derive(Debug)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_the_clients_future_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let client = service_fn(|_: Request<()>| {
        let alive = Alive::new(&alive);
        async move {
            let _alive = alive;
            pending::<io::Result<Response<Empty<Bytes>>>>().await
        }
    });
    let mut future = Box::pin(UpstreamLayer::new().layer(client).oneshot(request()));
    assert_eq!(future.as_mut().await.unwrap().status(), 504);
    assert_eq!(alive.load(Relaxed), 0);
    drop(future);
}

/// A client's error that says too much.
#[derive(Debug)]
struct Talkative(io::Error);

impl fmt::Display for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot connect to https://user:hf_secret@host/")
    }
}

impl Error for Talkative {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn a_clients_error_is_a_502_and_its_message_goes_nowhere() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let client = service_fn(|_: Request<()>| {
        let error = Talkative(io::ErrorKind::ConnectionRefused.into());
        ready(Err::<Response<Empty<Bytes>>, _>(error))
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    drop(guard);

    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(context.outcome().rejection, Some("upstream-unavailable"));
    assert_eq!((context.outcome().attempts, context.outcome().upstream_status), (1, None));
    let fields = format!("{:?}", response.headers());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(log.text().contains("WARN"), "{}", log.text());
    assert!(log.text().contains("ConnectionRefused"), "{}", log.text());
    for text in [log.text(), body, fields] {
        assert!(!text.contains("hf_secret") && !text.contains("host/"), "{text}");
    }
}

#[tokio::test]
async fn rejections_have_the_chosen_format() {
    let client = service_fn(|_: Request<()>| ready(Err::<Response<Empty<Bytes>>, _>(fmt::Error)));
    let layer = UpstreamLayer::new().rejections(RejectionFormat::ApiGateway);
    let response = layer.layer(client).oneshot(request()).await.unwrap();
    assert_eq!(response.headers()["x-amzn-errortype"], "InternalServerErrorException");
}

// === After the head ===

#[tokio::test(start_paused = true)]
async fn a_body_without_a_first_byte_within_five_minutes_fails() {
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new([Step::Stall])).await;
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::FirstByteTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_idle_for_five_minutes_fails() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Data(b"b"), Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    for expected in ["a", "b"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_moves_an_armed_timer() {
    let steps = [Step::Pending, Step::Data(b"a"), Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_deadlines_of_the_body_are_settable() {
    let layer = UpstreamLayer::new()
        .first_byte_timeout(SECOND)
        .idle_timeout(2 * SECOND)
        .total_timeout(Duration::MAX);
    let start = Instant::now();
    let mut body = body_of(layer.clone(), ScriptedBody::new([Step::Stall])).await;
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::FirstByteTimeout);
    assert_eq!(start.elapsed(), SECOND);

    let steps = [Step::Pending, Step::Data(b"a"), Step::Stall];
    let mut body = body_of(layer, ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn time_between_polls_does_not_count_as_idle() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Stall];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    tokio::time::advance(5 * MINUTE).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(5 * MINUTE).await;
    let start = Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::IdleTimeout);
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrived_in_time_are_delivered_after_the_deadline() {
    let steps = [Step::Data(b"a"), Step::Pending, Step::Data(b"b")];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    assert!(poll_once(&mut body).is_pending());
    tokio::time::advance(5 * MINUTE).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "b");
}

/// A frame of the same data again and again.
#[derive(Debug)]
struct Drip {
    data: &'static [u8],
    every: Duration,
    wait: Pin<Box<Sleep>>,
    alive: Option<Alive>,
}

impl Drip {
    fn new(data: &'static [u8], every: Duration) -> Self {
        Self { data, every, wait: Box::pin(tokio::time::sleep(every)), alive: None }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        try_ready!(self.wait.as_mut().poll(cx));
        let next = Instant::now() + self.every;
        self.wait.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.data)))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_active_response_ends_after_fifteen_minutes() {
    let service = responding(|| Response::new(Drip::new(b"token", 10 * SECOND)));
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let (mut body, start, mut frames) = (body(response), Instant::now(), 0);
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, frames), (BodyError::TotalTimeout, 89));
    assert_eq!(start.elapsed(), 15 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_total_starts_with_the_call_and_covers_a_body_that_never_waits() {
    let client = service_fn(async |_: Request<()>| {
        tokio::time::sleep(4 * MINUTE).await;
        let steps = (0..9).map(|_| Step::Data(b"x"));
        Ok::<_, io::Error>(Response::new(ScriptedBody::new(steps)))
    });
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    let mut body = body(response);
    tokio::time::advance(10 * MINUTE).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(MINUTE).await;
    assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyError::TotalTimeout);
}

#[tokio::test(start_paused = true)]
async fn empty_frames_do_not_reset_the_idle_timeout() {
    let service = responding(|| Response::new(Drip::new(b"", 10 * SECOND)));
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let (mut body, start) = (body(response), Instant::now());
    let error = loop {
        if let Err(error) = body.frame().await.unwrap() {
            break error;
        }
    };
    assert_eq!((error, start.elapsed()), (BodyError::FirstByteTimeout, 5 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_drops_the_upstreams_body_at_once() {
    let alive = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|_: Request<()>| {
        let mut body = Drip::new(b"", 60 * MINUTE);
        body.alive = Some(Alive::new(&alive));
        ready(Ok::<_, io::Error>(Response::new(body)))
    });
    let response = UpstreamLayer::new().layer(service).oneshot(request()).await.unwrap();
    let mut body = body(response);
    assert_eq!(alive.load(Relaxed), 1);
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(alive.load(Relaxed), 0);
    drop(body);
}

#[tokio::test]
async fn a_body_that_fails_is_a_body_error_without_its_message() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let steps = [Step::Data(b"a"), Step::Error];
    let mut body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    drop(guard);
    assert_eq!(error, BodyError::Broken);
    assert!(error.source().is_none());
    assert!(log.text().contains("WARN") && !log.text().contains("scripted"), "{}", log.text());
}

#[tokio::test]
async fn trailers_pass() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let steps = [Step::Data(b"a"), Step::Trailers(trailers.clone())];
    let body = body_of(UpstreamLayer::new(), ScriptedBody::new(steps)).await;
    assert_eq!(body.collect().await.unwrap().trailers(), Some(&trailers));
}

#[test]
fn a_body_error_names_its_deadline() {
    let errors = [
        (BodyError::FirstByteTimeout, "begin"),
        (BodyError::IdleTimeout, "idle"),
        (BodyError::TotalTimeout, "total"),
        (BodyError::Broken, "broke"),
    ];
    for (error, word) in errors {
        let message = error.to_string();
        assert!(message.contains(word) && message == message.to_lowercase(), "{message}");
    }
}

// === Slots ===

async fn is_free<S, R>(service: &Upstream<S>) -> bool
where
    S: Service<Request<()>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let response = service.clone().oneshot(request()).await.unwrap();
    response.status() != StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn a_request_beyond_the_slots_is_rejected_at_once() {
    let service = UpstreamLayer::new()
        .max_in_flight(2)
        .layer(responding(|| Response::new(ScriptedBody::new([Step::Stall]))));
    let first = service.clone().oneshot(request()).await.unwrap();
    let second = service.clone().oneshot(request()).await.unwrap();
    let context = RequestContext::new();
    let mut third = request();
    third.extensions_mut().insert(context.clone());
    let third = service.clone().oneshot(third).await.unwrap();
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(third.headers()["retry-after"], "1");
    assert_eq!((context.outcome().rejection, context.outcome().attempts), (Some("overloaded"), 0));
    drop(first);
    assert!(is_free(&service).await);
    drop(second);
}

#[tokio::test]
async fn slots_are_shared_by_all_services_of_a_layer() {
    let layer = UpstreamLayer::new().max_in_flight(1);
    let stalled = || Response::new(ScriptedBody::new([Step::Stall]));
    let _taken = layer.layer(responding(stalled)).oneshot(request()).await.unwrap();
    assert!(!is_free(&layer.clone().layer(responding(stalled))).await);
}

#[tokio::test]
async fn the_default_is_1024_slots() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().layer(client);
    let _in_flight: Vec<_> = (0..1_024).map(|_| service.call(request())).collect();
    assert!(!is_free(&service).await);
}

#[tokio::test]
async fn the_end_of_the_body_frees_the_slot_before_the_drop() {
    let service = UpstreamLayer::new()
        .max_in_flight(1)
        .layer(responding(|| Response::new(Full::new(Bytes::from("whole")))));
    let mut body = body(service.clone().oneshot(request()).await.unwrap());
    assert!(!is_free(&service).await);
    body.frame().await.unwrap().unwrap();
    assert!(is_free(&service).await);
    drop(body);
    // Given back once: a second time would make room for two.
    let kept = service.clone().oneshot(request()).await.unwrap();
    assert!(!is_free(&service).await);
    drop(kept);
}

#[tokio::test]
async fn a_response_without_a_body_frees_the_slot_at_once() {
    let service = UpstreamLayer::new()
        .max_in_flight(1)
        .layer(responding(|| Response::new(ScriptedBody::new([Step::Stall]))));
    let mut head = request();
    *head.method_mut() = Method::HEAD;
    let kept = service.clone().oneshot(head).await.unwrap();
    assert!(is_free(&service).await);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn every_other_end_frees_the_slot() {
    // A body that breaks, kept.
    let steps = || Response::new(ScriptedBody::new([Step::Error]));
    let service = UpstreamLayer::new().max_in_flight(1).layer(responding(steps));
    let mut body = body(service.clone().oneshot(request()).await.unwrap());
    body.frame().await.unwrap().unwrap_err();
    assert!(is_free(&service).await);

    // A call that is dropped, before and after its first poll.
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().max_in_flight(1).layer(client);
    drop(service.call(request()));
    let mut call = Box::pin(service.call(request()));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(!is_free(&service).await);
    drop(call);

    // A call that is late, kept.
    let mut late = Box::pin(service.call(request()));
    assert_eq!(late.as_mut().await.unwrap().status(), 504);
    let mut again = Box::pin(service.call(request()));
    assert_eq!(again.as_mut().await.unwrap().status(), 504);
}

#[tokio::test]
async fn a_panic_frees_the_slot() {
    let client = service_fn(|request: Request<()>| async move {
        assert_ne!(request.uri().path(), "/panic");
        Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let service = UpstreamLayer::new().max_in_flight(1).layer(client);
    let panicking = Request::get("/panic").body(()).unwrap();
    let call = tokio::spawn(service.clone().oneshot(panicking));
    assert!(call.await.unwrap_err().is_panic());
    assert!(is_free(&service).await);

    // In `call` itself.
    let panics = service_fn(|_: Request<()>| -> Ready<io::Result<Response<Empty<Bytes>>>> {
        panic!("in call")
    });
    let mut service = UpstreamLayer::new().max_in_flight(1).layer(panics);
    for _ in 0..2 {
        let call = std::panic::catch_unwind(AssertUnwindSafe(|| drop(service.call(request()))));
        assert!(call.is_err(), "refused, because the slot was lost");
    }
}

// === Readiness ===

/// A client that fails, waits or is ready as told, and counts what happens to it.
#[derive(Clone, Debug)]
struct Moody {
    ready: Poll<Result<(), ()>>,
    polled: Arc<AtomicUsize>,
}

impl Moody {
    fn new(ready: Poll<Result<(), ()>>) -> Self {
        Self { ready, polled: Arc::default() }
    }
}

impl Service<Request<()>> for Moody {
    type Response = Response<Empty<Bytes>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.polled.fetch_add(1, Relaxed);
        self.ready.map_err(|()| io::Error::other("closed"))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        assert_eq!(self.ready, Poll::Ready(Ok(())), "called though it is not ready");
        ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn a_client_that_failed_in_poll_ready_is_a_502_from_then_on() {
    let client = Moody::new(Poll::Ready(Err(())));
    let mut service = UpstreamLayer::new().layer(client.clone());
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }
    // What failed is not asked again (`tower_service::Service::poll_ready`); a clone of it is.
    assert_eq!(client.polled.load(Relaxed), 1);
    service.clone().ready().await.unwrap();
    assert_eq!(client.polled.load(Relaxed), 2);
}

#[test]
fn readiness_of_the_client_is_forwarded() {
    let mut service = UpstreamLayer::new().layer(Moody::new(Poll::Pending));
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[tokio::test]
async fn only_the_instance_that_was_ready_is_called() {
    let mut service = UpstreamLayer::new()
        .layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::new([Step::Data(b"x")]))));
    for _ in 0..2 {
        let _unready = service.clone();
        drop(service.ready().await.unwrap().call(request()));
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        drop(response.into_body());
    }
    service.clone().oneshot(request()).await.unwrap();
}

// === Request and response ===

#[tokio::test]
async fn the_context_has_the_attempt_and_the_upstreams_status() {
    let client = responding(|| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(context.outcome().attempts, 1);
    assert_eq!(context.outcome().upstream_status, Some(StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn a_rejection_of_an_inner_layer_is_not_the_upstreams_status() {
    let client = responding(|| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.extensions_mut().insert(Rejection::new(Refusal::Forbidden));
        response
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(context.outcome().upstream_status, None);
}

#[tokio::test]
async fn a_response_that_a_layer_reads_is_requested_without_coding() {
    for (is_read, expected) in [(false, "gzip"), (true, "identity")] {
        let client = service_fn(move |request: Request<()>| {
            let accepted: Vec<_> = request.headers().get_all("accept-encoding").iter().collect();
            assert_eq!(accepted, [expected]);
            ready(Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new())))
        });
        let context = RequestContext::new();
        if is_read {
            context.announce_response_is_read();
        }
        let mut request = Request::get("/").header("accept-encoding", "gzip").body(()).unwrap();
        request.extensions_mut().insert(context);
        let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn headers_and_version_of_a_connection_do_not_pass() {
    let client = service_fn(|request: Request<()>| {
        assert!(!request.headers().contains_key("connection"));
        assert!(!request.headers().contains_key("x-hop"));
        let response = Response::builder()
            .version(Version::HTTP_10)
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("te", "gzip")
            .header("trailer", "grpc-status")
            .header("content-type", "text/plain")
            .body(Empty::<Bytes>::new());
        ready(Ok::<_, io::Error>(response.unwrap()))
    });
    let request =
        Request::get("/").header("connection", "x-hop").header("x-hop", "1").body(()).unwrap();
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "trailer"]);
}

#[tokio::test]
async fn interim_responses_do_not_pass() {
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::EARLY_HINTS] {
        let client = responding(move || {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = status;
            response
        });
        let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{status}");
    }
}

#[tokio::test]
async fn redirects_pass_unchanged() {
    let client = responding(|| {
        let response = Response::builder().status(307).header("location", "https://a.example/");
        response.body(Empty::<Bytes>::new()).unwrap()
    });
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (307, &HeaderValue::from_static("https://a.example/"))
    );
}

// === Runtime and cost ===

#[test]
fn an_immediate_response_needs_no_runtime() {
    let client = responding(|| Response::new(Full::new(Bytes::from("x"))));
    let mut service = UpstreamLayer::new().layer(client);
    let mut call = Box::pin(service.call(request()));
    let response = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = response else { panic!("not ready") };
    assert!(poll_once(&mut body(response)).is_ready());
}

#[test]
fn waiting_outside_a_runtime_panics() {
    let client = service_fn(|_: Request<()>| pending::<io::Result<Response<Empty<Bytes>>>>());
    let mut service = UpstreamLayer::new().layer(client);
    let mut call = Box::pin(service.call(request()));
    let poll = AssertUnwindSafe(|| {
        let _pending = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    assert!(std::panic::catch_unwind(poll).is_err());
}

#[tokio::test]
async fn passing_and_waiting_allocate_nothing() {
    // Pending once, at the head and in the body; no box of its own.
    #[derive(Debug, Default)]
    struct Once(bool);
    impl Future for Once {
        type Output = Result<Response<ScriptedBody>, io::Error>;
        fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
            if std::mem::replace(&mut self.0, true) {
                let body = std::mem::take(&mut *BODY.lock().unwrap());
                return Poll::Ready(Ok(Response::new(body.unwrap())));
            }
            Poll::Pending
        }
    }
    static BODY: std::sync::Mutex<Option<ScriptedBody>> = std::sync::Mutex::new(None);

    let steps = [Step::Pending, Step::Data(b"a"), Step::Pending, Step::Data(b"b")];
    *BODY.lock().unwrap() = Some(ScriptedBody::new(steps));
    let mut service = UpstreamLayer::new().layer(service_fn(|_: Request<()>| Once::default()));
    let mut request = Request::get("/")
        .header("content-type", "application/json")
        .header("connection", "keep-alive")
        .body(())
        .unwrap();
    request.extensions_mut().insert(RequestContext::new());

    let counted = allocation_counter::measure(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut call = std::pin::pin!(service.call(request));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(Ok(response)) = call.poll(&mut cx) else { panic!("not ready") };
        let mut body = std::pin::pin!(response.into_body());
        let ready = (0..5).filter(|_| body.as_mut().poll_frame(&mut cx).is_ready()).count();
        assert_eq!(ready, 3);
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn auto_traits_follow_the_inner_types() {
    fn check<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    check::<UpstreamLayer>();
    check::<Upstream<()>>();
    check::<BodyError>();
    fn check_pinned<T: Send + Sync + fmt::Debug + 'static>() {}
    check_pinned::<tower_inference::upstream::ResponseFuture<Ready<()>>>();
    check_pinned::<ResponseBody<Empty<Bytes>>>();
}

// === On the wire ===

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
