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
//! | answer | usage | end |
//! |---|---|---|
//! | any | `x-prompt-tokens`, `x-generated-tokens` (TGI); `x-compute-tokens` (TEI), as prompt tokens | |
//! | `application/json`, `+json` | `usage` (OpenAI); `details` (TGI), also of an object that is alone in an array | |
//! | `text/event-stream` | the same of the last event that has any; `response.usage` (OpenAI's responses) | see [`StreamEnd`](crate::context::StreamEnd) |
//!
//! The tokens of the text that has passed are estimated
//! ([`generated_tokens`](crate::context::RequestContext::generated_tokens)), for responses that end
//! before they tell their usage: a quarter of its bytes in UTF-8, and at least one for each event of
//! TGI that carries a `token`. Of a stream, texts are `content`, `reasoning_content`, `reasoning`,
//! `thinking`, `refusal`, `text`, `arguments`, `partial_json` and `name`, inside of `choices`, of a
//! `delta` or of a `token`, and a `delta` that is a string. An event of an unknown form counts with all
//! its bytes. Of a JSON document, texts are the members of these names, and `generated_text`.
//!
//! What the body says stands over the fields. `input_tokens` and `output_tokens` stand in for
//! `prompt_tokens` and `completion_tokens`. A count is a whole number; anything else (a negative
//! number, a fraction, a string) is unknown, and one beyond `u64` is `u64::MAX`. Of members with
//! the same name the last stands.
//!
//! A stream is [`Failed`](crate::context::StreamEnd::Failed) by an event of type `error`, one that
//! carries an `error`, or `response.failed`, whatever follows. It is
//! [`Done`](crate::context::StreamEnd::Done) by `[DONE]`, by TGI's `generated_text`, by
//! `response.completed` or `response.incomplete`; and by a `finish_reason` if the body then ends
//! whole. Else it was [`Cut`](crate::context::StreamEnd::Cut).
//!
//! # Limits
//!
//! A document that is not JSON, is cut off, or is deeper than 128 has no usage; text inside of
//! strings is not checked to be UTF-8. An event beyond
//! [`Framer::DEFAULT_MAX_FRAME`](crate::sse::Framer::DEFAULT_MAX_FRAME) is passed over.
//!
//! A JSON answer allocates nothing, whatever its length. An event stream allocates one buffer, and
//! only when an event is cut between two frames of the body: as long as the longest of those, at
//! most twice the limit. Every other answer has no tap at all.
//!
//! With several choices, a `finish_reason` of one is taken for the end of all, so a stream without
//! an end mark may be called done too early.

mod events;
mod found;
mod json;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use self::{events::Events, json::Scanner};
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
        } else {
            return None;
        };
        Some(Self { context: context.clone(), fields, kind })
    }

    /// Whether what was read is a JSON object that carries an `error`.
    #[cfg(feature = "cache")]
    pub(crate) fn says_error(&self) -> bool {
        match &self.kind {
            Kind::Json(scanner) => scanner.finish().is_some_and(|found| found.error),
            Kind::Events(_) => false,
        }
    }

    fn set_usage(&self, body: Usage) {
        self.context.set_usage(Usage {
            prompt_tokens: body.prompt_tokens.or(self.fields.prompt_tokens),
            completion_tokens: body.completion_tokens.or(self.fields.completion_tokens),
            total_tokens: body.total_tokens,
        });
    }
}

impl Watch for Tap {
    fn data(&mut self, data: &Bytes) {
        match &mut self.kind {
            Kind::Json(scanner) => scanner.feed(data),
            Kind::Events(events) => {
                let news = events.feed(data);
                self.context.set_generated_tokens(events.tokens());
                if let Some(usage) = news.usage {
                    self.set_usage(usage);
                }
                if let Some(end) = news.end {
                    self.context.set_stream_end(end);
                }
            }
        }
    }

    fn end(&mut self, end: BodyEnd) {
        match &self.kind {
            Kind::Json(scanner) => {
                self.context.set_generated_tokens(tokens_of(scanner.text_bytes()));
                if let Some(usage) = scanner.finish().and_then(|found| found.usage()) {
                    self.set_usage(usage);
                }
            }
            Kind::Events(events) => self.context.set_stream_end(events.finish(end)),
        }
    }
}

impl fmt::Debug for Tap {
    // Without what it holds of the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Json(_) => "json",
            Kind::Events(_) => "events",
        };
        f.debug_struct("Tap").field("kind", &kind).finish_non_exhaustive()
    }
}

fn count(headers: &HeaderMap, name: &str) -> Option<u64> {
    let digits = headers.get(name)?.as_bytes();
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |count, digit| append(count, *digit)))
}

/// How many tokens a text of so many bytes has, estimated as that of a prompt.
const fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

/// The bytes in UTF-8 of a UTF-16 code unit. Each half of a surrogate pair is half of four.
const fn length_of_unit(code: u32) -> u64 {
    match code {
        0..0x80 => 1,
        0x80..0x800 | 0xd800..0xe000 => 2,
        _ => 3,
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
