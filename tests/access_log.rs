//! `AccessLogLayer`: one record of each request, at its true end, whatever that is.

mod support;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    future::{Future, Ready, pending, ready},
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Probe, ScriptedBody, Step};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::{
        AccessLog, AccessLogLayer, Record, RecordSink, RequestBody, ResponseBody, ResponseFuture,
        Sink,
    },
    clock::{FakeClock, SharedClock},
    context::{CacheOutcome, RequestContext, StreamEnd, TraceId, Usage},
    identity::{Identity, Proof},
    rejection::{Refusal, Rejection, RejectionFormat},
};
use tracing::{
    Id, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

/// A layer whose lines the test reads.
struct Log {
    layer: AccessLogLayer,
    sink: Sink,
    written: Written,
    clock: FakeClock,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn new() -> Self {
        let written = Written::default();
        let sink = Sink::new(written.clone()).unwrap().drain_timeout(Duration::from_secs(60));
        let clock = FakeClock::new(UNIX_EPOCH + Duration::from_millis(1_795_424_887_006));
        let layer = AccessLogLayer::json(sink.clone()).clock(SharedClock::new(clock.clone()));
        Self { layer, sink, written, clock }
    }

    fn records(&self) -> Vec<Value> {
        assert!(self.sink.flush());
        let written = String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap();
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one record there is.
    fn record(&self) -> Value {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    /// Outcome, status (0: none) and bytes out of the one record there is.
    fn end(&self) -> (String, u64, u64) {
        let record = self.record();
        let number = |name: &str| record[name].as_u64().unwrap_or_default();
        (record["outcome"].as_str().unwrap().to_owned(), number("status"), number("bytes_out"))
    }
}

fn end(outcome: &str, status: u64, bytes_out: u64) -> (String, u64, u64) {
    (outcome.to_owned(), status, bytes_out)
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// A service that answers each request with what `make` gives.
fn answering<B, R>(
    make: impl Fn(Request<B>) -> Response<R> + Clone,
) -> impl Service<
    Request<B>,
    Response = Response<R>,
    Error = Infallible,
    Future = Ready<Result<Response<R>, Infallible>>,
> + Clone {
    service_fn(move |request| ready(Ok(make(request))))
}

fn trailers(grpc_status: &'static str) -> HeaderMap {
    let status = HeaderValue::from_static(grpc_status);
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)])
}

// === what a record holds ===

#[tokio::test]
async fn a_record_has_the_results_of_inner_layers() {
    let log = Log::new();
    let clock = log.clock.clone();
    let inner = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let clock = clock.clone();
        async move {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
            context.set_identity(Arc::new(identity.with_tenant("acme").with_claim("email", "e")));
            context.set_route("chat");
            context.set_stage("prod");
            context.set_model("meta-llama/Llama-3.3-70B-Instruct");
            context.set_target("meta-llama/Llama-3.3-70B-Instruct:together");
            context.set_upstream("https://router.huggingface.co".into());
            let mut usage = Usage::default();
            usage.prompt_tokens = Some(11);
            usage.completion_tokens = Some(22);
            usage.total_tokens = Some(33);
            let mut outcome = context.outcome();
            outcome.attempts = 2;
            outcome.upstream_status = Some(StatusCode::OK);
            outcome.usage = Some(usage);
            outcome.stream_end = Some(StreamEnd::Done);
            outcome.rejection = Some("throttled");
            outcome.limited_by = Some("identity".into());
            outcome.shadow_limited_by = Some("global".into());
            outcome.cache = Some(CacheOutcome::Miss);
            context.set_outcome(outcome);
            request.into_body().collect().await.unwrap();
            clock.advance(Duration::from_micros(1_500));
            Ok::<_, Infallible>(Response::new(ScriptedBody::new([
                Step::Data(b""),
                Step::Data(b"hel"),
                Step::Data(b"lo"),
                Step::Trailers(trailers("0")),
            ])))
        }
    });
    let layer = log.layer.clone().http_version().user_agent();
    let mut request = Request::post("/v1/chat/completions?key=secret")
        .header("user-agent", "curl/8")
        .header("authorization", "Bearer secret")
        .body(Full::new(Bytes::from("a prompt")))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_request_id(HeaderValue::from_static("id-7"));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    context.set_trace_id(TraceId::from_traceparent(&traceparent.parse().unwrap()).unwrap());

    let mut body = layer.layer(inner).oneshot(request).await.unwrap().into_body();
    for _ in 0..4 {
        log.clock.advance(Duration::from_millis(10));
        // The time of day does not matter to how long something took.
        log.clock.set_wall(UNIX_EPOCH);
        body.frame().await.unwrap().unwrap();
    }
    assert!(body.frame().await.is_none());
    drop(body);

    assert_eq!(
        log.record(),
        json!({
            "time": "2026-11-23T09:08:07.006Z",
            "request_id": "id-7",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "principal": {
                "proof": "jwt",
                "issuer": "https://issuer.example",
                "subject": "user-7",
            },
            "tenant": "acme",
            "method": "POST",
            "path": "/v1/chat/completions",
            "http_version": "1.1",
            "user_agent": "curl/8",
            "route": "chat",
            "stage": "prod",
            "status": 200,
            "grpc_status": 0,
            "refusal": "throttled",
            "limit": "identity",
            "limit_shadow": "global",
            "cache": "miss",
            "outcome": "trailers",
            "bytes_in": 8,
            "bytes_out": 5,
            "head_us": 1_500,
            "first_byte_us": 21_500,
            "total_us": 41_500,
            "upstream": "https://router.huggingface.co",
            "upstream_status": 200,
            "attempts": 2,
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "model_target": "meta-llama/Llama-3.3-70B-Instruct:together",
            "usage": { "prompt_tokens": 11, "completion_tokens": 22, "total_tokens": 33 },
            "stream_end": "done",
        })
    );
}

#[test]
fn members_without_a_value_are_left_out() {
    let log = Log::new();
    let mut request = get("/?key=secret");
    for (name, value) in [("user-agent", "curl/8"), ("authorization", "Bearer secret")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(request)).unwrap();
    assert_eq!(
        log.record(),
        json!({
            "time": "2026-11-23T09:08:07.006Z",
            "method": "GET",
            "path": "/",
            "status": 200,
            "outcome": "complete",
            "bytes_in": 0,
            "bytes_out": 0,
            "head_us": 0,
            "total_us": 0,
        })
    );
}

#[test]
fn the_slug_of_a_refusal_is_recorded() {
    let log = Log::new();
    let service = log.layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        let responder = RejectionFormat::Problem.for_request(&request);
        let rejection = Rejection::new(Refusal::InvalidToken);
        responder.respond::<Empty<Bytes>>(rejection, context)
    }));
    let response = now(service.oneshot(get("/"))).unwrap();
    let body = now(response.into_body().collect()).unwrap().to_bytes();
    let record = log.record();
    assert_eq!((&record["refusal"], &record["status"]), (&json!("invalid-token"), &json!(401)));
    assert_eq!(record["bytes_out"], body.len());
}

#[test]
fn a_path_has_no_query_and_an_end() {
    for (path, expected) in [
        ("/a?b=c", "/a".to_owned()),
        ("*", "*".to_owned()),
        ("https://host.example/a/b?c#d", "/a/b".to_owned()),
        (&format!("/{}", "a".repeat(3_000)), format!("/{}", "a".repeat(2_047))),
    ] {
        let log = Log::new();
        let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(get(path))).unwrap();
        assert_eq!(log.record()["path"], expected);
    }
    let log = Log::new();
    let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    let connect = Request::connect("host.example:443").body(Empty::<Bytes>::new()).unwrap();
    now(service.oneshot(connect)).unwrap();
    assert_eq!(log.record()["path"], "");
}

#[test]
fn long_values_are_cut() {
    let log = Log::new();
    let service = log.layer.clone().user_agent().layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        let long = "é".repeat(300);
        context.set_identity(Arc::new(
            Identity::new(Proof::ApiKey, &*long, &*long).with_tenant(&*long),
        ));
        context.set_model(&*long);
        context.set_target(&*long);
        context.set_route(long.clone());
        context.set_stage(long.clone());
        let mut outcome = context.outcome();
        outcome.limited_by = Some((&*long).into());
        outcome.shadow_limited_by = Some((&*long).into());
        context.set_outcome(outcome);
        context.set_upstream(long.into());
        Response::new(Empty::<Bytes>::new())
    }));
    let mut request = get("/");
    *request.method_mut() = "A".repeat(600).parse().unwrap();
    let agent = HeaderValue::try_from("a".repeat(600)).unwrap();
    request.headers_mut().insert("user-agent", agent);
    now(service.oneshot(request)).unwrap();
    let record = log.record();
    for value in [
        &record["method"],
        &record["principal"]["issuer"],
        &record["principal"]["subject"],
        &record["tenant"],
        &record["model"],
        &record["model_target"],
        &record["route"],
        &record["stage"],
        &record["limit"],
        &record["limit_shadow"],
        &record["upstream"],
        &record["user_agent"],
    ] {
        assert_eq!(value.as_str().unwrap().len(), 512);
    }
}

#[test]
fn each_version_of_http_has_its_number() {
    for (version, expected) in [
        (Version::HTTP_09, "0.9"),
        (Version::HTTP_10, "1.0"),
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
        (Version::HTTP_3, "3"),
    ] {
        let log = Log::new();
        let layer = log.layer.clone().http_version();
        let mut request = get("/");
        *request.version_mut() = version;
        let service = layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(request)).unwrap();
        assert_eq!(log.record()["http_version"], expected);
    }
}

#[test]
fn the_grpc_status_is_that_of_the_trailers_or_of_a_trailers_only_head() {
    for (head, trailer, expected) in [
        (None, Some("0"), json!(0)),
        (Some("16"), None, json!(16)),
        (Some("2"), Some("7"), json!(7)),
        (None, None, Value::Null),
        (None, Some("none"), Value::Null),
        (Some("-1"), None, Value::Null),
    ] {
        let log = Log::new();
        let service = log.layer.layer(answering(move |_| {
            let steps = trailer.map(|status| Step::Trailers(trailers(status)));
            let mut response = Response::new(ScriptedBody::new(steps));
            if let Some(status) = head {
                *response.headers_mut() = trailers(status);
            }
            response
        }));
        let response = now(service.oneshot(get("/"))).unwrap();
        now(response.into_body().collect()).unwrap();
        assert_eq!(log.record()["grpc_status"], expected);
    }
}

#[tokio::test]
async fn bytes_in_are_those_that_were_read() {
    for (reads, expected) in [(0, 0), (1, 3), (2, 3), (3, 5), (4, 5)] {
        let log = Log::new();
        let service = log.layer.layer(service_fn(
            move |request: Request<RequestBody<ScriptedBody>>| async move {
                let mut body = request.into_body();
                for _ in 0..reads {
                    let _frame = body.frame().await;
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            },
        ));
        let steps =
            [Step::Data(b"abc"), Step::Trailers(trailers("0")), Step::Data(b"de"), Step::Error];
        let request = Request::post("/").body(ScriptedBody::new(steps)).unwrap();
        service.oneshot(request).await.unwrap();
        assert_eq!(log.record()["bytes_in"], expected);
    }
}

#[test]
fn the_request_body_passes_untouched() {
    let log = Log::new();
    let service = log.layer.layer(answering(|request: Request<RequestBody<Full<Bytes>>>| {
        let mut body = request.into_body();
        assert!(body.size_hint().exact() == Some(3) && !body.is_end_stream());
        let frame = now(body.frame()).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert!(body.size_hint().exact() == Some(0) && body.is_end_stream());
        Response::new(Empty::<Bytes>::new())
    }));
    let request = Request::post("/").body(Full::new(Bytes::from("abc"))).unwrap();
    now(service.oneshot(request)).unwrap();
}

#[test]
fn two_layers_write_two_records_and_count_once() {
    let (outer, inner) = (Log::new(), Log::new());
    let service = outer.layer.layer(inner.layer.layer(answering(|request: Request<_>| {
        let body: RequestBody<RequestBody<Full<Bytes>>> = request.into_body();
        now(body.collect()).unwrap();
        Response::new(Full::new(Bytes::from("hello")))
    })));
    let request = Request::post("/").body(Full::new(Bytes::from("abc"))).unwrap();
    let response = now(service.oneshot(request)).unwrap();
    now(response.into_body().collect()).unwrap();
    for log in [outer, inner] {
        let record = log.record();
        assert_eq!((&record["bytes_in"], &record["bytes_out"]), (&json!(3), &json!(5)));
    }
}

#[test]
fn the_response_is_announced_to_be_read_unless_usage_is_ignored() {
    let layer = Log::new().layer;
    let ignoring = layer.clone().ignore_usage();
    for (layer, expected) in [(layer, true), (ignoring, false)] {
        let service = layer.layer(answering(move |request: Request<_>| {
            let context = RequestContext::of(request.extensions()).unwrap();
            assert_eq!(context.response_is_read(), expected);
            Response::new(Empty::<Bytes>::new())
        }));
        now(service.oneshot(get("/"))).unwrap();
    }
}

#[test]
fn usage_and_the_streams_end_are_read_in_passing() {
    let stream = || {
        let steps = [
            Step::Data(b"data: {\"choices\":[{\"delta\":{}}],\"usage\":null}\n\nda"),
            Step::Data(b"ta: {\"choices\":[],\"usage\":{\"total_tokens\":12}}\n\n"),
            Step::Data(b"data: [DONE]\n\n"),
        ];
        let response = Response::builder().header("content-type", "text/event-stream");
        response.body(ScriptedBody::new(steps)).unwrap()
    };
    for (usage, method, expected) in [
        (true, Method::POST, (json!({ "total_tokens": 12 }), json!("done"))),
        (true, Method::HEAD, (Value::Null, Value::Null)),
        (false, Method::POST, (Value::Null, Value::Null)),
    ] {
        let log = Log::new();
        let layer = log.layer.clone();
        let layer = if usage { layer } else { layer.ignore_usage() };
        let service = layer.layer(answering(move |_| stream()));
        let request = Request::builder().method(method).body(Empty::<Bytes>::new()).unwrap();
        let response = now(service.oneshot(request)).unwrap();
        now(response.into_body().collect()).unwrap();
        let record = log.record();
        assert_eq!((record["usage"].clone(), record["stream_end"].clone()), expected);
    }
}

// === the true end ===

/// The end that is recorded when the answer is read to its end, and when it is never polled.
fn ends(
    method: Method,
    make: impl Fn() -> Response<ScriptedBody> + Clone,
) -> [(String, u64, u64); 2] {
    [true, false].map(|read| {
        let log = Log::new();
        let make = make.clone();
        let service = log.layer.layer(answering(move |_| make()));
        let request = Request::builder().method(method.clone()).body(Empty::<Bytes>::new());
        let response = now(service.oneshot(request.unwrap())).unwrap();
        if read {
            let _result = now(response.into_body().collect());
        } else {
            drop(response);
        }
        log.end()
    })
}

fn scripted(status: u16, steps: impl IntoIterator<Item = Step>) -> Response<ScriptedBody> {
    Response::builder().status(status).body(ScriptedBody::new(steps)).unwrap()
}

#[test]
fn a_body_read_to_its_end_is_complete_and_one_never_polled_is_cancelled() {
    let got = ends(Method::GET, || scripted(200, [Step::Data(b"ab"), Step::Data(b"c")]));
    assert_eq!(got, [end("complete", 200, 3), end("cancelled", 200, 0)]);
}

#[test]
fn trailers_and_errors_are_ends() {
    let steps = || [Step::Data(b"ab"), Step::Trailers(trailers("0"))];
    let got = ends(Method::GET, || scripted(200, steps()));
    assert_eq!(got, [end("trailers", 200, 2), end("cancelled", 200, 0)]);

    let got = ends(Method::GET, || scripted(200, [Step::Data(b"ab"), Step::Error]));
    assert_eq!(got, [end("error", 200, 2), end("cancelled", 200, 0)]);
}

#[test]
fn answers_without_a_body_are_complete_with_their_head() {
    for (method, status) in
        [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304), (Method::GET, 101)]
    {
        let got = ends(method, || scripted(status, []));
        assert_eq!(got, [0, 1].map(|_| end("complete", status.into(), 0)));
    }
    let zero = || {
        let mut response = scripted(200, []);
        response.headers_mut().insert("content-length", HeaderValue::from_static("0"));
        response
    };
    assert_eq!(ends(Method::GET, zero), [0, 1].map(|_| end("complete", 200, 0)));
}

#[test]
fn the_announced_bytes_and_a_drop_are_complete() {
    let log = Log::new();
    let service = log.layer.layer(answering(|_| {
        Response::new(ScriptedBody::new([Step::Data(b"abc"), Step::Stall]).announce(3))
    }));
    let mut body = now(service.oneshot(get("/"))).unwrap().into_body();
    now(body.frame()).unwrap().unwrap();
    drop(body);
    assert_eq!(log.end(), end("complete", 200, 3));
}

#[test]
fn a_body_dropped_half_way_is_cancelled() {
    let log = Log::new();
    let service = log.layer.layer(answering(|_| scripted(200, [Step::Data(b"abc"), Step::Stall])));
    let mut body = now(service.oneshot(get("/"))).unwrap().into_body();
    now(body.frame()).unwrap().unwrap();
    assert_eq!(log.records().len(), 0);
    drop(body);
    assert_eq!(log.end(), end("cancelled", 200, 3));
}

#[test]
fn a_request_dropped_before_its_head_has_no_status() {
    for polls in [0, 1] {
        let log = Log::new();
        let mut service = log.layer.layer(service_fn(|request: Request<RequestBody<_>>| {
            let context = RequestContext::of(request.extensions()).unwrap().clone();
            context.set_route("chat");
            let said_as_it_goes = SaysOnDrop(context);
            async move {
                let _said = said_as_it_goes;
                pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
            }
        }));
        let mut future = Box::pin(service.call(get("/")));
        for _ in 0..polls {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut cx).is_pending());
        }
        log.clock.advance(Duration::from_micros(7));
        drop(future);
        assert_eq!(
            log.record(),
            json!({
                "time": "2026-11-23T09:08:07.006Z",
                "method": "GET",
                "path": "/",
                "route": "chat",
                "outcome": "cancelled",
                "bytes_in": 0,
                "bytes_out": 0,
                "total_us": 7,
                // What a layer further in says as it is dropped is part of the record.
                "stream_end": "cut",
            })
        );
    }
}

struct SaysOnDrop(RequestContext);

impl Drop for SaysOnDrop {
    fn drop(&mut self) {
        let mut outcome = self.0.outcome();
        outcome.stream_end = Some(StreamEnd::Cut);
        self.0.set_outcome(outcome);
    }
}

#[test]
fn an_error_of_the_service_passes_and_is_recorded() {
    let log = Log::new();
    let service = log.layer.layer(service_fn(|_: Request<RequestBody<_>>| {
        ready(Err::<Response<Empty<Bytes>>, _>("broken"))
    }));
    assert_eq!(now(service.oneshot(get("/"))).unwrap_err(), "broken");
    assert_eq!(log.end(), end("error", 0, 0));
}

#[test]
fn a_panic_that_unwinds_through_is_an_error() {
    type Answer = Response<ScriptedBody>;

    // In the call:
    let log = Log::new();
    let mut service = log.layer.layer(service_fn(
        |_: Request<RequestBody<Empty<Bytes>>>| -> Ready<Result<Answer, Infallible>> {
            panic!("scripted")
        },
    ));
    catch_unwind(AssertUnwindSafe(|| drop(service.call(get("/"))))).unwrap_err();
    assert_eq!(log.end(), end("error", 0, 0));

    // In the future:
    let log = Log::new();
    let mut service = log
        .layer
        .layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async { panic!("scripted") }));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _never: Result<Response<ResponseBody<ScriptedBody>>, Infallible> =
            now(service.call(get("/")));
    }));
    panicked.unwrap_err();
    assert_eq!(log.end(), end("error", 0, 0));

    // In the body:
    let log = Log::new();
    let service = log.layer.layer(answering(|_| Response::new(Panics)));
    let response = now(service.oneshot(get("/"))).unwrap();
    catch_unwind(AssertUnwindSafe(|| now(response.into_body().collect()))).unwrap_err();
    assert_eq!(log.end(), end("error", 200, 0));
}

#[derive(Debug)]
struct Panics;

impl Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("scripted");
    }
}

#[tokio::test]
async fn a_service_that_is_not_called_has_no_record() {
    let log = Log::new();
    let mut service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    ServiceExt::<Request<Empty<Bytes>>>::ready(&mut service).await.unwrap();
    drop(service);
    assert_eq!(log.records().len(), 0);
}

proptest! {
    /// Whatever the body does and wherever it is dropped: its frames are untouched, and there is
    /// one record, of the bytes that were handed on.
    #[test]
    fn each_request_is_recorded_exactly_once(
        steps in proptest::collection::vec(0_u8..5, 0..8),
        polls in 0_usize..12,
    ) {
        let body = || ScriptedBody::new(steps.iter().map(|step| match step {
            0 => Step::Data(b"abc"),
            1 => Step::Data(b""),
            2 => Step::Pending,
            3 => Step::Trailers(trailers("0")),
            _ => Step::Error,
        }).collect::<Vec<_>>());
        let records = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&records);
        let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
            kept.lock().unwrap().push(record.bytes_out());
        });
        let (answer, mut plain) = (Mutex::new(Some(body())), body());
        let service = layer.layer(service_fn(|_: Request<_>| {
            ready(Ok::<_, Infallible>(Response::new(answer.lock().unwrap().take().unwrap())))
        }));
        let mut watched = now(service.oneshot(get("/"))).unwrap().into_body();
        let (mut cx, mut bytes, mut ended) = (Context::from_waker(Waker::noop()), 0, false);
        for _ in 0..polls {
            let expected = pin!(&mut plain).poll_frame(&mut cx);
            let got = pin!(&mut watched).poll_frame(&mut cx);
            prop_assert_eq!(format!("{expected:?}"), format!("{got:?}"));
            match got {
                Poll::Ready(Some(Ok(frame))) if !ended => match frame.data_ref() {
                    Some(data) => bytes += data.len() as u64,
                    None => ended = true,
                },
                Poll::Ready(_) => ended = true,
                Poll::Pending => {}
            }
            prop_assert_eq!(records.lock().unwrap().len(), usize::from(ended));
        }
        drop(watched);
        prop_assert_eq!(&*records.lock().unwrap(), &[bytes]);
    }
}

// === hostile values ===

const LINE_SEPARATOR: char = '\u{2028}';

proptest! {
    #[test]
    fn no_value_can_break_a_line(
        path in "/[!-~]{0,60}",
        id in proptest::collection::vec(prop_oneof![32_u8..127, Just(b'\t')], 0..40),
        texts in proptest::array::uniform4(any::<String>()),
    ) {
        let Ok(request) = Request::get(&path).body(Empty::<Bytes>::new()) else { return Ok(()) };
        let mut request = request;
        let expected_path = request.uri().path().to_owned();
        let id = HeaderValue::from_bytes(&id).unwrap();
        let [issuer, subject, tenant, model] = texts;
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_request_id(id.clone());
        context.set_model(&*model);
        let identity = Identity::new(Proof::Other("\"\n"), &*issuer, &*subject);
        context.set_identity(Arc::new(identity.with_tenant(&*tenant)));

        let log = Log::new();
        let service = log.layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
        now(service.oneshot(request)).unwrap();
        let record = log.record();
        prop_assert_eq!(&record["path"], &json!(expected_path));
        prop_assert_eq!(&record["request_id"], &json!(id.to_str().unwrap()));
        prop_assert_eq!(&record["principal"], &json!({
            "proof": "\"\n", "issuer": issuer, "subject": subject,
        }));
        prop_assert_eq!((&record["tenant"], &record["model"]), (&json!(tenant), &json!(model)));

        let written = String::from_utf8(log.written.0.lock().unwrap().clone()).unwrap();
        let one_line = written.strip_suffix('\n').unwrap();
        prop_assert!(!one_line.chars().any(|c| c.is_control() || c == LINE_SEPARATOR));
    }
}

// === the tracing event ===

#[test]
fn a_record_is_one_event() {
    let events = Events::default();
    let _listens = tracing::subscriber::set_default(events.clone());
    let clock = FakeClock::new(UNIX_EPOCH);
    let layer = AccessLogLayer::new().clock(SharedClock::new(clock));
    let service = layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.set_request_id(HeaderValue::from_static("id-7"));
        context.set_identity(Arc::new(Identity::new(Proof::ApiKey, "keys", "user-7")));
        let mut usage = Usage::default();
        usage.total_tokens = Some(7);
        context.set_usage(usage);
        context.add_attempt();
        Response::new(Full::new(Bytes::from("hello")))
    }));
    let response = now(service.oneshot(get("/a?key=secret"))).unwrap();
    assert_eq!(events.seen().len(), 0);
    now(response.into_body().collect()).unwrap();

    let expected = [
        ("time", "1970-01-01T00:00:00.000Z"),
        ("request_id", "id-7"),
        ("principal.proof", "api-key"),
        ("principal.issuer", "keys"),
        ("principal.subject", "user-7"),
        ("method", "GET"),
        ("path", "/a"),
        ("status", "200"),
        ("outcome", "complete"),
        ("bytes_in", "0"),
        ("bytes_out", "5"),
        ("head_us", "0"),
        ("first_byte_us", "0"),
        ("total_us", "0"),
        ("attempts", "1"),
        ("usage.total_tokens", "7"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(events.seen(), [("tower_inference::access".to_owned(), BTreeMap::from(expected))]);
}

#[test]
fn no_record_is_made_without_a_subscriber() {
    let events = Events { deaf: true, ..Events::default() };
    let deaf = tracing::subscriber::set_default(events.clone());
    let clock = FakeClock::new(UNIX_EPOCH);
    let layer = AccessLogLayer::new().clock(SharedClock::new(clock));
    let service = layer.layer(answering(|request: Request<RequestBody<Empty<Bytes>>>| {
        assert!(RequestContext::of(request.extensions()).is_none());
        Response::new(Full::new(Bytes::from("hello")))
    }));
    let costs = |request: Request<Empty<Bytes>>| {
        let mut body = None;
        let costs = allocation_counter::measure(|| {
            body = Some(now(service.clone().oneshot(request)).unwrap().into_body());
        });
        assert_eq!(now(body.unwrap().collect()).unwrap().to_bytes(), "hello");
        costs.count_total
    };
    costs(get("/"));
    assert_eq!(costs(get("/")), 0);
    assert_eq!(events.seen(), []);

    // Accepted while nobody listens, it is not recorded even if somebody does at its end.
    let response = now(service.clone().oneshot(get("/"))).unwrap();
    drop(deaf);
    let events = Events::default();
    let _listens = tracing::subscriber::set_default(events.clone());
    now(response.into_body().collect()).unwrap();
    assert_eq!(events.seen(), []);
}

#[test]
fn a_sink_that_wants_no_records_gets_none() {
    struct Never;

    impl RecordSink for Never {
        fn enabled(&self) -> bool {
            false
        }

        fn record(&self, _record: &Record<'_>) {
            unreachable!("it wants none");
        }
    }

    let service = AccessLogLayer::sink(Never)
        .layer(answering(|_| Response::new(Full::new(Bytes::from("hello")))));
    let response = now(service.oneshot(get("/"))).unwrap();
    assert_eq!(now(response.into_body().collect()).unwrap().to_bytes(), "hello");
}

/// The target of an event, and its fields.
type Event = (String, BTreeMap<String, String>);

#[derive(Clone, Default)]
struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    deaf: bool,
}

impl Events {
    fn seen(&self) -> Vec<Event> {
        self.seen.lock().unwrap().clone()
    }
}

struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Events {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        !self.deaf
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.seen.lock().unwrap().push((event.metadata().target().to_owned(), fields.0));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

// === the contract ===

#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
    let log = Log::new();
    let mut service = log.layer.layer(Probe::new(|_| Response::new(Empty::<Bytes>::new())));
    for _ in 0..2 {
        service.clone().oneshot(get("/")).await.unwrap();
        service.ready().await.unwrap().call(get("/")).await.unwrap();
    }
    assert_eq!(log.records().len(), 4);
}

#[test]
fn the_types_are_what_their_parts_are() {
    fn sound<T: Send + Sync + Unpin + 'static>() {}
    fn shown<T: Clone + fmt::Debug>() {}
    sound::<AccessLogLayer>();
    sound::<AccessLog<()>>();
    sound::<ResponseFuture<()>>();
    sound::<RequestBody<Full<Bytes>>>();
    sound::<ResponseBody<Full<Bytes>>>();
    sound::<Sink>();
    shown::<AccessLogLayer>();
    shown::<AccessLog<()>>();
    shown::<Sink>();
}

#[test]
fn nothing_printed_holds_a_query() {
    let log = Log::new();
    let service = log.layer.layer(service_fn(|_: Request<RequestBody<_>>| {
        ready(Ok::<_, Infallible>(Response::new(ScriptedBody::new([Step::Stall]))))
    }));
    let response = now(service.oneshot(get("/a?key=secret"))).unwrap();
    assert!(!format!("{response:?}").contains("secret"));
    let layer = AccessLogLayer::sink(|record: &Record<'_>| {
        assert!(!format!("{record:?}").contains("secret"));
    });
    let service = layer.layer(answering(|_| Response::new(Empty::<Bytes>::new())));
    now(service.oneshot(get("/a?key=secret"))).unwrap();
}

// === what it costs ===

#[test]
fn a_request_costs_one_allocation_its_line() {
    let log = Log::new();
    let mut service = log.layer.layer(answering(|request: Request<_>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.set_route("chat");
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }));
    let identity = Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7"));
    let mut costs = || {
        let mut request = get("/");
        *request.uri_mut() = http::Uri::from_static("/v1/chat/completions");
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_identity(Arc::clone(&identity));
        let costs = allocation_counter::measure(|| {
            let response = now(service.call(request)).unwrap();
            drop(pin!(response.into_body()).poll_frame(&mut Context::from_waker(Waker::noop())));
        });
        costs.count_total
    };
    // Until the queue has its room, which the writer then hands back each time.
    let all = [costs(), costs(), costs(), costs()];
    assert_eq!(all.iter().min(), Some(&1), "{all:?}");
}
