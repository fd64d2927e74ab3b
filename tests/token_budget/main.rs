//! `TokenBudgetLayer`: reservations, settlements and cut streams.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod counts;
mod cuts;
mod floor;
mod held;
mod media;
mod requests;
mod settled;
mod wire;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use support::{ScriptedBody, Step};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    limits::{Limit, MemoryStore, Rate, Subject},
    payload::Payload,
    token_budget::TokenBudgetLayer,
};

/// A capacity that no test reaches. Each permit takes a whole number of nanoseconds to grow.
const PLENTY: u32 = 100_000_000;

/// A budget on a stopped clock.
struct Budget {
    layer: TokenBudgetLayer,
    clock: FakeClock,
    most: u32,
}

impl Budget {
    fn plenty() -> Self {
        Self::of(PLENTY)
    }

    fn of(most: u32) -> Self {
        let clock = FakeClock::new(SystemTime::UNIX_EPOCH);
        let store = MemoryStore::new().clock(SharedClock::new(clock.clone()));
        let layer = TokenBudgetLayer::new(Limit::global(Rate::per_day(most))).store(store);
        Self { layer, clock, most }
    }

    /// Returns the tokens taken so far, without debt.
    async fn used(&self) -> u64 {
        let state = self.layer.limit_state("global", &Subject::global()).await.unwrap();
        u64::from(self.most) - state.remaining
    }

    /// Returns the charge of one request whose response is read to its end.
    async fn charge(&self, request: Request<Payload>, answer: Answer) -> u64 {
        let before = self.used().await;
        let service =
            self.layer.layer(service_fn(move |_| ready(Ok::<_, Infallible>(answer.give()))));
        let response = service.oneshot(request).await.unwrap();
        let _shown = response.into_body().collect().await;
        self.used().await - before
    }
}

/// The upstream's response.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    fields: Vec<(&'static str, String)>,
    frames: Vec<Bytes>,
    fails: bool,
}

impl Answer {
    fn json(body: impl Into<Bytes>) -> Self {
        let fields = vec![("content-type", "application/json".into())];
        Self { status: StatusCode::OK, fields, frames: vec![body.into()], fails: false }
    }

    fn stream(body: impl Into<Bytes>) -> Self {
        let fields = vec![("content-type", "text/event-stream".into())];
        Self { fields, ..Self::json(body) }
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status.try_into().unwrap();
        self
    }

    fn field(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    fn give(&self) -> Response<ScriptedBody> {
        let mut steps: Vec<_> = self.frames.iter().cloned().map(Step::Bytes).collect();
        if self.fails {
            steps.push(Step::Error);
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.fields {
            response = response.header(*name, value);
        }
        response.body(ScriptedBody::new(steps)).unwrap()
    }
}

fn post(path: &str, body: impl Into<String>) -> Request<Payload> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    request.body(Payload::buffered(body.into())).unwrap()
}

/// A chat of two words: 3 tokens by the estimate, and 4 around the message; at most 10 come out.
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"abcd"}],"max_tokens":10}"#;
const CHAT_PROMPT: u64 = 7;
const STREAMED: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"abcd"}],"max_tokens":10,"stream":true}"#;

fn chat() -> Request<Payload> {
    post("/v1/chat/completions", CHAT)
}

fn streamed() -> Request<Payload> {
    post("/v1/chat/completions", STREAMED)
}

/// A stream of `tokens` deltas of one word, with its usage if there is one.
fn events(tokens: u64, usage: Option<(u64, u64)>) -> String {
    let mut stream = String::from(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    );
    for _ in 0..tokens {
        stream += "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" tea\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    }
    stream += "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    if let Some((prompt, completion)) = usage {
        stream += &usage_chunk(prompt, completion);
    }
    stream + "data: [DONE]\n\n"
}

/// The estimate of so many words of eight letters at most.
fn estimate_of(words: u64) -> u64 {
    (words * 122).div_ceil(100)
}

fn usage_chunk(prompt: u64, completion: u64) -> String {
    let total = prompt + completion;
    format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{total}}}}}\n\n",
    )
}

fn usage(prompt: u64, completion: u64) -> String {
    let total = prompt + completion;
    format!(
        r#"{{"choices":[{{"message":{{"content":"x"}}}}],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}}}"#,
    )
}

/// The bodies that reached the upstream.
type Seen = Arc<Mutex<Vec<String>>>;

/// An upstream that stores the bodies.
fn remembering(
    seen: &Seen,
    answer: Answer,
) -> impl Fn(Request<Payload>) -> Ready<Result<Response<ScriptedBody>, Infallible>> + Clone + use<>
{
    let seen = Arc::clone(seen);
    move |request: Request<Payload>| {
        let body = request.body().bytes().unwrap().to_vec();
        seen.lock().unwrap().push(String::from_utf8(body).unwrap());
        ready(Ok(answer.give()))
    }
}

/// Pseudo-random numbers, the same in each run (xorshift).
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
