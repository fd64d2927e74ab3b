//! One pass over an answer: what it says of usage, and how its event stream ended.
//!
//! A layer that watches answers asks for a [`Tap`] and hands it what its own
//! [`Watch`] is told. The innermost who asks runs it, and everybody reads in
//! the [`RequestContext`] what it finds. It delays, copies and
//! changes nothing that passes.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderMap, Method, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower_inference::{
//!     body::{BodyEnd, Watch, WatchedBody},
//!     context::{RequestContext, StreamEnd},
//!     tap::Tap,
//! };
//!
//! struct Bill {
//!     context: RequestContext,
//!     tap: Option<Tap>,
//! }
//!
//! impl Watch for Bill {
//!     fn data(&mut self, data: &Bytes) {
//!         if let Some(tap) = &mut self.tap {
//!             tap.data(data);
//!         }
//!     }
//!     fn end(&mut self, end: BodyEnd) {
//!         if let Some(tap) = &mut self.tap {
//!             tap.end(end);
//!         }
//!         // Whether this tap ran or another, further in:
//!         assert_eq!(self.context.stream_end(), Some(StreamEnd::Done));
//!         assert_eq!(self.context.usage().unwrap().total_tokens, Some(12));
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let stream = concat!(
//!     "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n",
//!     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"total_tokens\":12}}\n\n",
//!     "data: [DONE]\n\n",
//! );
//! let response = Response::builder()
//!     .header("content-type", "text/event-stream")
//!     .body(Full::new(Bytes::from(stream)))
//!     .unwrap();
//!
//! let context = RequestContext::new();
//! let tap = Tap::claim(&context, response.status(), response.headers());
//! let bill = Bill { context, tap };
//! let watched = WatchedBody::of_response(response, &Method::POST, bill);
//! assert_eq!(watched.into_body().collect().await.unwrap().to_bytes(), stream);
//! # }
//! ```
//!
//! # What is read
//!
//! | response | usage | end |
//! |---|---|---|
//! | any | `x-prompt-tokens`, `x-generated-tokens` (TGI); `x-compute-tokens` (TEI), as prompt tokens | |
//! | `application/json`, `+json` | see below, also of an object that is alone in an array | |
//! | `text/event-stream` | the same, of all events; the last count stands | see [`StreamEnd`](crate::context::StreamEnd) |
//! | `application/x-ndjson`, `application/jsonl` | the same, of all lines | the same, where a line speaks of it |
//!
//! Of the objects with counts, the first of these that is there is read:
//!
//! | object | of |
//! |---|---|
//! | `usage` | OpenAI, vLLM, Mistral, Anthropic, Bedrock, embeddings and rankings |
//! | `usage` in `response`, `message`, `delta` or `x_groq` | OpenAI's responses, Anthropic's and Cohere's streams, Groq |
//! | `tokens`, then `billed_units`, in such a `usage` or in `meta` | Cohere |
//! | `details`, `meta_info`, `usageMetadata` | TGI, SGLang, Gemini |
//! | the root: `prompt_eval_count`, `eval_count`; `tokens_evaluated`, `tokens_predicted` | Ollama; llama.cpp |
//! | `timings` | llama.cpp |
//!
//! `input_tokens` and `output_tokens` stand in for `prompt_tokens` and `completion_tokens`. Tokens that
//! a cache of prompts took or gave (`cache_creation_input_tokens`, `cache_read_input_tokens`) are added
//! to `input_tokens`. A body's counts stand over the fields; TGI's list `prefill` is counted where
//! neither tells of the prompt. A count is a whole number, also one written `12.0`; anything else (a negative number, a fraction,
//! a string) is unknown, and one beyond `u64` is `u64::MAX`. Of members with the same name the last
//! stands.
//!
//! The tokens of the text that has passed are estimated
//! ([`generated_tokens`](crate::context::RequestContext::generated_tokens)), for responses that end
//! before they tell their usage: by its words, numbers, marks and letters, as the prompt of a token
//! budget, and at least one for each event of TGI that carries a `token`. Of a stream, texts are `content`, `reasoning_content`, `reasoning`,
//! `thinking`, `refusal`, `text`, `arguments`, `partial_json` and `name`, inside of `choices`, of
//! `candidates`, of a `delta` or of a `token`, and a `delta` that is a string. An event of an unknown form
//! counts with a quarter of its bytes. Of a JSON document, texts are the members of these names,
//! `generated_text`, and a `response` that is a string.
//!
//! # How a stream ends
//!
//! | end | by |
//! |---|---|
//! | [`Failed`](crate::context::StreamEnd::Failed), whatever follows | an `error` or `errors`, an object of type `error`, an error of one level (`message` or `detail` beside nothing but codes), a status `failed` or `cancelled`; a finish reason that means it (`abort`, `error`, `insufficient_system_resource`, …); the fields `event: error` and `error:`; `[DONE]` after neither text nor finish reason |
//! | [`Done`](crate::context::StreamEnd::Done) | `[DONE]`, `generated_text` (TGI), `response.completed` and `response.incomplete` (OpenAI), `message_stop` (Anthropic), `message-end` (Cohere), `done` (Ollama), `stop` (llama.cpp); a finish reason, if the body then ends whole |
//! | [`Cut`](crate::context::StreamEnd::Cut) | none of these |
//!
//! The last event need not be closed by a blank line.
//!
//! # Limits
//!
//! A document that is not JSON, is cut off, or is deeper than 128 has no usage; text inside of
//! strings is not checked to be UTF-8.
//!
//! A JSON response allocates nothing, whatever its length. An event stream allocates one buffer, and
//! only when an event is cut between two frames of the body: of at most 128 KiB. An event of which more
//! than 64 KiB are there before its end is read as it passes. Every other response has no tap at all.
//!
//! With several choices, a `finish_reason` of one is taken for the end of all, so a stream without
//! an end mark may be called done too early.

#![cfg_attr(not(feature = "cache"), allow(dead_code, reason = "the cache alone asks for verdicts"))]

mod events;
mod found;
mod glance;
mod json;
mod lines;
mod passing;
mod place;
mod story;
mod texts;
mod usage;
mod words;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use self::{
    events::{Events, News},
    found::Found,
    json::Scanner,
    lines::Lines,
    words::Endings,
};
use crate::{
    body::{BodyEnd, Watch, is_coded},
    context::{RequestContext, Usage},
    sse::says_event_stream,
};

/// Reads an answer as it passes. See the [module](self).
pub struct Tap {
    context: RequestContext,
    // What the header fields said.
    fields: Usage,
    kind: Kind,
}

enum Kind {
    Json(Scanner),
    Events(Events),
    Lines(Lines),
}

/// Whether a response is whole, by its own words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing that it says is against it.
    Whole,
    /// Its output has met a limit, of the request or of the server.
    Limited,
    /// It failed.
    Failed,
    /// It does not say that it has ended, or ends by a word that is not known for a good end.
    Unproven,
    /// It is of a form that says nothing of its end.
    Silent,
}

impl Verdict {
    const fn of(endings: Endings) -> Self {
        if endings.has(Endings::FAILED) {
            Self::Failed
        } else if endings.has(Endings::OTHER) {
            Self::Unproven
        } else if endings.has(Endings::LIMIT) {
            Self::Limited
        } else {
            Self::Whole
        }
    }
}

impl Tap {
    /// A tap for the answer with this head, whose body must then be handed to it. What the fields
    /// say is in the context with this call.
    ///
    /// `None` when a layer further in has claimed it, or when there is nothing to read in the body:
    /// one of another type, with a content coding, or of a status that has none. Not for answers
    /// to HEAD, whose streams would all be cut.
    #[must_use]
    pub fn claim(
        context: &RequestContext,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        if !context.claim_tap() {
            return None;
        }
        let fields = Usage {
            prompt_tokens: count(headers, "x-prompt-tokens")
                .or_else(|| count(headers, "x-compute-tokens")),
            completion_tokens: count(headers, "x-generated-tokens"),
            total_tokens: None,
        };
        if fields != Usage::default() {
            context.set_usage(fields);
        }

        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        if bodiless || is_coded(headers) {
            return None;
        }
        let media_type = headers.get(CONTENT_TYPE)?.as_bytes();
        let media_type = media_type.split(|byte| *byte == b';').next()?.trim_ascii();
        let kind = if says_event_stream(headers) {
            Kind::Events(Events::new())
        } else if is_json(media_type) {
            Kind::Json(Scanner::new())
        } else if is_lines(media_type) {
            Kind::Lines(Lines::new())
        } else {
            return None;
        };
        Some(Self { context: context.clone(), fields, kind })
    }

    /// Whether the response is whole, now that its body has ended.
    #[cfg(feature = "cache")]
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.kind {
            Kind::Json(scanner) => of_document(scanner),
            Kind::Events(events) => events.verdict(),
            Kind::Lines(lines) => lines.verdict(),
        }
    }

    /// By the estimate, and at least, so many tokens were generated so far.
    fn hear(&self, news: News, (tokens, least): (u64, u64)) {
        self.context.set_generated_tokens(tokens, least);
        if let Some(told) = news.told {
            self.context.set_usage(told.usage(self.fields));
        }
        if let Some(end) = news.end {
            self.context.set_stream_end(end);
        }
    }
}

impl Watch for Tap {
    fn data(&mut self, data: &Bytes) {
        let (news, tokens) = match &mut self.kind {
            Kind::Json(scanner) => return scanner.feed(data),
            Kind::Events(events) => {
                let news = events.feed(data);
                (news, (events.tokens(), events.least_tokens()))
            }
            Kind::Lines(lines) => {
                let news = lines.feed(data);
                (news, (lines.tokens(), lines.least_tokens()))
            }
        };
        self.hear(news, tokens);
    }

    fn end(&mut self, end: BodyEnd) {
        let (news, tokens) = match &mut self.kind {
            Kind::Json(scanner) => {
                let told = scanner.finish().and_then(Found::told);
                (News { told, end: None }, (scanner.texts().estimate(), scanner.texts().least()))
            }
            Kind::Events(events) => {
                let news = events.finish(end);
                (news, (events.tokens(), events.least_tokens()))
            }
            Kind::Lines(lines) => {
                let news = lines.finish(end);
                (news, (lines.tokens(), lines.least_tokens()))
            }
        };
        self.hear(news, tokens);
    }
}

/// Whether a document that stands by itself is a whole response. One that is not JSON is not.
#[cfg(feature = "cache")]
fn of_document(scanner: &Scanner) -> Verdict {
    match scanner.finish() {
        Some(found) if found.failed() => Verdict::Failed,
        Some(found) if !found.is_open() => Verdict::of(found.endings()),
        _ => Verdict::Unproven,
    }
}

/// The verdict on a JSON document that does not say that it is one.
#[cfg(feature = "cache")]
pub(crate) fn verdict_of(document: &[u8]) -> Verdict {
    let mut scanner = Scanner::new();
    scanner.feed(document);
    of_document(&scanner)
}

impl fmt::Debug for Tap {
    // Without what it holds of the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Json(_) => "json",
            Kind::Events(_) => "events",
            Kind::Lines(_) => "lines",
        };
        f.debug_struct("Tap").field("kind", &kind).finish_non_exhaustive()
    }
}

fn count(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = headers.get(name)?.as_bytes();
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |count, digit| append(count, *digit)))
}

/// The character that this one stands for after a backslash (RFC 8259 section 7).
const fn unescaped(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' | b'f' => b' ',
        other => other,
    }
}

/// `count` with one more digit, at most `u64::MAX`.
fn append(count: u64, digit: u8) -> u64 {
    count.saturating_mul(10).saturating_add(u64::from(digit & 0x0f))
}

fn is_json(media_type: &[u8]) -> bool {
    let suffix = media_type.len().checked_sub(5).and_then(|at| media_type.get(at..));
    media_type.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

fn is_lines(media_type: &[u8]) -> bool {
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]
        .iter()
        .any(|lines| media_type.eq_ignore_ascii_case(lines.as_bytes()))
}
