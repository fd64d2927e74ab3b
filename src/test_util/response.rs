use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::body::{TestBody, TestEnd};

/// A scripted response of a [`TestUpstream`](super::TestUpstream).
///
/// ```
/// use http::StatusCode;
/// use serde_json::json;
/// use tower_inference::test_util::{TestResponse, TestUpstream};
///
/// let upstream = TestUpstream::new(TestResponse::chat_stream(["Hel", "lo"]))
///     .then(TestResponse::chat_stream(["Hel"]).then_fails())
///     .then(TestResponse::error(StatusCode::TOO_MANY_REQUESTS))
///     .then(TestResponse::unreachable())
///     .then(TestResponse::json(json!({ "data": [] })));
/// # drop(upstream);
/// ```
#[derive(Clone, Debug)]
pub struct TestResponse {
    script: Script,
}

#[derive(Clone, Debug)]
enum Script {
    Response { head: Box<Response<()>>, frames: Vec<Bytes>, end: TestEnd },
    Unreachable,
    Silent,
}

/// The outcome of one call.
pub(super) enum Played {
    Response(Response<TestBody>),
    Unreachable,
    Silent,
}

impl TestResponse {
    /// Creates a response with status 200 and a JSON body.
    #[must_use]
    pub fn json(body: impl Into<Value>) -> Self {
        Self::of("application/json", [body.into().to_string().into()])
    }

    /// Creates a whole chat completion with this content and with usage. Each word counts as a token.
    #[must_use]
    pub fn chat(content: &str) -> Self {
        let message = json!({ "role": "assistant", "content": content });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let tokens = content.split_whitespace().count();
        let usage = json!({
            "prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1,
        });
        Self::json(envelope("chat.completion", json!([choice]), usage))
    }

    /// Creates a chat completion as an event stream. Each piece of the content is one frame.
    ///
    /// The stream ends with `[DONE]` unless [`then_fails`](Self::then_fails) or
    /// [`then_stalls`](Self::then_stalls) cuts it after its last piece. It reports no usage.
    #[must_use]
    pub fn chat_stream<T: AsRef<str>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let chunk = |delta: Value, finish: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
            envelope("chat.completion.chunk", json!([choice]), Value::Null).to_string()
        };
        let pieces = pieces
            .into_iter()
            .map(|piece| chunk(json!({ "role": "assistant", "content": piece.as_ref() }), None));
        Self::events(pieces.chain([chunk(json!({}), Some("stop")), "[DONE]".to_owned()]))
    }

    /// Creates an event stream. Each item is the data of one event and must be one line.
    #[must_use]
    pub fn events<T: AsRef<str>>(data: impl IntoIterator<Item = T>) -> Self {
        let events = data.into_iter().map(|data| format!("data: {}\n\n", data.as_ref()).into());
        Self::of("text/event-stream", events)
    }

    /// Creates a response with this status and an error body in the form of OpenAI.
    #[must_use]
    pub fn error(status: StatusCode) -> Self {
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let error = json!({ "message": "a scripted error", "type": kind });
        Self::json(json!({ "error": error })).status(status)
    }

    /// Creates a fault: the connection to the upstream cannot be made.
    #[must_use]
    pub const fn unreachable() -> Self {
        Self { script: Script::Unreachable }
    }

    /// Creates a fault: the upstream takes the request and never responds.
    #[must_use]
    pub const fn silent() -> Self {
        Self { script: Script::Silent }
    }

    /// Sets the status. Has no effect on [`unreachable`](Self::unreachable) and
    /// [`silent`](Self::silent).
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        if let Script::Response { head, .. } = &mut self.script {
            *head.status_mut() = status;
        }
        self
    }

    /// Sets a header and replaces an earlier value. Has no effect on
    /// [`unreachable`](Self::unreachable) and [`silent`](Self::silent).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Script::Response { head, .. } = &mut self.script {
            head.headers_mut().insert(name, value);
        }
        self
    }

    /// Cuts the body: it fails after its data. A chat stream fails before its finish reason.
    #[must_use]
    pub fn then_fails(self) -> Self {
        self.ends(TestEnd::Fails)
    }

    /// Stalls the body: it never ends after its data. A chat stream stalls before its finish reason.
    #[must_use]
    pub fn then_stalls(self) -> Self {
        self.ends(TestEnd::Stalls)
    }

    fn ends(mut self, as_scripted: TestEnd) -> Self {
        if let Script::Response { frames, end, .. } = &mut self.script {
            let done = frames.iter().rposition(|frame| &**frame == b"data: [DONE]\n\n");
            // The chunk with the finish reason precedes `[DONE]`.
            frames.truncate(done.map_or(frames.len(), |at| at.saturating_sub(1)));
            *end = as_scripted;
        }
        self
    }

    fn of(content_type: &'static str, frames: impl IntoIterator<Item = Bytes>) -> Self {
        let mut head = Response::new(());
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let frames = frames.into_iter().collect();
        Self { script: Script::Response { head: Box::new(head), frames, end: TestEnd::Complete } }
    }

    pub(super) fn play(&self) -> Played {
        match &self.script {
            Script::Unreachable => Played::Unreachable,
            Script::Silent => Played::Silent,
            Script::Response { head, frames, end } => {
                let body = TestBody::new(frames.iter().cloned(), *end);
                Played::Response(head.as_ref().clone().map(|()| body))
            }
        }
    }
}

fn envelope(object: &str, choices: Value, usage: Value) -> Value {
    json!({
        "id": "chatcmpl-test", "object": object, "created": 0, "model": "test",
        "choices": choices, "usage": usage,
    })
}
