//! Silence in the middle of responses: what pauses is not cut, what hangs is.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};
use tower_inference::{
    access_log::AccessLogLayer,
    cache::{CacheLayer, Scope},
    context::StreamEnd,
    limits::{Concurrency, Limit, Rate, Subject},
    model::Profile,
    payload::PayloadLayer,
    record::{Record, RequestOutcome},
    schema::{BuiltInSchemas, ResponseSchema, Schema, SchemaLayer},
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const BODY: &str = r#"{"model":"m","stream":true,"temperature":0,"messages":[{"role":"user","content":"Say hi."}]}"#;
const ROLE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const TEXT: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"42\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What an upstream does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Say(&'static str),
    Pause(Duration),
    /// For ever, with the connection open.
    Hang,
}

/// A body that is played.
#[derive(Debug)]
struct Play {
    acts: VecDeque<Act>,
    pause: Option<Pin<Box<Sleep>>>,
    // Tells that the connection is closed.
    _open: Arc<()>,
}

impl Body for Play {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.acts.front().copied() {
                None => return Poll::Ready(None),
                Some(Act::Hang) => return Poll::Pending,
                Some(Act::Pause(time)) => self.pause = Some(Box::pin(sleep(time))),
                Some(Act::Say(text)) => {
                    self.acts.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(text.into()))));
                }
            }
            self.acts.pop_front();
        }
    }
}

/// An upstream that sends its head after `head`, and then plays `acts`. Counts its calls by handles
/// of the second: one is ours.
fn playing(
    head: Duration,
    media_type: &'static str,
    acts: &[Act],
) -> (
    impl Service<Request<Payload>, Response = Response<Play>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static,
    Arc<()>,
) {
    let (open, acts) = (Arc::new(()), acts.to_vec());
    let held = Arc::clone(&open);
    let service = service_fn(move |_: Request<Payload>| {
        let body = Play { acts: acts.clone().into(), pause: None, _open: Arc::clone(&held) };
        async move {
            sleep(head).await;
            Ok(Response::builder().header(CONTENT_TYPE, media_type).body(body).unwrap())
        }
    });
    (service, open)
}

/// How the responses of the records ended.
type Ends = Arc<Mutex<Vec<(RequestOutcome, Option<StreamEnd>)>>>;

/// Records, as they are written.
fn recording() -> (AccessLogLayer, Ends) {
    let records = Ends::default();
    let log = Arc::clone(&records);
    let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
        log.lock().unwrap().push((record.outcome(), record.stream_end()));
    });
    (layer, records)
}

/// Every layer that has a timer of its own, or waits for a response, with its defaults.
macro_rules! gateway {
    ($log:expr, $budget:expr, $upstream:expr) => {
        Stack::new()
            .stalled_reader(StalledReaderLayer::new())
            .access_log($log)
            .throttle(ThrottleLayer::new(Limit::global(Concurrency::new(1))))
            .payload(PayloadLayer::new())
            .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()))
            .transform(TransformLayer::new().max_output_tokens(100).include_usage())
            .cache(CacheLayer::new("upstream", Scope::Shared))
            .token_budget($budget)
            .upstream(UpstreamLayer::new())
            .layer($upstream)
    };
}

fn budget() -> TokenBudgetLayer {
    TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000_000)).name("tokens"))
}

/// All that came of a response, and whether its end did.
async fn read<R>(response: Response<R>) -> (String, bool)
where
    R: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(response.into_body());
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend(frame.into_data().unwrap_or_default()),
            Err(_) => return (String::from_utf8(text).unwrap(), false),
        }
    }
    (String::from_utf8(text).unwrap(), true)
}

/// How long a party is silent, where, and from which report.
const PAUSES: &[(&str, Duration, Duration, Duration)] = &[
    // Source; before the head, before the first byte, in the middle.
    ("ayunis-core#1245", Duration::ZERO, Duration::ZERO, Duration::from_secs(75)),
    (
        "qwen-code#5975, Franklin#74, tracker#577",
        Duration::ZERO,
        Duration::ZERO,
        MINUTE.saturating_mul(2),
    ),
    ("vllm#54424: a queue, after the head", Duration::ZERO, Duration::from_secs(180), SECOND),
    ("llama.cpp#23994: a long prompt, before the head", Duration::from_secs(240), SECOND, SECOND),
    ("hidden reasoning", SECOND, Duration::from_secs(120), Duration::from_secs(290)),
];

#[tokio::test(start_paused = true)]
async fn reasoning_pause_of_75_seconds() {
    for (source, head, first, pause) in PAUSES.iter().copied() {
        let acts = [
            Act::Pause(first),
            Act::Say(ROLE),
            Act::Pause(pause),
            Act::Say(TEXT),
            Act::Say(STOP),
            Act::Say(DONE),
        ];
        let (upstream, open) = playing(head, "text/event-stream", &acts);
        let (log, records) = recording();
        let gateway = gateway!(log, budget(), upstream);
        let start = Instant::now();
        let response = gateway.clone().oneshot(chat(BODY)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{source}");
        let (text, whole) = read(response).await;
        assert!(whole, "{source}");
        assert_eq!(text, [ROLE, TEXT, STOP, DONE].concat(), "{source}");
        assert_eq!(start.elapsed(), head + first + pause, "{source}");
        let record = (RequestOutcome::Complete, Some(StreamEnd::Done));
        assert_eq!(*records.lock().unwrap(), [record], "{source}");
        assert_eq!(Arc::strong_count(&open), 2, "{source}: the service has one");
    }
}

/// Followers of a shared call wait as long as its leader does.
#[tokio::test(start_paused = true)]
async fn a_shared_call_pauses_for_all_of_its_readers() {
    let acts =
        [Act::Say(ROLE), Act::Pause(4 * MINUTE), Act::Say(TEXT), Act::Say(STOP), Act::Say(DONE)];
    let (upstream, _open) = playing(MINUTE, "text/event-stream", &acts);
    let gateway = Stack::new()
        .stalled_reader(StalledReaderLayer::new())
        .payload(PayloadLayer::new())
        .cache(CacheLayer::new("upstream", Scope::Shared))
        .upstream(UpstreamLayer::new().max_in_flight(1))
        .layer(upstream);
    let start = Instant::now();
    let reader = async || read(gateway.clone().oneshot(chat(BODY)).await.unwrap()).await;
    let (leader, one, other) = tokio::join!(reader(), reader(), reader());
    for (text, whole) in [leader, one, other] {
        assert!(whole);
        assert_eq!(text, [ROLE, TEXT, STOP, DONE].concat());
    }
    assert_eq!(start.elapsed(), 5 * MINUTE);
}

/// DeepSeek sends blank lines until a response that does not stream is there
/// (https://api-docs.deepseek.com/quick_start/rate_limit): no deadline of ours ends it, also where
/// the response is held back to be checked.
#[tokio::test(start_paused = true)]
async fn blank_lines_before_a_response_keep_it_alive() {
    let answer = "{\"choices\":[]}";
    let acts = [
        Act::Say("\n"),
        Act::Pause(2 * MINUTE),
        Act::Say("\n"),
        Act::Pause(2 * MINUTE),
        Act::Say(answer),
    ];
    let (upstream, _open) = playing(SECOND, "application/json", &acts);
    let schema = Schema::new(&serde_json::json!({ "required": ["choices"] })).unwrap();
    let checked = SchemaLayer::any_body().response(ResponseSchema::reject(schema));
    let gateway = Stack::new()
        .payload(PayloadLayer::new())
        .schema(checked)
        .upstream(UpstreamLayer::new())
        .layer(upstream);
    let response = gateway.oneshot(chat("{}")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response).await, (format!("\n\n{answer}"), true));
}

#[tokio::test(start_paused = true)]
async fn finish_reason_and_then_silence() {
    for acts in [
        &[Act::Say(ROLE), Act::Say(TEXT), Act::Say(STOP), Act::Hang][..],
        // Without the finish reason too, the end is the same.
        &[Act::Say(ROLE), Act::Say(TEXT), Act::Hang],
    ] {
        let (upstream, open) = playing(Duration::ZERO, "text/event-stream", acts);
        let (log, records) = recording();
        let budget = budget();
        let gateway = gateway!(log, budget.clone(), upstream);
        let start = Instant::now();
        let response = gateway.clone().oneshot(chat(BODY)).await.unwrap();
        let (text, whole) = read(response).await;
        let said = acts.iter().filter_map(|act| match act {
            Act::Say(text) => Some(*text),
            Act::Pause(_) | Act::Hang => None,
        });
        assert_eq!((text, whole), (said.collect(), false));
        assert_eq!(start.elapsed(), 5 * MINUTE, "the idle timeout");

        assert_eq!(Arc::strong_count(&open), 2, "the upstream's connection is closed");
        assert_eq!(*records.lock().unwrap(), [(RequestOutcome::TimedOut, Some(StreamEnd::Cut))]);
        let used = async || {
            let state = budget.limit_state("tokens", &Subject::global()).await.unwrap();
            1_000_000 - state.remaining
        };
        let charged = used().await;
        assert!((1..=110).contains(&charged), "{charged}");
        // The slot is free, and nothing more is charged for the first.
        let again = gateway.oneshot(chat(BODY)).await.unwrap();
        assert_eq!(again.status(), StatusCode::OK);
        drop(again);
        assert!(used().await <= 2 * charged.max(110));
    }
}
