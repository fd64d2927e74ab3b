//! `RequestIdLayer`: which id, where it goes, and the span that everything runs in.

mod support;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use support::{Probe, ScriptedBody, Step};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    request_id::{RequestId, RequestIdLayer, ResponseBody, ResponseFuture},
};
use tracing::{
    Id, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};
use uuid::Uuid;

/// Of an id that is kept.
const LONGEST: usize = 128;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What one exchange shows: the ids that the inner service saw in the field and in the context,
/// and those of the answer.
#[derive(Debug, PartialEq)]
struct Ids {
    upstream: Vec<String>,
    context: Option<String>,
    client: Vec<String>,
}

impl Ids {
    /// The one id, the same everywhere.
    fn only(&self) -> &str {
        let id = self.context.as_deref().unwrap();
        assert_eq!((&*self.upstream, &*self.client), (&[id.to_owned()][..], &[id.to_owned()][..]));
        id
    }
}

fn ids(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all("x-request-id").iter();
    all.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()).collect()
}

fn exchange(layer: &RequestIdLayer, request: Request<()>) -> Ids {
    let mut seen = (Vec::new(), None);
    let inner = |request: Request<()>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        seen = (ids(request.headers()), context.request_id().map(str::to_owned));
        Response::new(())
    };
    let mut service = layer.layer(Once(inner));
    let response = now(service.call(request)).unwrap();
    let client = ids(response.headers());
    drop(service);
    Ids { upstream: seen.0, context: seen.1, client }
}

/// A service out of a closure that need be neither `Clone` nor asked whether it is ready.
struct Once<F>(F);

impl<F, B, R> Service<Request<B>> for Once<F>
where
    F: FnMut(Request<B>) -> Response<R>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok((self.0)(request)))
    }
}

/// The output of a future that does not wait.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn request(inbound: &[&str]) -> Request<()> {
    let mut request = Request::new(());
    for id in inbound {
        let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
        request.headers_mut().append("x-request-id", id);
    }
    request
}

fn is_ours(id: &str) -> bool {
    Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 7)
        && id.len() == 36
        && !id.contains(|c: char| c.is_ascii_uppercase())
}

// === which id ===

#[test]
fn a_request_without_id_gets_a_uuid_v7_everywhere() {
    let ids = exchange(&RequestIdLayer::new(), request(&[]));
    assert!(is_ours(ids.only()), "{ids:?}");
}

#[test]
fn an_inbound_id_of_nobody_we_trust_is_replaced() {
    let ids = exchange(&RequestIdLayer::new(), request(&["abc"]));
    assert!(is_ours(ids.only()), "{ids:?}");
}

#[test]
fn several_inbound_ids_become_one_of_ours_even_if_trusted() {
    let layer = RequestIdLayer::new().dangerous_trust_all_peers();
    for inbound in [&["abc", "def"][..], &["abc", "abc"], &["", "abc"]] {
        let ids = exchange(&layer, request(inbound));
        assert!(is_ours(ids.only()), "{ids:?}");
    }
}

#[test]
fn an_inbound_id_of_a_trusted_peer_is_kept() {
    #[derive(Clone)]
    struct Peer(&'static str);

    let layer = RequestIdLayer::new().trust_inbound(|extensions, headers| {
        extensions.get::<Peer>().is_some_and(|peer| peer.0 == "balancer")
            && headers.contains_key("via")
    });
    for (peer, via, kept) in
        [("balancer", true, true), ("balancer", false, false), ("other", true, false)]
    {
        let mut request = request(&["balancer-1.7_x"]);
        request.extensions_mut().insert(Peer(peer));
        if via {
            request.headers_mut().insert("via", HeaderValue::from_static("1.1 balancer"));
        }
        let ids = exchange(&layer, request);
        assert_eq!(ids.only() == "balancer-1.7_x", kept, "{ids:?}");
        assert!(kept || is_ours(ids.only()));
    }
}

/// The value is a slice of what the connection has read; a record may outlive the request.
#[test]
fn a_trusted_id_that_is_kept_keeps_no_buffer() {
    let buffer = Bytes::from(vec![b'a'; 64 * 1024]);
    let id = HeaderValue::from_maybe_shared(buffer.slice(..LONGEST)).unwrap();
    let mut context = None;
    let mut service = RequestIdLayer::new().dangerous_trust_all_peers().layer(service_fn(
        |request: Request<()>| {
            context = RequestContext::of(request.extensions()).cloned();
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        },
    ));
    let request = Request::builder().header("x-request-id", id).body(()).unwrap();
    let response = now(service.call(request)).unwrap();
    drop(service);
    assert_eq!(context.unwrap().request_id().unwrap(), "a".repeat(LONGEST));
    assert_eq!(response.headers()["x-request-id"], "a".repeat(LONGEST));
    assert!(buffer.is_unique());
}

#[test]
fn an_id_that_is_not_well_formed_is_replaced_without_asking_for_trust() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let layer = RequestIdLayer::new().trust_inbound(move |_, _| {
        counter.fetch_add(1, Relaxed);
        true
    });
    let long = "a".repeat(129);
    for odd in ["", &long, "a b", "a,b", "a\tb", "a=b", "é", "a/b", "a:b", "\"a\"", "a;", "a+b"] {
        let ids = exchange(&layer, request(&[odd]));
        assert!(is_ours(ids.only()), "{odd:?} gave {ids:?}");
    }
    assert_eq!(asked.load(Relaxed), 0);

    let longest = "Z9._-".repeat(26)[..128].to_owned();
    for plain in ["a", "Z9._-", &longest, "0", "."] {
        assert_eq!(exchange(&layer, request(&[plain])).only(), plain);
    }
    assert_eq!(asked.load(Relaxed), 5);
}

proptest! {
    #[test]
    fn only_well_formed_ids_are_kept(id in "[A-Za-z0-9._-]{0,130}|[ -~é]{0,20}") {
        let legal = (1..=128).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let layer = RequestIdLayer::new().dangerous_trust_all_peers();
        let ids = exchange(&layer, request(&[&id]));
        prop_assert_eq!(ids.only() == id, legal);
    }
}

#[test]
fn the_id_of_the_inner_services_response_is_replaced() {
    let answers = |_: Request<()>| {
        let ids = [("x-request-id", "inner"), ("x-request-id", "again"), ("server", "inner")];
        let mut response = Response::new(());
        for (name, value) in ids {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    };
    let response = now(RequestIdLayer::new().layer(Once(answers)).call(request(&[]))).unwrap();
    let client = ids(response.headers());
    assert!(client.len() == 1 && is_ours(&client[0]), "{client:?}");
    assert_eq!(response.headers()["server"], "inner");
}

#[test]
fn errors_pass_untouched() {
    let inner = service_fn(|_: Request<()>| ready(Err::<Response<()>, _>("broken")));
    assert_eq!(
        now(RequestIdLayer::new().layer(inner).oneshot(request(&[]))).unwrap_err(),
        "broken"
    );
}

// === the ids of one layer ===

fn at(wall: SystemTime) -> (RequestIdLayer, FakeClock) {
    let clock = FakeClock::new(wall);
    (RequestIdLayer::new().clock(SharedClock::new(clock.clone())), clock)
}

fn next_id(layer: &RequestIdLayer) -> String {
    exchange(layer, request(&[])).only().to_owned()
}

fn milliseconds(id: &str) -> u64 {
    u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap()
}

#[test]
fn an_id_holds_the_clocks_time() {
    let (layer, clock) = at(UNIX_EPOCH + Duration::from_millis(1_796_000_000_123));
    assert_eq!(milliseconds(&next_id(&layer)), 1_796_000_000_123);
    clock.advance(Duration::from_millis(77));
    assert_eq!(milliseconds(&next_id(&layer)), 1_796_000_000_200);
}

#[test]
fn ids_within_a_millisecond_never_repeat_and_sort() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let made: Vec<_> = (0..5_000).map(|_| next_id(&layer)).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(milliseconds(&made[0]), milliseconds(&made[4_999]));
}

#[test]
fn ids_sort_when_the_clock_is_set_back() {
    let (layer, clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let before = next_id(&layer);
    clock.set_wall(UNIX_EPOCH + Duration::from_secs(1_000));
    let after = next_id(&layer);
    assert!(before < after && milliseconds(&before) == milliseconds(&after));

    // A clock that was never set at all still numbers.
    let (layer, _clock) = at(UNIX_EPOCH - Duration::from_secs(1));
    assert!(next_id(&layer) < next_id(&layer));
}

#[test]
fn services_and_clones_of_one_layer_go_on_where_the_others_are() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let made: Vec<_> = (0..100).map(|_| next_id(&layer.clone())).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn threads_never_make_the_same_id() {
    let (layer, _clock) = at(UNIX_EPOCH + Duration::from_secs(1_796_000_000));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let layer = layer.clone();
            thread::spawn(move || (0..1_000).map(|_| next_id(&layer)).collect::<Vec<_>>())
        })
        .collect();
    let all: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(all.len(), 4_000);
}

// === with others ===

#[test]
fn a_nested_layer_changes_nothing() {
    let spans = Spans::default();
    let _listens = tracing::subscriber::set_default(spans.clone());
    let inner = |request: Request<()>| {
        assert_eq!(ids(request.headers()).len(), 1);
        let mut response = Response::new(());
        let context = RequestContext::of(request.extensions()).unwrap();
        response.extensions_mut().insert(context.request_id().unwrap().to_owned());
        response
    };
    let nested = RequestIdLayer::new().layer(Once(inner));
    let mut service = RequestIdLayer::new().dangerous_trust_all_peers().layer(Unnamed(nested));
    let response = now(service.call(request(&["outer"]))).unwrap();
    assert_eq!(ids(response.headers()), ["outer"]);
    assert_eq!(response.extensions().get::<String>().unwrap(), "outer");
    assert_eq!(spans.made().len(), 1);
}

/// Asserts that the layer inside leaves the answer's field to the one outside.
struct Unnamed<S>(S);

impl<S, B, R> Service<Request<B>> for Unnamed<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = now(self.0.call(request)).unwrap();
        assert!(!response.headers().contains_key("x-request-id"));
        ready(Ok(response))
    }
}

#[test]
fn an_id_that_the_context_has_already_stays() {
    let mut request = request(&["abc"]);
    RequestContext::ensure(request.extensions_mut())
        .set_request_id(HeaderValue::from_static("the service's own"));
    let layer = RequestIdLayer::new().dangerous_trust_all_peers();
    assert_eq!(exchange(&layer, request).only(), "the service's own");
}

#[test]
fn the_trace_is_that_of_a_single_legal_traceparent() {
    let spans = Spans::default();
    let _listens = tracing::subscriber::set_default(spans.clone());
    let other = TRACEPARENT.replace("4bf9", "5bf9");
    for (fields, expected) in [
        (&[TRACEPARENT][..], Some(TRACE)),
        (&[], None),
        (&["00-0-0-0"], None),
        (&[TRACEPARENT, &other], None),
    ] {
        let mut request = request(&[]);
        for field in fields {
            request.headers_mut().append("traceparent", field.parse().unwrap());
        }
        let context = RequestContext::ensure(request.extensions_mut());
        let sent_on = |request: Request<()>| {
            assert_eq!(request.headers().get_all("traceparent").iter().count(), fields.len());
            Response::new(())
        };
        now(RequestIdLayer::new().layer(Once(sent_on)).call(request)).unwrap();
        assert_eq!(context.trace_id().map(|id| id.as_str()), expected, "{fields:?}");

        let made = spans.made().pop().unwrap();
        let mut named = vec![("request_id".to_owned(), context.request_id().unwrap().to_owned())];
        named.extend(expected.map(|id| ("trace_id".to_owned(), id.to_owned())));
        assert_eq!(made, ("request".to_owned(), named));
    }
}

// === the span ===

/// Everything that asks which span it is in.
#[derive(Clone)]
struct Logs(Next);

#[derive(Clone, Copy)]
enum Next {
    Answers,
    Waits,
}

struct LogsFuture(Next);

struct LogsBody(usize);

impl Service<Request<()>> for Logs {
    type Response = Response<LogsBody>;
    type Error = Infallible;
    type Future = LogsFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> LogsFuture {
        tracing::info!("call");
        LogsFuture(self.0)
    }
}

impl Future for LogsFuture {
    type Output = Result<Response<LogsBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        tracing::info!("poll");
        match self.0 {
            Next::Answers => Poll::Ready(Ok(Response::new(LogsBody(2)))),
            Next::Waits => Poll::Pending,
        }
    }
}

impl Drop for LogsFuture {
    fn drop(&mut self) {
        tracing::info!("drop");
    }
}

impl Body for LogsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        tracing::info!("frame");
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

impl Drop for LogsBody {
    fn drop(&mut self) {
        tracing::info!("drop body");
    }
}

#[test]
fn call_polls_frames_and_drops_are_in_the_span() {
    let spans = Spans::default();
    let _listens = tracing::subscriber::set_default(spans.clone());
    let mut service = RequestIdLayer::new().layer(Logs(Next::Answers));
    let body = now(service.call(request(&[]))).unwrap().into_body();
    tracing::info!("outside");
    assert_eq!(now(body.collect()).unwrap().to_bytes(), "xx");
    assert_eq!(
        spans.events(),
        [
            ("call", Some(1)),
            ("poll", Some(1)),
            ("drop", Some(1)),
            ("outside", None),
            ("frame", Some(1)),
            ("frame", Some(1)),
            ("frame", Some(1)),
            ("drop body", Some(1)),
        ]
        .map(|(event, span)| (event.to_owned(), span))
    );
    assert_eq!(spans.open(), 0);
}

#[test]
fn a_cancelled_request_is_dropped_in_its_span() {
    let spans = Spans::default();
    let _listens = tracing::subscriber::set_default(spans.clone());
    let mut service = RequestIdLayer::new().layer(Logs(Next::Waits));
    let mut future = Box::pin(service.call(request(&[])));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    // Before its first poll:
    drop(service.call(request(&[])));
    let events = [("call", 1), ("poll", 1), ("drop", 1), ("call", 2), ("drop", 2)];
    assert_eq!(spans.events(), events.map(|(event, span)| (event.to_owned(), Some(span))));
    assert_eq!(spans.open(), 0);
}

#[test]
fn there_is_no_span_when_nobody_listens() {
    let spans = Spans { deaf: true, ..Spans::default() };
    let _listens = tracing::subscriber::set_default(spans.clone());
    let ids = exchange(&RequestIdLayer::new(), request(&[]));
    assert!(is_ours(ids.only()));
    assert_eq!(spans.made(), []);
}

/// A subscriber that keeps spans and events.
#[derive(Clone, Default)]
struct Spans {
    kept: Arc<Mutex<Kept>>,
    deaf: bool,
}

#[derive(Default)]
struct Kept {
    made: Vec<(String, Vec<(String, String)>)>,
    entered: Vec<u64>,
    events: Vec<(String, Option<u64>)>,
    handles: i64,
}

impl Spans {
    fn made(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.kept.lock().unwrap().made.clone()
    }

    fn events(&self) -> Vec<(String, Option<u64>)> {
        self.kept.lock().unwrap().events.clone()
    }

    fn open(&self) -> i64 {
        self.kept.lock().unwrap().handles
    }
}

struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }
}

impl Subscriber for Spans {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        !self.deaf
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> Id {
        let mut fields = Fields(Vec::new());
        span.record(&mut fields);
        let mut kept = self.kept.lock().unwrap();
        kept.made.push((span.metadata().name().to_owned(), fields.0));
        kept.handles += 1;
        Id::from_u64(kept.made.len() as u64)
    }

    fn record(&self, _span: &Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let mut kept = self.kept.lock().unwrap();
        let span = kept.entered.last().copied();
        kept.events.push((fields.0.remove(0).1, span));
    }

    fn enter(&self, span: &Id) {
        self.kept.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.kept.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.kept.lock().unwrap().handles += 1;
        id.clone()
    }

    fn try_close(&self, _id: Id) -> bool {
        let mut kept = self.kept.lock().unwrap();
        kept.handles -= 1;
        kept.handles == 0
    }
}

// === the contract ===

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    let service = RequestIdLayer::new().layer(Probe::new(|_: Request<()>| Response::new(())));
    for _ in 0..2 {
        service.clone().oneshot(request(&[])).await.unwrap();
    }
    let mut service = service;
    for _ in 0..2 {
        service.ready().await.unwrap().call(request(&[])).await.unwrap();
    }
    // Made ready and then dropped without a call.
    let mut other = service.clone();
    let _ready: &mut RequestId<_> = ServiceExt::<Request<()>>::ready(&mut other).await.unwrap();
}

#[test]
fn poll_ready_forwards_the_result_of_the_inner_service() {
    struct Never;

    impl Service<Request<()>> for Never {
        type Response = Response<()>;
        type Error = &'static str;
        type Future = Ready<Result<Response<()>, &'static str>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("closed"))
        }

        fn call(&mut self, _request: Request<()>) -> Self::Future {
            unreachable!("it was never ready")
        }
    }

    let mut service = RequestIdLayer::new().layer(Never);
    let polled = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Err("closed")));
}

#[tokio::test]
async fn frames_pass_untouched() {
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("of the trailers"),
    )]);
    let steps =
        || [Step::Data(b"ab"), Step::Pending, Step::Data(b""), Step::Trailers(trailers.clone())];
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new(steps()).announce(2))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(2));
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(format!("{:?}", frame.unwrap()));
    }
    let expected = [
        Frame::data(Bytes::from("ab")),
        Frame::data(Bytes::new()),
        Frame::trailers(trailers.clone()),
    ];
    assert_eq!(frames, expected.map(|frame| format!("{frame:?}")));

    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Error]))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let error: io::Error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "scripted");
}

#[tokio::test]
async fn the_size_and_the_end_are_those_of_the_inner_body() {
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"abc")))))
    });
    let response = RequestIdLayer::new().layer(inner).oneshot(request(&[])).await.unwrap();
    let mut body = response.into_body();
    assert!(body.size_hint().exact() == Some(3) && !body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert!(body.size_hint().exact() == Some(0) && body.is_end_stream());

    let unknown = RequestIdLayer::new().layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([]))))
    }));
    let body = unknown.oneshot(request(&[])).await.unwrap().into_body();
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (0, SizeHint::new().upper()));
}

#[test]
fn the_types_are_what_their_parts_are() {
    fn sound<T: Send + Sync + Unpin + 'static>() {}
    fn shown<T: Clone + std::fmt::Debug>() {}
    sound::<RequestIdLayer>();
    sound::<RequestId<()>>();
    sound::<ResponseFuture<()>>();
    sound::<ResponseBody<Full<Bytes>>>();
    shown::<RequestIdLayer>();
    shown::<RequestId<()>>();
}

// === what it costs ===

#[test]
fn a_request_costs_at_most_five_allocations() {
    let layer = RequestIdLayer::new();
    let mut service = layer.layer(Once(|request: Request<()>| {
        // The inner service hands its fields back, so that the answer's map is there already.
        let mut response = Response::new(());
        *response.headers_mut() = request.into_parts().0.headers;
        response
    }));
    let make = || {
        let mut request = request(&["inbound"]);
        for name in ["host", "accept", "content-type", "user-agent"] {
            request.headers_mut().insert(name, HeaderValue::from_static("value"));
        }
        request
    };
    // The first id of a thread seeds its random numbers.
    now(service.call(make())).unwrap();
    let request = make();
    let costs = allocation_counter::measure(|| {
        now(service.call(request)).unwrap();
    });
    assert_eq!(costs.count_total, 5, "{costs:?}");
}
