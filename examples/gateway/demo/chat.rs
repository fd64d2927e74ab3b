//! Chat completions that repeat the prompt, whole or as a stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::time::{Interval, interval};

use super::upstream::error;

/// The pause between two events of a stream.
const PAUSE: Duration = Duration::from_millis(30);

pub(super) async fn completions(body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let Some(messages) = request["messages"].as_array().filter(|messages| !messages.is_empty())
    else {
        return error(StatusCode::BAD_REQUEST, "`messages` must have at least one message");
    };
    let completion = Completion::of(messages, limit(&request));
    if request["stream"] == true {
        let with_usage = request["stream_options"]["include_usage"] == true;
        let stream = Body::new(Paced::new(completion.events(with_usage)));
        ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
    } else {
        Json(completion.whole()).into_response()
    }
}

fn limit(request: &Value) -> Option<usize> {
    let limits = ["max_completion_tokens", "max_tokens"];
    let limit = limits.into_iter().find_map(|name| request[name].as_u64())?;
    usize::try_from(limit).ok()
}

/// A completion. Each word counts as a token.
struct Completion {
    words: Vec<String>,
    finish: &'static str,
    prompt_tokens: usize,
}

// === impl Completion ===

impl Completion {
    fn of(messages: &[Value], limit: Option<usize>) -> Self {
        let texts: Vec<String> = messages.iter().map(text).collect();
        let last = texts.last().map_or("", String::as_str);
        let text = format!("This is a demo and no model has run. You wrote: {last}");
        let words = text.split_inclusive(' ').map(str::to_owned);
        let mut words: Vec<String> = words.collect();
        let limit = limit.unwrap_or(usize::MAX);
        let finish = if words.len() > limit { "length" } else { "stop" };
        words.truncate(limit);
        let prompt_tokens = texts.iter().map(|text| text.split_whitespace().count()).sum();
        Self { words, finish, prompt_tokens }
    }

    fn whole(&self) -> Value {
        let message = json!({ "role": "assistant", "content": self.words.concat() });
        let choice = json!({ "index": 0, "message": message, "finish_reason": self.finish });
        let mut whole = envelope("chat.completion", json!([choice]));
        whole["usage"] = self.usage();
        whole
    }

    fn events(&self, with_usage: bool) -> VecDeque<Bytes> {
        let chunk = |delta: Value, finish: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
            envelope("chat.completion.chunk", json!([choice]))
        };
        let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), None)];
        chunks.extend(self.words.iter().map(|word| chunk(json!({ "content": word }), None)));
        chunks.push(chunk(json!({}), Some(self.finish)));
        if with_usage {
            let mut last = envelope("chat.completion.chunk", json!([]));
            last["usage"] = self.usage();
            chunks.push(last);
        }
        let events = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\n\n")));
        events.chain([Bytes::from_static(b"data: [DONE]\n\n")]).collect()
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.words.len(),
            "total_tokens": self.prompt_tokens + self.words.len(),
        })
    }
}

fn envelope(object: &str, choices: Value) -> Value {
    json!({
        "id": "chatcmpl-demo",
        "object": object,
        "created": 0,
        "model": "demo",
        "system_fingerprint": "demo",
        "choices": choices,
    })
}

/// Returns the text of a message, whole or in parts.
fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

/// A body that sends its events one by one.
struct Paced {
    events: VecDeque<Bytes>,
    pace: Interval,
}

impl Paced {
    fn new(events: VecDeque<Bytes>) -> Self {
        Self { events, pace: interval(PAUSE) }
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let _due = ready!(self.pace.poll_tick(cx));
        Poll::Ready(self.events.pop_front().map(|event| Ok(Frame::data(event))))
    }
}
