//! How responses end, what failures look like, and what a cache may store.
//!
//! Each table has a row for a party: who sends it, where that is to be read, what it sends, and what
//! is done with it. A test goes over each row.

#[path = "ends/tables.rs"]
mod tables;

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Record},
    cache::{CacheLayer, Cacheable, Scope},
    clock::{FakeClock, SharedClock},
    context::{RequestContext, StreamEnd},
    identity::{Identity, Proof},
    limits::{Limit, MemoryStore, Rate, Subject},
    payload::{Payload, PayloadLayer},
    token_budget::TokenBudgetLayer,
};

use crate::support::{ScriptedBody, Step};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const CHAT: &str = "/v1/chat/completions";
const DAY: u32 = 100_000_000;

/// Prompt, completion, total.
type Tokens = (Option<u64>, Option<u64>, Option<u64>);

/// What is recorded of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Told {
    usage: Tokens,
    end: Option<StreamEnd>,
}

/// How an upstream answers.
#[derive(Clone)]
struct Answer {
    fields: Vec<(&'static str, String)>,
    chunks: Vec<Bytes>,
}

impl Answer {
    fn of(media_type: &str, chunks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let chunks = chunks.into_iter().map(|chunk| Bytes::from(chunk.into())).collect();
        Self { fields: vec![("content-type", media_type.to_owned())], chunks }
    }

    fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn give(&self) -> Response<ScriptedBody> {
        let mut response = Response::builder();
        for (name, value) in &self.fields {
            response = response.header(*name, value);
        }
        response.body(ScriptedBody::new(self.chunks.iter().cloned().map(Step::Bytes))).unwrap()
    }
}

/// The layers of a gateway, and what they were told.
struct Gateway {
    cache: CacheLayer,
    budget: Option<TokenBudgetLayer>,
    told: Arc<Mutex<Vec<Told>>>,
    // Bodies that went upstream.
    sent: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    fn new() -> Self {
        let cache = CacheLayer::new("upstream", Scope::Identity).cacheable(Cacheable::always());
        Self { cache, budget: None, told: Arc::default(), sent: Arc::default() }
    }

    /// With a budget on a clock that stands still.
    fn with_budget() -> Self {
        let clock = SharedClock::new(FakeClock::new(SystemTime::UNIX_EPOCH));
        let store = MemoryStore::new().clock(clock);
        let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(DAY))).store(store);
        Self { budget: Some(budget), ..Self::new() }
    }

    async fn charged(&self) -> u64 {
        let budget = self.budget.as_ref().unwrap();
        let state = budget.limit_state("global", &Subject::global()).await.unwrap();
        u64::from(DAY) - state.remaining
    }

    fn calls(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    fn last(&self) -> Told {
        *self.told.lock().unwrap().last().unwrap()
    }

    /// Asks; gives `cache-status` and as many frames of the body as are asked for.
    async fn ask(
        &self,
        path: &str,
        body: &str,
        answer: &Answer,
        frames: usize,
    ) -> (String, Vec<u8>) {
        let mut request = Request::post(path)
            .header(CONTENT_TYPE, JSON)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "a")));
        let (told, sent, answer) = (self.told.clone(), self.sent.clone(), answer.clone());
        let log = AccessLogLayer::sink(move |record: &Record<'_>| {
            let usage = record.usage().unwrap_or_default();
            let usage = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens);
            told.lock().unwrap().push(Told { usage, end: record.stream_end() });
        });
        let upstream = service_fn(move |request: Request<Payload>| {
            let body = request.body().bytes().unwrap().to_vec();
            sent.lock().unwrap().push(String::from_utf8(body).unwrap());
            ready(Ok::<_, Infallible>(answer.give()))
        });
        let outside =
            ServiceBuilder::new().layer(log).layer(PayloadLayer::new()).layer(self.cache.clone());
        match &self.budget {
            Some(budget) => read(outside.layer(budget.clone()).service(upstream), request, frames),
            None => return read(outside.service(upstream), request, frames).await,
        }
        .await
    }

    /// Asks twice. What passes is what was sent, whatever is done with it. Gives whether the response
    /// was stored, and what is recorded of the first.
    async fn twice(&self, path: &str, body: &str, answer: &Answer) -> (bool, Told) {
        let before = self.calls();
        let whole = answer.chunks.concat();
        let (status, first) = self.ask(path, body, answer, usize::MAX).await;
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&whole));
        // Nobody knew it yet.
        assert_eq!(status, "tower-inference; fwd=miss");
        let told = self.last();
        let (status, second) = self.ask(path, body, answer, usize::MAX).await;
        assert_eq!(second, whole);
        let stored = self.calls() == before + 1;
        assert_eq!(status.starts_with("tower-inference; hit"), stored, "{status}");
        (stored, told)
    }
}

async fn read<S, B>(service: S, request: Request<Full<Bytes>>, frames: usize) -> (String, Vec<u8>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let Ok(response) = service.oneshot(request).await;
    let status = response.headers()["cache-status"].to_str().unwrap().to_owned();
    let mut body = Box::pin(response.into_body());
    let mut read = Vec::new();
    for _ in 0..frames {
        let Some(frame) = body.frame().await else { break };
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    (status, read)
}

/// A request that has no limit of its own.
const UNLIMITED: &str =
    r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"Say hi."}]}"#;

fn limited() -> String {
    UNLIMITED.replace("\"model\"", "\"max_tokens\":16,\"model\"")
}

fn streamed() -> String {
    UNLIMITED.replace("\"model\"", "\"stream\":true,\"model\"")
}

/// A chat response with this finish reason, in JSON.
fn plain(reason: &str) -> Answer {
    Answer::of(
        JSON,
        [format!(
            r#"{{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"The ans"}},"finish_reason":{reason}}}],"usage":{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}}}"#
        )],
    )
}

/// The same as a stream.
fn chunks(reason: &str) -> Answer {
    let delta = r#"data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"The ans"},"finish_reason":null}]}"#;
    let last = format!(
        r#"data: {{"id":"c1","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{}},"finish_reason":{reason}}}]}}"#
    );
    Answer::of(EVENTS, [format!("{delta}\n\n"), format!("{last}\n\n"), "data: [DONE]\n\n".into()])
}

// === the reported cases ===

#[tokio::test]
async fn anthropic_messages_stream() {
    let gateway = Gateway::with_budget();
    let body = r#"{"model":"claude-x","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Say hi."}]}"#;
    let answer = Answer::of(
        "text/event-stream; charset=utf-8",
        [
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-x\",\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" there\"}}\n\n",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ],
    );
    let (stored, told) = gateway.twice("/v1/messages", body, &answer).await;
    let usage = (Some(25), Some(15), None);
    assert_eq!((stored, told), (true, Told { usage, end: Some(StreamEnd::Done) }));
    assert_eq!(gateway.charged().await, 40);
    assert!(!gateway.sent.lock().unwrap()[0].contains("stream_options"));

    // The caller leaves after `Hello`.
    let gateway = Gateway::with_budget();
    gateway.ask("/v1/messages", body, &answer, 4).await;
    let told = gateway.last();
    assert_eq!((told.usage.0, told.end), (Some(25), Some(StreamEnd::Cut)));
    assert!((26..40).contains(&gateway.charged().await), "{}", gateway.charged().await);
}

#[tokio::test]
async fn llamacpp_error_field() {
    let first = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n";
    let error = "error: {\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"invalid_request_error\"}\n\n";
    let done = "data: [DONE]\n\n";
    let gateway = Gateway::with_budget();
    let failing = Answer::of(EVENTS, [first, error, done]);
    let (stored, told) = gateway.twice(CHAT, &streamed(), &failing).await;
    assert_eq!((stored, told.end), (false, Some(StreamEnd::Failed)));
    // The upstream is well again.
    let (stored, told) = gateway.twice(CHAT, &streamed(), &chunks("\"stop\"")).await;
    assert_eq!((stored, told.end), (true, Some(StreamEnd::Done)));

    // Without the error: neither a finish reason nor content.
    let (stored, told) =
        Gateway::new().twice(CHAT, &streamed(), &Answer::of(EVENTS, [first, done])).await;
    assert_eq!((stored, told.end), (false, Some(StreamEnd::Failed)));
}

#[tokio::test]
async fn error_event_then_done() {
    let gateway = Gateway::with_budget();
    let failing = Answer::of(
        EVENTS,
        [
            "data: {\"error\":{\"message\":\"quota exceeded\",\"type\":\"GatewayTimeout\",\"code\":504}}\n\n",
            "data: [DONE]\n\n",
        ],
    );
    let (stored, told) = gateway.twice(CHAT, &streamed(), &failing).await;
    assert_eq!((stored, told.end), (false, Some(StreamEnd::Failed)));
    let (stored, _) = gateway.twice(CHAT, &streamed(), &chunks("\"stop\"")).await;
    assert!(stored);
}

#[tokio::test]
async fn truncated_or_aborted_answer_kept() {
    let failed = ["\"abort\"", "\"error\"", "\"insufficient_system_resource\""];
    for reason in failed.into_iter().chain(["null", "\"\"", "\"repetition\""]) {
        for body in [UNLIMITED.to_owned(), limited()] {
            let (stored, told) = Gateway::with_budget().twice(CHAT, &body, &plain(reason)).await;
            assert!(!stored, "{reason}");
            assert_eq!(told.usage, (Some(9), Some(2), Some(11)));
        }
        let (stored, told) = Gateway::new().twice(CHAT, &streamed(), &chunks(reason)).await;
        assert!(!stored, "{reason}, streamed");
        let end = if failed.contains(&reason) { StreamEnd::Failed } else { StreamEnd::Done };
        assert_eq!(told.end, Some(end), "{reason}");
    }
    for reason in ["stop", "tool_calls", "function_call", "content_filter", "eos_token"] {
        let reason = format!("\"{reason}\"");
        assert!(Gateway::new().twice(CHAT, UNLIMITED, &plain(&reason)).await.0, "{reason}");
        let (stored, told) = Gateway::new().twice(CHAT, &streamed(), &chunks(&reason)).await;
        assert_eq!((stored, told.end), (true, Some(StreamEnd::Done)), "{reason}, streamed");
    }
    // Of several choices each must have ended well.
    let two = |reason| {
        let plain = String::from_utf8(plain("\"stop\"").chunks[0].to_vec()).unwrap();
        let other = format!("\"choices\":[{{\"index\":1,\"finish_reason\":{reason}}},");
        Answer::of(JSON, [plain.replace("\"choices\":[", &other)])
    };
    for (reason, stored) in [("\"stop\"", true), ("\"abort\"", false), ("null", false)] {
        assert_eq!(Gateway::new().twice(CHAT, UNLIMITED, &two(reason)).await.0, stored, "{reason}");
    }
}

/// By a limit of the request, or one that the budget puts in; not by the server's own.
#[tokio::test]
async fn a_response_that_met_a_limit_is_stored_where_the_limit_is_known() {
    for (gateway, body, stored) in [
        (Gateway::new(), UNLIMITED.to_owned(), false),
        (Gateway::new(), UNLIMITED.replace("\"model\"", "\"max_tokens\":null,\"model\""), false),
        (Gateway::new(), limited(), true),
        (Gateway::with_budget(), UNLIMITED.to_owned(), true),
    ] {
        assert_eq!(gateway.twice(CHAT, &body, &plain("\"length\"")).await.0, stored, "{body}");
        // Another text: the plain response would serve as this stream.
        let body = body.replace("hi.", "ho.").replace("\"model\"", "\"stream\":true,\"model\"");
        let (kept, told) = gateway.twice(CHAT, &body, &chunks("\"length\"")).await;
        // It is in the upstream's own words that it has ended.
        assert_eq!((kept, told.end), (stored, Some(StreamEnd::Done)), "{body}");
    }
}

#[tokio::test]
async fn done_without_blank_line() {
    let body =
        streamed().replace("\"model\"", "\"stream_options\":{\"include_usage\":true},\"model\"");
    let events = [
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n",
    ];
    for end in ["data: [DONE]", "data: [DONE]\n", "data:[DONE]\r\n"] {
        let answer = Answer::of(EVENTS, events.into_iter().chain([end]));
        let gateway = Gateway::with_budget();
        let (stored, told) = gateway.twice(CHAT, &body, &answer).await;
        let usage = (Some(9), Some(1), Some(10));
        assert_eq!((stored, told), (true, Told { usage, end: Some(StreamEnd::Done) }), "{end:?}");
        // Who leaves once it is there has it all.
        gateway.ask(CHAT, &body.replace("hi.", "ho."), &answer, 4).await;
        assert_eq!(gateway.last().end, Some(StreamEnd::Done));
    }
}

#[tokio::test]
async fn comments_empty_data_and_null_choices() {
    let body = r#"{"model":"m","prompt":"Once","stream":true,"max_tokens":16}"#;
    let usage = "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":16,\"total_tokens\":17}}\n\n";
    let chunks = [
        ": ping\n\n".to_owned(),
        "data:\n\n".to_owned(),
        "data: \r\n\r\n".to_owned(),
        "data:{\"id\":\"x\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\" upon\",\"finish_reason\":null}]}\r\n\r\n".to_owned(),
        ": OPENROUTER PROCESSING\n\n".to_owned(),
        "data: {\"id\":\"x\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}]}\n\n".to_owned(),
        format!("{usage}: bye\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ];
    let gateway = Gateway::with_budget();
    let answer = Answer::of(EVENTS, chunks.clone());
    let (_, shown) = gateway.ask("/v1/completions", body, &answer, usize::MAX).await;
    // The caller did not ask for usage.
    assert_eq!(String::from_utf8(shown).unwrap(), chunks.concat().replace(usage, ""));
    assert!(gateway.sent.lock().unwrap()[0].contains("include_usage"));
    let told = gateway.last();
    let expected = Told { usage: (Some(1), Some(16), Some(17)), end: Some(StreamEnd::Done) };
    assert_eq!((told, gateway.charged().await), (expected, 17));
}

#[tokio::test]
async fn vary_of_tower_http_cors() {
    let answer = Answer::of(JSON, ["[[0.1,0.2]]"])
        .field("vary", "origin, access-control-request-method, access-control-request-headers")
        .field("access-control-allow-origin", "*")
        .field("x-compute-tokens", "3");
    let gateway = Gateway::new();
    let (stored, told) = gateway.twice("/embed", r#"{"inputs":["a"]}"#, &answer).await;
    assert_eq!((stored, told.usage.0), (true, Some(3)));
}
