//! The time to the first token of a stream, whichever layer reads it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::SystemTime,
};

use tower_inference::{
    cache::{CacheLayer, Cacheable, Scope},
    clock::Clock,
    limits::{Limit, Rate},
    payload::PayloadLayer,
    token_budget::TokenBudgetLayer,
};

use super::*;

/// A clock that counts how often it was read.
#[derive(Clone)]
struct CountingClock {
    clock: FakeClock,
    reads: Arc<AtomicU64>,
}

impl Clock for CountingClock {
    fn monotonic(&self) -> Duration {
        self.reads.fetch_add(1, Relaxed);
        self.clock.monotonic()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}

/// Times to the first byte and to the first token in milliseconds.
type Times = (Option<u128>, Option<u128>);

/// The layers between the access log and the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inside {
    Nothing,
    TokenBudget,
    Cache,
}

/// Returns the times of a response whose chunks come a millisecond apart, and how often the clock was
/// read. The request is sent `times` times and the last one counts.
fn read(inside: Inside, media_type: &'static str, chunks: &[&str], times: usize) -> (Times, u64) {
    let clock = FakeClock::new(UNIX_EPOCH);
    let counting = CountingClock { clock: clock.clone(), reads: Arc::default() };
    let seen: Arc<Mutex<Option<Times>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let log = AccessLogLayer::sink(move |record: &Record<'_>| {
        let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis());
        let times =
            (milliseconds(record.first_byte_after()), milliseconds(record.first_token_after()));
        *sink.lock().unwrap() = Some(times);
    });
    let log = log.clock(SharedClock::new(counting.clone()));

    let chunks: Vec<Bytes> = chunks.iter().map(|c| Bytes::copy_from_slice(c.as_bytes())).collect();
    let respond = move || {
        let response = Response::builder().header("content-type", media_type);
        response.body(ticking(chunks.clone(), clock.clone())).unwrap()
    };
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_hour(1_000_000)));
    let cache = CacheLayer::new("test", Scope::Shared).cacheable(Cacheable::always());
    let payload = PayloadLayer::new();
    let request = || {
        let request =
            Request::post("/v1/chat/completions").header("content-type", "application/json");
        request
            .body(Full::new(Bytes::from(r#"{"model":"m","messages":[],"stream":true}"#)))
            .unwrap()
    };
    macro_rules! run {
        ($service:expr) => {{
            let service = $service;
            for _ in 0..times {
                let response = now(service.clone().oneshot(request())).unwrap();
                counting.reads.store(0, Relaxed);
                now(response.into_body().collect()).unwrap();
            }
        }};
    }
    match inside {
        Inside::Nothing => run!(log.layer(answering(move |_| respond()))),
        Inside::TokenBudget => {
            run!(log.layer(payload.layer(budget.layer(answering(move |_| respond())))))
        }
        Inside::Cache => run!(log.layer(payload.layer(cache.layer(answering(move |_| respond()))))),
    }
    let times = seen.lock().unwrap().expect("a record");
    (times, counting.reads.load(Relaxed))
}

/// A body that advances the clock by a millisecond before each chunk.
fn ticking(
    chunks: Vec<Bytes>,
    clock: FakeClock,
) -> impl Body<Data = Bytes, Error = io::Error> + Send + Unpin {
    struct Ticking(std::vec::IntoIter<Bytes>, FakeClock);
    impl Body for Ticking {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
            self.1.advance(Duration::from_millis(1));
            Poll::Ready(self.0.next().map(|chunk| Ok(http_body::Frame::data(chunk))))
        }
    }
    Ticking(chunks.into_iter(), clock)
}

const EVENTS: &str = "text/event-stream";

const CHAT: [&str; 5] = [
    ": comment\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"del",
    "ta\":{\"content\":\"Hi\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" you\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

#[test]
fn the_first_chunk_with_text_is_the_first_token() {
    for (inside, times) in [(Inside::Nothing, 1), (Inside::TokenBudget, 1), (Inside::Cache, 1)] {
        assert_eq!(read(inside, EVENTS, &CHAT, times).0, (Some(1), Some(3)), "{inside:?}");
    }
    // A hit of the cache comes at once.
    assert_eq!(read(Inside::Cache, EVENTS, &CHAT, 2).0, (Some(0), Some(0)));
}

#[test]
fn each_form_of_output_is_a_token() {
    for (media_type, first) in [
        (EVENTS, r#"data: {"choices":[{"delta":{"reasoning_content":"I"}}]}"#),
        (EVENTS, r#"data: {"choices":[{"delta":{"reasoning":"I"}}]}"#),
        (
            EVENTS,
            r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}"#,
        ),
        (EVENTS, r#"data: {"choices":[{"text":"\n","index":0}]}"#),
        (EVENTS, r#"data: {"type":"response.output_text.delta","delta":"I"}"#),
        (EVENTS, r#"data: {"type":"response.function_call_arguments.delta","delta":"{"}"#),
        (
            EVENTS,
            r#"data: {"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"I"}}"#,
        ),
        (
            EVENTS,
            r#"data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
        ),
        (EVENTS, r#"data: {"token":{"id":1,"text":" I","special":false},"generated_text":null}"#),
        ("application/x-ndjson", r#"{"message":{"role":"assistant","content":"I"},"done":false}"#),
    ] {
        let empty = match media_type {
            EVENTS => ": wait\n\n",
            _ => "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n",
        };
        let chunks = [empty, &format!("{first}\n\n"), &format!("{first}\n\n")];
        let (times, _) = read(Inside::Nothing, media_type, &chunks, 1);
        assert_eq!(times, (Some(1), Some(2)), "{first}");
    }
}

#[test]
fn a_response_without_generated_text_has_no_first_token() {
    for (media_type, body) in [
        (
            "application/json",
            r#"{"choices":[{"message":{"content":"some words of a response that goes on"},"finish_reason":"stop"}],"usage":{"total_tokens":9}}"#,
        ),
        (EVENTS, "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\ndata: [DONE]\n\n"),
        (EVENTS, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
        (EVENTS, "data: {\"unknown\":\"form\"}\n\n"),
        ("text/plain", "Hi"),
    ] {
        for inside in [Inside::Nothing, Inside::TokenBudget, Inside::Cache] {
            for chunks in [&[body][..], &[&body[..body.len() / 2], &body[body.len() / 2..]]] {
                let (times, _) = read(inside, media_type, chunks, 2);
                assert_eq!(times.1, None, "{inside:?} {body}");
            }
        }
    }
}

#[test]
fn the_clock_is_not_read_for_each_chunk() {
    let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let chunks = vec![text; 50];
    // The first chunk, which is the first token too, and the end.
    assert_eq!(read(Inside::Nothing, EVENTS, &chunks, 1), ((Some(1), Some(1)), 2));
    let later = [vec![": wait\n\n"; 50], chunks].concat();
    assert_eq!(read(Inside::Nothing, EVENTS, &later, 1), ((Some(1), Some(51)), 3));
}
