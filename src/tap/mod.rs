//! Reads token usage and the end of a stream from a response as it passes.
//!
//! Logs, budgets and caches need facts from inside a response: how many tokens it used, and whether
//! its stream ended well. A [`Tap`] reads them without delaying, copying or changing the body. It
//! writes them into the [`RequestContext`]:
//!
//! ```
//! # use http::{HeaderMap, StatusCode};
//! # use tower_inference::{context::RequestContext, tap::Tap};
//! # let (context, status, headers) = (RequestContext::new(), StatusCode::OK, HeaderMap::new());
//! let tap = Tap::claim(&context, status, &headers);
//! ```
//!
//! The innermost layer that claims the tap of a request runs it. Layers outside of it read the same
//! results from the context. A layer passes what its own [`Watch`] receives on to its tap:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower_inference::{
//!     body::{BodyEnd, Watch, WatchedBody},
//!     context::{RequestContext, StreamEnd},
//!     tap::Tap,
//! };
//!
//! struct TokenMeter {
//!     context: RequestContext,
//!     tap: Option<Tap>,
//! }
//!
//! impl Watch for TokenMeter {
//!     fn data(&mut self, data: &Bytes) {
//!         if let Some(tap) = &mut self.tap {
//!             tap.data(data);
//!         }
//!     }
//!     fn end(&mut self, end: BodyEnd) {
//!         if let Some(tap) = &mut self.tap {
//!             tap.end(end);
//!         }
//!         // Another layer further in may have run the tap instead.
//!         let outcome = self.context.outcome();
//!         assert_eq!(outcome.stream_end, Some(StreamEnd::Done));
//!         assert_eq!(outcome.usage.unwrap().total_tokens, Some(12));
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
//! let meter = TokenMeter { context, tap };
//! let watched = WatchedBody::of_response(response, &Method::POST, meter);
//! assert_eq!(watched.into_body().collect().await.unwrap().to_bytes(), stream);
//! # }
//! ```
//!
//! # Responses
//!
//! | response | usage | end of the stream |
//! |---|---|---|
//! | any | headers `x-prompt-tokens` and `x-generated-tokens` (TGI); `x-compute-tokens` (TEI) as prompt tokens | |
//! | `application/json`, `+json` | members [below](#usage), also of the only object in an array | |
//! | `text/event-stream` | the same members in all events; the last count is used | [see below](#how-a-stream-ends) |
//! | `application/x-ndjson`, `application/jsonl` | the same members in all lines | the same signs; no end if no line has one |
//!
//! # Usage
//!
//! The first of these objects that has counts is read:
//!
//! | object | sent by |
//! |---|---|
//! | `usage` | OpenAI, vLLM, Mistral, Anthropic, Bedrock, embeddings and rankings |
//! | `usage` in `response`, `message`, `delta` or `x_groq` | OpenAI's responses, Anthropic's and Cohere's streams, Groq |
//! | `tokens`, then `billed_units`, in such a `usage` or in `meta` | Cohere |
//! | `details`, `meta_info`, `usageMetadata` | TGI, SGLang, Gemini |
//! | the root: `prompt_eval_count`, `eval_count`; `tokens_evaluated`, `tokens_predicted` | Ollama; llama.cpp |
//! | `timings` | llama.cpp |
//!
//! - `input_tokens` and `output_tokens` are read where `prompt_tokens` and `completion_tokens` are
//!   missing.
//! - Tokens of a prompt cache are added to `input_tokens`: `cache_creation_input_tokens` and
//!   `cache_read_input_tokens`.
//! - Cached and reasoning tokens are read [apart](#cached-and-reasoning-tokens).
//! - The counts of a body take precedence over the headers. The elements of TGI's list `prefill`
//!   are the prompt tokens if both lack them.
//! - A count is a whole number and may be written `12.0`. Any other value is unknown. A number beyond
//!   `u64` is read as `u64::MAX`.
//! - The last of several members with the same name is used.
//!
//! # Cached and reasoning tokens
//!
//! [`Usage::cached_tokens`] is the part of the prompt that the upstream read from its own cache.
//! [`Usage::cache_write_tokens`] is the part that it wrote into it.
//! [`Usage::reasoning_tokens`] is the part of the completion that is reasoning. They are read from
//! these members of an object above. The first row that has a count is used.
//!
//! | cached | sent by |
//! |---|---|
//! | `cached_tokens` in `prompt_tokens_details` | OpenAI, vLLM, SGLang, llama.cpp, Groq, Fireworks, xAI, OpenRouter |
//! | `cached_tokens` in `input_tokens_details` | OpenAI's responses |
//! | `cached_tokens` | Moonshot, Together, Cohere; SGLang in `meta_info` |
//! | `prompt_cache_hit_tokens`; `num_cached_tokens`; `cachedContentTokenCount` | DeepSeek; Mistral; Gemini |
//! | `cache_read_input_tokens`; `cacheReadInputTokens` | Anthropic; Bedrock |
//! | `cache_n` in `timings` | llama.cpp |
//!
//! | written | sent by |
//! |---|---|
//! | `cache_write_tokens` in `prompt_tokens_details` or `input_tokens_details` | OpenRouter |
//! | `cache_creation_input_tokens`; `cacheWriteInputTokens` | Anthropic; Bedrock |
//!
//! | reasoning | sent by |
//! |---|---|
//! | `reasoning_tokens` in `completion_tokens_details` | OpenAI, DeepSeek, xAI, OpenRouter |
//! | `reasoning_tokens` in `output_tokens_details` | OpenAI's responses |
//! | `reasoning_tokens` | SGLang, Perplexity |
//! | `thoughtsTokenCount` | Gemini |
//!
//! - A response whose usage has only these counts has no usage.
//! - `null` details change nothing, since some gateways send the names of both APIs with one empty.
//! - xAI leaves the reasoning out of `completion_tokens`. The counts are reported as it sends them.
//!
//! # Estimated tokens
//!
//! A response that ends early never reports its usage. The tap therefore estimates the tokens of the
//! text that has passed ([`Outcome::generated_tokens`]). The estimate is the one that a token budget
//! uses for prompts.
//!
//! The tap of the access log does not estimate the tokens of a JSON document by itself. A layer that
//! reads them [announces](RequestContext::announce_generated_tokens_are_read) it. `TokenBudgetLayer`
//! does.
//!
//! | response | text |
//! |---|---|
//! | a known event of a stream | string members inside `choices`, `candidates`, `delta` or `token`: `content`, `reasoning_content`, `reasoning`, `thinking`, `refusal`, `text`, `arguments`, `partial_json`, `name`; a `delta` that is a string |
//! | an event of TGI with a `token` | its text as at least one token |
//! | an event of an unknown form | one token for each four bytes |
//! | a JSON document or line | members with these names except `name`; `generated_text`; a `response` or `delta` that is a string |
//! | `input`, `arguments` or `args` below the root of a document | the string; the names, strings and numbers of an object |
//!
//! # How a stream ends
//!
//! | sign | end |
//! |---|---|
//! | a value in `error`, `errors` or a member named so, such as `error_code`, `err` or `exception` | [`Failed`] |
//! | the field `error:`, `exception:`, `fail:`, `failure:`, `fatal:`, `abort:` or `timeout:` | [`Failed`] |
//! | an event or object of type `error`, `…error`, `abort`, `failure`, `timeout`, … | [`Failed`] |
//! | an object with `message` or `detail` and no other members than codes | [`Failed`] |
//! | a code or status of 400 to 599; a larger code beside a message, except for 1,000, 10,000 and 20,000 | [`Failed`] |
//! | the status or state `failed`, `cancelled`, `rejected`, `expired` or `error` | [`Failed`] |
//! | a finish reason of a failure (`abort`, `error`, `server_error`, `insufficient_system_resource`, …) | [`Failed`] |
//! | `[DONE]` after neither text, finish reason nor count of output | [`Failed`] |
//! | any other `[DONE]` | [`Done`] |
//! | `generated_text` (TGI) | [`Done`] |
//! | `response.completed` or `response.incomplete` (OpenAI) | [`Done`] |
//! | `message_stop` (Anthropic) or `message-end` (Cohere) | [`Done`] |
//! | `done` (Ollama) or `stop` (llama.cpp) | [`Done`] |
//! | a finish reason before the complete end of the body | [`Done`] |
//! | none of these | [`Cut`] |
//!
//! A failure is final: later signs do not change it.
//! The last event of a stream may lack its blank line. Text in an event of an unknown form is no output.
//!
//! The cache asks for more. A stream with an event that is no JSON object or no event of
//! a known server is not stored, except for an empty one or a ping. Brackets of an ordinary event must
//! match. Other events are parsed.
//!
//! # Caveats
//!
//! - A JSON document has no usage when it is incomplete, invalid or deeper than 128 levels. Text
//!   inside strings is not checked to be UTF-8.
//! - With several choices, the finish reason of one is read as the end of all. A stream without an
//!   end mark may then be reported as done too early.
//! - A JSON response causes no allocation. A stream of JSON lines allocates once. An event stream
//!   allocates one buffer of at most 128 KiB when an event is cut between two frames of the body. An
//!   event of several lines of data allocates twice. An event of more than 64 KiB is read piece by
//!   piece.
//! - Other responses have no tap: other media types, bodies with a content coding and responses
//!   without a body.
//!
//! [`Cut`]: crate::context::StreamEnd::Cut
//! [`Done`]: crate::context::StreamEnd::Done
//! [`Failed`]: crate::context::StreamEnd::Failed
//! [`Outcome::generated_tokens`]: crate::context::Outcome::generated_tokens
//! [`Usage::cache_write_tokens`]: crate::context::Usage::cache_write_tokens
//! [`Usage::cached_tokens`]: crate::context::Usage::cached_tokens
//! [`Usage::reasoning_tokens`]: crate::context::Usage::reasoning_tokens

#![cfg_attr(
    not(feature = "cache"),
    allow(dead_code, reason = "only the cache asks whether a response is complete")
)]

mod body_reader;
mod completeness;
mod document;
#[cfg(feature = "fallback")]
mod preview;
mod stream;
mod usage_headers;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

#[cfg(feature = "cache")]
pub(crate) use self::completeness::Completeness;
#[cfg(feature = "fallback")]
pub(crate) use self::preview::Preview;
use self::{body_reader::BodyReader, document::WantedFacts, stream::TapUpdate};
use crate::{
    body::{BodyEnd, Watch, is_coded},
    context::{RequestContext, Usage},
};

/// Reads a response as it passes. See the [module](self).
pub struct Tap {
    context: RequestContext,
    header_usage: Usage,
    // Whether a stream has brought generated text.
    text_has_begun: bool,
    reader: BodyReader,
}

impl Tap {
    /// Claims the tap of a response with this head.
    ///
    /// The caller passes the body to the tap through [`Watch`]. Usage from the headers is in the
    /// context when this function returns.
    ///
    /// Returns `None` when a layer further in has claimed the tap. Also returns `None` for a body
    /// that it cannot read: one with another media type, with a content coding, or of a status that
    /// has no body.
    ///
    /// Do not claim the tap of a response to HEAD. Its stream would be reported as cut.
    #[must_use]
    pub fn claim(
        context: &RequestContext,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        Self::claimed(context, status, headers, WantedFacts::All)
    }

    /// Claims the tap for a layer that does not read the estimated tokens.
    ///
    /// The tap estimates the tokens of a JSON document only if another layer has
    /// [announced](RequestContext::announce_generated_tokens_are_read) that it reads them.
    #[cfg(feature = "access-log")]
    pub(crate) fn claim_for_usage(
        context: &RequestContext,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let all = context.generated_tokens_are_read();
        let wanted = if all { WantedFacts::All } else { WantedFacts::Usage };
        Self::claimed(context, status, headers, wanted)
    }

    fn claimed(
        context: &RequestContext,
        status: StatusCode,
        headers: &HeaderMap,
        wanted: WantedFacts,
    ) -> Option<Self> {
        if !context.claim_tap() {
            return None;
        }
        let header_usage = usage_headers::usage(headers);
        if let Some(usage) = header_usage {
            context.set_usage(usage);
        }

        let bodiless = status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        if bodiless || is_coded(headers) {
            return None;
        }
        Some(Self {
            context: context.clone(),
            header_usage: header_usage.unwrap_or_default(),
            text_has_begun: false,
            reader: BodyReader::for_media_type(headers, wanted)?,
        })
    }

    /// Returns whether the response is complete, after its body has ended.
    ///
    /// The events of a chat have no text in their roots.
    #[cfg(feature = "cache")]
    pub(crate) fn completeness(&self, text_in_roots: bool) -> Completeness {
        self.reader.completeness(text_in_roots)
    }

    /// Returns whether the body is a stream and not one document.
    #[cfg(feature = "cache")]
    pub(crate) const fn reads_stream(&self) -> bool {
        self.reader.is_stream()
    }

    fn record(&mut self, update: &TapUpdate) {
        self.context.set_generated_tokens(update.tokens, update.least_tokens);
        if !self.text_has_begun && update.tokens > 0 && self.reader.stream_has_text() {
            self.text_has_begun = true;
            self.context.set_text_has_begun(true);
        }
        if let Some(usage) = update.usage {
            self.context.set_usage(usage.or_headers(self.header_usage));
        }
        if let Some(end) = update.end {
            self.context.set_stream_end(end);
        }
    }
}

impl Watch for Tap {
    fn data(&mut self, data: &Bytes) {
        if let Some(update) = self.reader.feed(data) {
            self.record(&update);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        let update = self.reader.finish(end);
        self.record(&update);
    }
}

impl fmt::Debug for Tap {
    // Leaves out the buffered part of the response.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("kind", &self.reader.name()).finish_non_exhaustive()
    }
}
