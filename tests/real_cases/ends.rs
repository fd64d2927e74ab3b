//! How responses end, how failures look, and which responses a cache may store.
//!
//! Each row of a table names a server, the source of the case, the response and the expected result.
//! A test checks each row.

#[path = "ends/event_streams.rs"]
mod event_streams;
#[path = "ends/no_results.rs"]
mod no_results;
#[path = "ends/results.rs"]
mod results;
#[path = "ends/tables.rs"]
mod tables;
#[path = "ends/usage.rs"]
mod usage;

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
    access_log::AccessLogLayer,
    cache::{CacheLayer, Cacheable, Scope},
    clock::{FakeClock, SharedClock},
    context::{RequestContext, StreamEnd},
    identity::{Identity, Proof},
    limits::{Limit, MemoryStore, Rate, Subject},
    payload::{Payload, PayloadLayer},
    record::Record,
    token_budget::TokenBudgetLayer,
};

use crate::support::{ScriptedBody, Step};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const CHAT: &str = "/v1/chat/completions";
const DAY: u32 = 100_000_000;

/// Prompt, completion and total tokens.
type Tokens = (Option<u64>, Option<u64>, Option<u64>);

/// What the access log records of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Logged {
    usage: Tokens,
    end: Option<StreamEnd>,
}

/// The response of an upstream.
#[derive(Clone)]
struct UpstreamResponse {
    headers: Vec<(&'static str, String)>,
    chunks: Vec<Bytes>,
}

impl UpstreamResponse {
    fn of(media_type: &str, chunks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let chunks = chunks.into_iter().map(|chunk| Bytes::from(chunk.into())).collect();
        Self { headers: vec![("content-type", media_type.to_owned())], chunks }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn build(&self) -> Response<ScriptedBody> {
        let mut response = Response::builder();
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response.body(ScriptedBody::new(self.chunks.iter().cloned().map(Step::Bytes))).unwrap()
    }
}

/// The layers of a gateway and what they record.
struct Gateway {
    cache: CacheLayer,
    budget: Option<TokenBudgetLayer>,
    logged: Arc<Mutex<Vec<Logged>>>,
    // Request bodies that went to the upstream.
    sent: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    fn new() -> Self {
        let cache = CacheLayer::new("upstream", Scope::Identity).cacheable(Cacheable::always());
        Self { cache, budget: None, logged: Arc::default(), sent: Arc::default() }
    }

    /// Returns a gateway with a budget whose clock does not advance.
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

    fn last(&self) -> Logged {
        *self.logged.lock().unwrap().last().unwrap()
    }

    /// Sends a request. Returns `cache-status` and the first `frames` of the body.
    async fn send(
        &self,
        path: &str,
        body: &str,
        response: &UpstreamResponse,
        frames: usize,
    ) -> (String, Vec<u8>) {
        let mut request = Request::post(path)
            .header(CONTENT_TYPE, JSON)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "a")));
        let (logged, sent, response) = (self.logged.clone(), self.sent.clone(), response.clone());
        let log = AccessLogLayer::sink(move |record: &Record<'_>| {
            let usage = record.usage().unwrap_or_default();
            let usage = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens);
            logged.lock().unwrap().push(Logged { usage, end: record.stream_end() });
        });
        let upstream = service_fn(move |request: Request<Payload>| {
            let body = request.body().bytes().unwrap().to_vec();
            sent.lock().unwrap().push(String::from_utf8(body).unwrap());
            ready(Ok::<_, Infallible>(response.build()))
        });
        let outside =
            ServiceBuilder::new().layer(log).layer(PayloadLayer::new()).layer(self.cache.clone());
        match &self.budget {
            Some(budget) => read(outside.layer(budget.clone()).service(upstream), request, frames),
            None => return read(outside.service(upstream), request, frames).await,
        }
        .await
    }

    /// Sends a request twice and checks that both bodies are unchanged.
    ///
    /// Returns whether the response was stored, and the log record of the first request.
    async fn twice(&self, path: &str, body: &str, response: &UpstreamResponse) -> (bool, Logged) {
        let before = self.calls();
        let whole = response.chunks.concat();
        let (status, first) = self.send(path, body, response, usize::MAX).await;
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&whole));
        assert_eq!(status, "tower-inference; fwd=miss");
        let logged = self.last();
        let (status, second) = self.send(path, body, response, usize::MAX).await;
        assert_eq!(second, whole);
        let stored = self.calls() == before + 1;
        assert_eq!(status.starts_with("tower-inference; hit"), stored, "{status}");
        (stored, logged)
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

/// A request without a limit of the output.
const UNLIMITED: &str =
    r#"{"model":"m","temperature":0,"messages":[{"role":"user","content":"Say hi."}]}"#;

fn limited() -> String {
    UNLIMITED.replace("\"model\"", "\"max_tokens\":2,\"model\"")
}

fn streamed() -> String {
    UNLIMITED.replace("\"model\"", "\"stream\":true,\"model\"")
}

/// A chat completion in JSON with this finish reason.
fn plain(reason: &str) -> UpstreamResponse {
    UpstreamResponse::of(
        JSON,
        [format!(
            r#"{{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"The ans"}},"finish_reason":{reason}}}],"usage":{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}}}"#
        )],
    )
}

/// The same chat completion as a stream.
fn chunks(reason: &str) -> UpstreamResponse {
    let delta = r#"data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"The ans"},"finish_reason":null}]}"#;
    let last = format!(
        r#"data: {{"id":"c1","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{}},"finish_reason":{reason}}}]}}"#
    );
    UpstreamResponse::of(
        EVENTS,
        [format!("{delta}\n\n"), format!("{last}\n\n"), "data: [DONE]\n\n".into()],
    )
}

// === the reported cases ===

#[tokio::test]
async fn anthropic_messages_stream() {
    let gateway = Gateway::with_budget();
    let body = r#"{"model":"claude-x","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Say hi."}]}"#;
    let response = UpstreamResponse::of(
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
    let (stored, logged) = gateway.twice("/v1/messages", body, &response).await;
    let usage = (Some(25), Some(15), None);
    assert_eq!((stored, logged), (true, Logged { usage, end: Some(StreamEnd::Done) }));
    assert_eq!(gateway.charged().await, 40);
    assert!(!gateway.sent.lock().unwrap()[0].contains("stream_options"));

    // The client leaves after `Hello`.
    let gateway = Gateway::with_budget();
    gateway.send("/v1/messages", body, &response, 4).await;
    let logged = gateway.last();
    assert_eq!((logged.usage.0, logged.end), (Some(25), Some(StreamEnd::Cut)));
    assert!((26..40).contains(&gateway.charged().await), "{}", gateway.charged().await);
}

#[tokio::test]
async fn llamacpp_error_field() {
    let first = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n";
    let error = "error: {\"code\":400,\"message\":\"the request exceeds the available context size\",\"type\":\"invalid_request_error\"}\n\n";
    let done = "data: [DONE]\n\n";
    let gateway = Gateway::with_budget();
    let failing = UpstreamResponse::of(EVENTS, [first, error, done]);
    let (stored, logged) = gateway.twice(CHAT, &streamed(), &failing).await;
    assert_eq!((stored, logged.end), (false, Some(StreamEnd::Failed)));
    // The next response has no failure.
    let (stored, logged) = gateway.twice(CHAT, &streamed(), &chunks("\"stop\"")).await;
    assert_eq!((stored, logged.end), (true, Some(StreamEnd::Done)));

    // A stream with neither an error nor a finish reason nor content.
    let (stored, logged) =
        Gateway::new().twice(CHAT, &streamed(), &UpstreamResponse::of(EVENTS, [first, done])).await;
    assert_eq!((stored, logged.end), (false, Some(StreamEnd::Failed)));
}

#[tokio::test]
async fn error_event_then_done() {
    let gateway = Gateway::with_budget();
    let failing = UpstreamResponse::of(
        EVENTS,
        [
            "data: {\"error\":{\"message\":\"quota exceeded\",\"type\":\"GatewayTimeout\",\"code\":504}}\n\n",
            "data: [DONE]\n\n",
        ],
    );
    let (stored, logged) = gateway.twice(CHAT, &streamed(), &failing).await;
    assert_eq!((stored, logged.end), (false, Some(StreamEnd::Failed)));
    let (stored, _) = gateway.twice(CHAT, &streamed(), &chunks("\"stop\"")).await;
    assert!(stored);
}

#[tokio::test]
async fn truncated_or_aborted_responses_are_not_stored() {
    let failed = ["\"abort\"", "\"error\"", "\"insufficient_system_resource\""];
    for reason in failed.into_iter().chain(["null", "\"\"", "\"repetition\""]) {
        for body in [UNLIMITED.to_owned(), limited()] {
            let (stored, logged) = Gateway::with_budget().twice(CHAT, &body, &plain(reason)).await;
            assert!(!stored, "{reason}");
            assert_eq!(logged.usage, (Some(9), Some(2), Some(11)));
        }
        let (stored, logged) = Gateway::new().twice(CHAT, &streamed(), &chunks(reason)).await;
        assert!(!stored, "{reason}, streamed");
        let end = if failed.contains(&reason) { StreamEnd::Failed } else { StreamEnd::Done };
        assert_eq!(logged.end, Some(end), "{reason}");
    }
    for reason in ["stop", "tool_calls", "function_call", "content_filter", "eos_token"] {
        let reason = format!("\"{reason}\"");
        assert!(Gateway::new().twice(CHAT, UNLIMITED, &plain(&reason)).await.0, "{reason}");
        let (stored, logged) = Gateway::new().twice(CHAT, &streamed(), &chunks(&reason)).await;
        assert_eq!((stored, logged.end), (true, Some(StreamEnd::Done)), "{reason}, streamed");
    }
    // Every choice must have ended well.
    let two = |reason| {
        let plain = String::from_utf8(plain("\"stop\"").chunks[0].to_vec()).unwrap();
        let other = format!(
            "\"choices\":[{{\"index\":1,\"message\":{{\"content\":\"a\"}},\"finish_reason\":{reason}}},"
        );
        UpstreamResponse::of(JSON, [plain.replace("\"choices\":[", &other)])
    };
    for (reason, stored) in [("\"stop\"", true), ("\"abort\"", false), ("null", false)] {
        assert_eq!(Gateway::new().twice(CHAT, UNLIMITED, &two(reason)).await.0, stored, "{reason}");
    }
}

/// The limit is known if the request has it or the budget adds it. A limit of the server is unknown.
#[tokio::test]
async fn response_at_a_known_limit_is_stored() {
    for (gateway, body, stored) in [
        (Gateway::new(), UNLIMITED.to_owned(), false),
        (Gateway::new(), UNLIMITED.replace("\"model\"", "\"max_tokens\":null,\"model\""), false),
        (Gateway::new(), limited(), true),
        (Gateway::with_budget(), UNLIMITED.to_owned(), true),
    ] {
        assert_eq!(gateway.twice(CHAT, &body, &plain("\"length\"")).await.0, stored, "{body}");
        // The other prompt prevents a hit of the plain response.
        let body = body.replace("hi.", "ho.").replace("\"model\"", "\"stream\":true,\"model\"");
        let (was_stored, logged) = gateway.twice(CHAT, &body, &chunks("\"length\"")).await;
        // The stream has its end mark in both cases.
        // The stream tells no count, so a limit of the request is not known to be reached.
        let stored = stored && !body.contains("max_tokens");
        assert_eq!((was_stored, logged.end), (stored, Some(StreamEnd::Done)), "{body}");
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
        let response = UpstreamResponse::of(EVENTS, events.into_iter().chain([end]));
        let gateway = Gateway::with_budget();
        let (stored, logged) = gateway.twice(CHAT, &body, &response).await;
        let usage = (Some(9), Some(1), Some(10));
        assert_eq!(
            (stored, logged),
            (true, Logged { usage, end: Some(StreamEnd::Done) }),
            "{end:?}"
        );
        // A client that leaves after the end mark has the complete stream.
        gateway.send(CHAT, &body.replace("hi.", "ho."), &response, 4).await;
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
    let response = UpstreamResponse::of(EVENTS, chunks.clone());
    let (_, shown) = gateway.send("/v1/completions", body, &response, usize::MAX).await;
    // The client did not request usage.
    assert_eq!(String::from_utf8(shown).unwrap(), chunks.concat().replace(usage, ""));
    assert!(gateway.sent.lock().unwrap()[0].contains("include_usage"));
    let logged = gateway.last();
    let expected = Logged { usage: (Some(1), Some(16), Some(17)), end: Some(StreamEnd::Done) };
    assert_eq!((logged, gateway.charged().await), (expected, 17));
}

#[tokio::test]
async fn vary_of_tower_http_cors() {
    let response = UpstreamResponse::of(JSON, ["[[0.1,0.2]]"])
        .header("vary", "origin, access-control-request-method, access-control-request-headers")
        .header("access-control-allow-origin", "*")
        .header("x-compute-tokens", "3");
    let gateway = Gateway::new();
    let (stored, logged) = gateway.twice("/embed", r#"{"inputs":["a"]}"#, &response).await;
    assert_eq!((stored, logged.usage.0), (true, Some(3)));
}
