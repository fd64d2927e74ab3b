use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, channel::Channel};
use proptest::prelude::*;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    context::{RequestContext, StreamEnd},
    payload::{Payload, PayloadLayer},
    record::{Record, RequestOutcome},
    transform::TransformLayer,
};

use crate::support::{Probe, ScriptedBody, Step};

const FIRST: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n: keep-alive\r\n\r\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

const UNASKED: &str = r#"{"model":"m","stream":true,"messages":[]}"#;
const ASKED: &str =
    r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;

/// What a caller gets of an answer, and what is known of it afterwards.
async fn answered<B>(body: &'static str, response: Response<B>) -> (Response<Bytes>, RequestContext)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    let response = Arc::new(Mutex::new(Some(response)));
    let upstream = service_fn(move |_: Request<Payload>| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    let recorded = Arc::new(Mutex::new(None));
    let into = Arc::clone(&recorded);
    let gateway = ServiceBuilder::new()
        // Outside of what hides: it must know the usage all the same.
        .layer(AccessLogLayer::sink(move |record: &Record<'_>| {
            *into.lock().unwrap() = Some((record.usage(), record.stream_end()));
        }))
        .layer(PayloadLayer::new())
        .layer(TransformLayer::new().include_usage())
        .service(upstream);
    let context = RequestContext::new();
    let request = Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .extension(context.clone())
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let Ok(answer) = gateway.oneshot(request).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let recorded = recorded.lock().unwrap().expect("no record");
    assert_eq!(recorded, (context.outcome().usage, context.outcome().stream_end));
    (Response::from_parts(parts, body), context)
}

fn stream<B>(body: B) -> Response<B> {
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).unwrap()
}

#[tokio::test]
async fn the_chunk_is_hidden_for_every_split_of_the_stream() {
    for line_end in ["\n", "\r\n", "\r"] {
        let ended = |text: &str| text.replace("\r\n", "\n").replace('\n', line_end);
        let whole = ended(&[FIRST, USAGE, DONE].concat());
        let shown = ended(&[FIRST, DONE].concat());
        for size in 1..=whole.len() {
            let body = ScriptedBody::chunked(whole.as_bytes(), size);
            let (answer, context) = answered(UNASKED, stream(body)).await;
            assert_eq!(*answer.body(), shown, "{line_end:?} {size}");
            assert_eq!(
                context.outcome().usage.unwrap().total_tokens,
                Some(12),
                "{line_end:?} {size}"
            );
            assert_eq!(context.outcome().stream_end, Some(StreamEnd::Done));
            assert!(context.response_is_read());

            let (start, end) = whole.as_bytes().split_at(size);
            let steps = [start, end].map(|piece| Step::Bytes(Bytes::copy_from_slice(piece)));
            let (answer, _) = answered(UNASKED, stream(ScriptedBody::new(steps))).await;
            assert_eq!(*answer.body(), shown, "{line_end:?} {size}");
        }
    }
}

#[tokio::test]
async fn an_unfinished_chunk_at_the_end_is_hidden() {
    let whole = USAGE.trim_end().len();
    for cut in 0..=USAGE.len() {
        let (shown, cut_off) = (FIRST, &USAGE[..cut]);
        let body = ScriptedBody::chunked([shown, cut_off].concat().as_bytes(), 7);
        let (answer, context) = answered(UNASKED, stream(body)).await;
        if cut < whole {
            assert_eq!(*answer.body(), [shown, cut_off].concat(), "{cut}");
        } else {
            assert_eq!(*answer.body(), shown, "{cut}");
        }
        assert_eq!(context.outcome().stream_end, Some(StreamEnd::Cut), "{cut}");
    }
}

#[tokio::test]
async fn a_client_that_requested_usage_gets_the_chunk() {
    let whole = [FIRST, USAGE, DONE].concat();
    let body = ScriptedBody::chunked(whole.as_bytes(), 20);
    let (answer, _) = answered(ASKED, stream(body)).await;
    assert_eq!(*answer.body(), whole);
}

#[tokio::test]
async fn nothing_else_is_hidden() {
    for kept in [
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"total_tokens\":1}}\n\n",
        "data: {\"usage\":{\"total_tokens\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{}\n\n",
        "data: {\"error\":{\"message\":\"\\\"usage\\\"\"}}\n\n",
        "data: {\"error\":{\"code\":1},\"choices\":[],\"usage\":{\"total_tokens\":1}}\n\n",
        "event: error\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":1}}\n\n",
        "data: {\"x\":{\"choices\":[],\"usage\":{\"total_tokens\":1}}}\n\n",
        "data: {\"choices\":[],\"usage\":[1]}\n\n",
        ": \"usage\" \"choices\":[]\r\r",
        "event: x\r\ndata: 1\r\n\r\n",
        "data: [DONE]",
        "\n\n\n",
    ] {
        let (answer, _) = answered(UNASKED, stream(Full::<Bytes>::from(kept))).await;
        assert_eq!(*answer.body(), kept);
    }
    // Other answers are not event streams, whatever they hold.
    for content_type in ["application/json", "text/plain"] {
        let response = Response::builder().header(header::CONTENT_TYPE, content_type);
        let response = response.header(header::CONTENT_LENGTH, USAGE.len());
        let (answer, _) =
            answered(UNASKED, response.body(Full::<Bytes>::from(USAGE)).unwrap()).await;
        assert_eq!(*answer.body(), USAGE);
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], USAGE.len().to_string());
    }
}

#[tokio::test]
async fn the_chunk_is_recognised_by_its_members() {
    for hidden in [
        "data:{ \"usage\" : {\"total_tokens\":1}, \"choices\" : [ ] }\r\n\r\n",
        "event: message\ndata: {\"choices\":[],\ndata: \"usage\":{\"total_tokens\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{},\"error\":null}\r\r",
        "\u{feff}data: {\"choices\":[],\"usage\":{\"total_tokens\":1},\"id\":\"x\"}\n\n",
        // No blank line ends it.
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":1}}\n",
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":1}}",
    ] {
        let (answer, _) = answered(UNASKED, stream(Full::<Bytes>::from(hidden))).await;
        assert_eq!(*answer.body(), "", "{hidden}");
    }
}

#[tokio::test]
async fn other_lines_of_the_chunks_frame_stay() {
    const CHUNK: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":1}}";
    for (stream_of, shown) in [
        (format!(": ping\n{CHUNK}\n\n{DONE}"), format!(": ping\n\n{DONE}")),
        (format!("{CHUNK}\r\nid: 7\r\n\r\n{DONE}"), format!("id: 7\r\n\r\n{DONE}")),
        (format!("retry: 1\r{CHUNK}\r: x\r\r{DONE}"), format!("retry: 1\r: x\r\r{DONE}")),
    ] {
        for size in 1..=stream_of.len() {
            let body = ScriptedBody::chunked(stream_of.as_bytes(), size);
            let (answer, _) = answered(UNASKED, stream(body)).await;
            assert_eq!(*answer.body(), shown, "{size}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_read_is_requested_without_coding() {
    for (body, expected) in [(UNASKED, "identity"), (ASKED, "gzip, br")] {
        let upstream = service_fn(move |request: Request<Payload>| {
            assert_eq!(request.headers()[header::ACCEPT_ENCODING], expected);
            async { Ok::<_, Infallible>(stream(Full::<Bytes>::default())) }
        });
        let gateway =
            ServiceBuilder::new().layer(TransformLayer::new().include_usage()).service(upstream);
        let request = Request::post("/").header(header::ACCEPT_ENCODING, "gzip, br");
        let Ok(_) = gateway.oneshot(request.body(Payload::buffered(body)).unwrap()).await;
    }
    // What is coded all the same passes.
    let mut response = stream(Full::<Bytes>::from(USAGE));
    response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
    let (answer, _) = answered(UNASKED, response).await;
    assert_eq!(*answer.body(), USAGE);
}

#[test]
fn passing_chunks_allocate_nothing() {
    const CHUNKS: usize = 100;
    let delta = |at: usize| {
        let chunk = format!("data: {{\"choices\":[{{\"delta\":{at}}}],\"usage\":null}}\n\n");
        // With an owner, because the first clone of `Bytes` made from a `Vec` allocates.
        Step::Bytes(Bytes::from_owner(chunk))
    };
    let mut body = pin!(hidden_from(ScriptedBody::new((0..CHUNKS).map(delta))));
    let mut cx = Context::from_waker(Waker::noop());
    let cost = allocation_counter::measure(|| {
        for _ in 0..CHUNKS {
            assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
        }
    });
    assert_eq!(cost.count_total, 0);
}

#[tokio::test]
async fn content_length_and_digests_are_removed() {
    let whole = [FIRST, USAGE].concat();
    let mut response = stream(Full::new(Bytes::from(whole.clone())));
    response.headers_mut().insert(header::CONTENT_LENGTH, whole.len().into());
    for digest in ["content-digest", "repr-digest"] {
        response.headers_mut().insert(digest, "sha-256=:x:".parse().unwrap());
    }
    let (answer, _) = answered(UNASKED, response).await;
    assert_eq!(*answer.body(), FIRST);
    assert_eq!(answer.headers().len(), 1);
    assert!(answer.headers().contains_key(header::CONTENT_TYPE));
}

fn hidden_from<B: Body<Data = Bytes>>(body: B) -> impl Body<Data = Bytes, Error = B::Error> {
    let response = stream(body);
    let mut gateway = ServiceBuilder::new()
        .layer(TransformLayer::new().include_usage())
        .service(Once(Some(response)));
    let request = Request::post("/").body(Payload::buffered(UNASKED)).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(tower::Service::call(&mut gateway, request));
    let Poll::Ready(Ok(answer)) = future.as_mut().poll(&mut cx) else { panic!("it waits") };
    answer.into_body()
}

/// Answers once.
struct Once<B>(Option<Response<B>>);

impl<B> tower::Service<Request<Payload>> for Once<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        std::future::ready(Ok(self.0.take().unwrap()))
    }
}

#[tokio::test]
async fn an_event_passes_before_the_next_arrives() {
    let (mut upstream, body) = Channel::<Bytes, Infallible>::new(1);
    let mut body = pin!(hidden_from(body));
    for event in [FIRST, DONE] {
        upstream.send_data(Bytes::from_static(event.as_bytes())).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
}

#[tokio::test]
async fn an_early_drop_records_the_usage_so_far() {
    let record = Arc::new(Mutex::new(None));
    let into = Arc::clone(&record);
    let log = AccessLogLayer::sink(move |record: &Record<'_>| {
        let usage = record.usage().and_then(|usage| usage.total_tokens);
        *into.lock().unwrap() = Some((record.outcome(), usage, record.stream_end()));
    });
    let steps = [FIRST, USAGE, ": more\n\n"].map(|step| Step::Data(step.as_bytes()));
    let response = stream(ScriptedBody::new(steps.into_iter().chain([Step::Stall])));
    let gateway = ServiceBuilder::new()
        .layer(log)
        .layer(PayloadLayer::new())
        .layer(TransformLayer::new().include_usage())
        .service(Probe::new({
            let response = Arc::new(Mutex::new(Some(response)));
            move |_| response.lock().unwrap().take().unwrap()
        }));
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::<Bytes>::from(UNASKED)).unwrap();
    let Ok(answer) = gateway.oneshot(request).await;
    let mut body = Box::pin(answer.into_body());
    for expected in [FIRST, ": more\n\n"] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    assert_eq!(*record.lock().unwrap(), None);
    drop(body);
    let expected = (RequestOutcome::Cancelled, Some(12), Some(StreamEnd::Cut));
    assert_eq!(*record.lock().unwrap(), Some(expected));
}

#[tokio::test]
async fn trailers_follow_the_data() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-after", "1".parse().unwrap());
    let steps = [Step::Data(b"data: a"), Step::Trailers(trailers)];
    let collected = hidden_from(ScriptedBody::new(steps)).collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-after"], "1");
    assert_eq!(collected.to_bytes(), "data: a");
}

#[tokio::test]
async fn a_failed_stream_passes_no_partial_chunk() {
    let steps = [Step::Data(FIRST.as_bytes()), Step::Data(&USAGE.as_bytes()[..40]), Step::Error];
    let mut body = pin!(hidden_from(ScriptedBody::new(steps)));
    let frame: Result<_, io::Error> = body.frame().await.unwrap();
    assert_eq!(frame.unwrap().into_data().unwrap(), FIRST);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
}

#[test]
fn the_end_is_reported_with_the_last_frame() {
    let mut body = pin!(hidden_from(Full::<Bytes>::from(DONE)));
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), None);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.as_mut().poll_frame(&mut cx).is_ready());
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(hidden_from(Full::<Bytes>::default()).is_end_stream());
}

#[tokio::test]
async fn an_event_beyond_the_bound_passes() {
    let long =
        format!("data: {{\"choices\":[],\"usage\":{{\"x\":\"{}\"}}}}\n\n", "x".repeat(64 << 10));
    let (answer, _) = answered(UNASKED, stream(Full::new(Bytes::from(long.clone())))).await;
    assert_eq!(answer.body().len(), long.len());
}

proptest! {
    #[test]
    fn the_client_sees_the_stream_without_the_usage_chunks(
        events in prop::collection::vec(0_usize..6, 0..8),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        sizes in prop::collection::vec(1_usize..40, 1..60),
    ) {
        let pool = [FIRST, USAGE, DONE, ": ping\n\n", "\n", "id: 7\n\n"];
        let ended = |text: &str| text.replace("\r\n", "\n").replace('\n', line_end);
        let whole: String = events.iter().map(|event| ended(pool[*event])).collect();
        let shown: String =
            events.iter().filter(|event| **event != 1).map(|event| ended(pool[*event])).collect();

        let mut rest = whole.as_bytes();
        let mut steps = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            steps.push(Step::Bytes(Bytes::copy_from_slice(piece)));
            rest = after;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let collected = runtime.block_on(hidden_from(ScriptedBody::new(steps)).collect()).unwrap();
        prop_assert_eq!(collected.to_bytes(), shown);
    }
}
