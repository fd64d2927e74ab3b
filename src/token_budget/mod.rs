//! Rejects requests beyond budgets of inference tokens.
//!
//! A provider bills tokens. One request may cost a thousand times as much as another.
//! [`TokenBudgetLayer`] reserves the most tokens that a request can take before it is forwarded. At
//! the end of the response the layer settles the reservation to the tokens that were used.
//!
//! ```
//! use tower_inference::{limits::{Limit, Quota}, token_budget::TokenBudgetLayer};
//!
//! let layer = TokenBudgetLayer::new(Limit::per_identity(Quota::per_day(100_000)));
//! ```
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     limits::{Limit, Rate, Subject},
//!     payload::Payload,
//!     token_budget::TokenBudgetLayer,
//! };
//!
//! async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let body = r#"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}"#;
//!     let response = Response::builder().header("content-type", "application/json");
//!     Ok(response.body(Full::from(body)).unwrap())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let layer =
//!     TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000))).default_output_limit(100);
//! let body = r#"{"messages": [{"role": "user", "content": "Why?"}]}"#;
//! let request = Request::post("/v1/chat/completions").body(Payload::buffered(body)).unwrap();
//! let response = layer.layer(service_fn(upstream)).oneshot(request).await.unwrap();
//!
//! // Four for the two words and the mark, four for the chat template, and the output limit.
//! let remaining =
//!     async || layer.limit_state("global", &Subject::global()).await.unwrap().remaining;
//! assert_eq!(remaining().await, 1_000 - 4 - 4 - 100);
//! response.into_body().collect().await.unwrap();
//! assert_eq!(remaining().await, 1_000 - 9 - 3);
//! # }
//! ```
//!
//! Each permit of a [`Limit`](crate::limits::Limit) is one token. The [`limits`](crate::limits) module
//! explains the limits. Place the layer inside of a cache so that hits cost nothing.
//!
//! # Reservation
//!
//! The layer reserves the estimate of the prompt and the output limit.
//!
//! | part of the prompt | tokens |
//! |---|---|
//! | text | an estimate by words, numbers, marks and letters of each script, or the count of the [tokenizer](TokenBudgetLayer::tokenizer) |
//! | message in `messages` | 4 for the chat template |
//! | picture, sound, video, document or other base64 | 1,000 |
//! | number, such as a token id | 1; as text beyond 24 bytes |
//! | row of `input_embeds` | 1 |
//! | name of a member with more than 64 bytes, or in an object that is written into the prompt | as text |
//!
//! [`estimates`](crate::estimates) compares the estimate with eight tokenizers.
//!
//! | member of the body | text |
//! |---|---|
//! | `model`, `user`, `stop`, `metadata`, `stream_options`, `options`, `logit_bias`, `allowed_token_ids`, `tool_choice`, `sampling_params` | none |
//! | schemas, tools, arguments of tools and `documents`, at any depth | the object as it is written |
//! | all others | all strings |
//!
//! The output depends on the form of the request. The path and the body determine the form
//! ([`Profile::form`](crate::model::Profile::form)).
//!
//! | form | reserved output |
//! |---|---|
//! | generates text | the output limit, times `n` or `best_of`, times the prompts |
//! | embeddings, rankings, classes, tokens | none |
//! | images and speech | 1,000 for each of `n` |
//! | several of these, in one instance each | the sum |
//! | several of these, otherwise | the greatest |
//! | unknown, or an object in `inputs` | as for text; the prompt is at least a quarter of the body's bytes without the base64 of media |
//!
//! `/predict` reads `inputs` as TEI does and generates nothing. Without `inputs`, or with an `input`,
//! `data` or `request` beside it, its form is unknown.
//!
//! The output limit is the greatest limit in the body and the query under the name of any known API.
//! In an unknown form and in an object in `inputs`, a limit at any depth counts. A limit of zero
//! generates nothing where the form is certain: `max_tokens` of a completion with `echo`, `n_predict`
//! of a completion and SGLang's `sampling_params.max_new_tokens`.
//! If the body of a text request has none, the layer writes the
//! [default](TokenBudgetLayer::default_output_limit) into it. It writes nothing into an unknown form.
//!
//! A reservation that is lost with the process or the shared store is back within one window.
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | costs more than the capacity of a budget (the burst of a rate or the limit of a quota) | 400 `exceeds-limit` |
//! | costs more than the permits that remain | 429 `throttled` or `quota-exceeded` |
//! | has an output limit in the body that is not a number or below 1 (-1 means no limit and passes; zero passes as above) | 422 `invalid-payload` |
//! | has such a limit in the query | 400 `invalid-parameters` |
//! | has a streamed body | 415 `unsupported-media-type`, or a [flat cost](TokenBudgetLayer::flat_cost) |
//! | has a body that is not JSON | 400 `malformed-payload`, or a [flat cost](TokenBudgetLayer::flat_cost) |
//! | has a document beyond the depth or the number of values of the payload layer | 413 `payload-too-large` |
//! | has no identity and a limit counts by identity, claim or tenant | 401 `missing-credentials` |
//! | is edited and the memory limit of bodies has no room | 503 `overloaded` |
//! | arrives while the shared store is unavailable, unless its outage policy is local | 503 `throttle-unavailable` |
//!
//! The detail of the first two names the estimate of the prompt and the output limit. To lower an
//! output limit instead of rejecting it, put `TransformLayer::max_output_tokens` in front. A request
//! without a body passes without a charge if its method needs none.
//!
//! # Charge
//!
//! | response | prompt | output |
//! |---|---|---|
//! | complete, with usage | as reported; the estimate if zero or missing | as reported; the estimate of its text if zero or missing |
//! | event stream that was cut, dropped or has no usage | the estimate, or the usage so far if that is more | the estimate of its text, or the usage so far if that is more |
//! | other, without usage or with a content coding | the estimate | the estimate of its text, or a quarter of its bytes |
//! | pictures or sound without usage | the estimate | the reserved output |
//! | to a request in the background (`background`, `deferred`), unless it is complete and reports output | at least the estimate | at least the reserved output |
//! | 4xx, 503 | none | none |
//! | 429 and 5xx behind a `FallbackLayer` | as reported, or none | as reported, or none |
//! | 500, 502, 504, other 5xx | the estimate | none |
//! | a timeout of this crate | the estimate | none |
//! | none: an error, a panic, a client that left before the head | the estimate | none |
//! | rejection by this crate before the upstream was called | none | none |
//!
//! A response without usage counts a quarter of its bytes if the form is unknown. A reported output
//! is then bounded by the bytes of the response or by the reserved limit, whichever is larger.
//!
//! The upstream's usage is accepted within these bounds:
//!
//! | count | bound |
//! |---|---|
//! | prompt, at most | 256, and a token for each byte of the body, or of its texts and 16 for each message if that is more |
//! | prompt with a picture, sound, video or document, and a binary body | none |
//! | prompt with input that the body only names: ids, addresses, searches, tools that the upstream runs | none |
//! | prompt with a `chat_template` | none |
//! | pictures or sound that are generated | none |
//! | output with reasoning, at most | the output limit that was reserved |
//! | prompt and output where nothing is generated, at most | the bound of the prompt |
//! | output, at least | the tokens that the delivered text has with any tokenizer |
//!
//! The last bound is about 0.9 of the true count for English and code. It is lower for texts of many
//! rare words. It applies to prompt and output together for completions because a completion may repeat
//! its prompt. The [`tap`](crate::tap) module lists the members that are text.
//!
//! A medium is compressed, so its bytes do not bound its tokens. A model that searches by itself (Groq's
//! compound, OpenAI's search previews, Perplexity's sonar, `:online` of OpenRouter) is known by its name.
//!
//! Tokens beyond the reservation are debt. Later requests wait until it is paid. It is at most one
//! window's limit.
//!
//! `FallbackLayer` records each attempt that another one follows. The budget is charged what such an
//! attempt reported, or the estimate of the prompt if it failed after the upstream had begun. Any other
//! further [attempt](crate::context::Outcome::attempts) behind the layer is charged the estimate of the
//! prompt. A retry from outside of the layer is a request of its own. A retry inside
//! of both `UpstreamLayer` and `HfTokenLayer` is not seen unless it calls
//! [`add_attempt`](crate::context::RequestContext::add_attempt).
//!
//! The layer requests the usage of a stream of `messages` or of a `prompt` unless the
//! [profile](TokenBudgetLayer::profile) forbids it. It removes the usage event if the client did not
//! request it. `TransformLayer::include_usage` does the same. Each charged request asks for a
//! response without a content coding (`accept-encoding: identity`).
//!
//! # Place
//!
//! Inside of auth, which gives the caller, and of the cache, so that hits are free. Outside of the upstream.
//!
//! ```text
//! ServiceBuilder::new().layer(cache).layer(token_budget).layer(upstream)  // the first is the outermost
//! Router::new().fallback_service(built)                                   // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - The estimate of a prompt is no upper bound. A vocabulary that spells a script in bytes takes up
//!   to three times as many tokens. The settlement uses the upstream's count.
//! - A text that a response quotes in a member for text may be charged as the model's own.
//! - A stream that is cut is charged by an estimate. So is an upstream that reports no usage.
//! - A client that leaves before the head is charged the prompt alone, and so is a 504 of this crate.
//!   vLLM, TGI and llama.cpp stop then. A hosted provider may generate on and bill an output that
//!   nobody received. A rate limit bounds such requests. The whole reservation would instead charge
//!   each honest client whose own timeout ends first.
//! - An output in the background is not settled later, when the client fetches it.
//! - A stream of OpenAI's responses reports its usage in its last event.

mod body;
mod estimate;
mod future;
mod layer;
mod reservation;
mod service;
mod settings;
mod stream_tokens;
#[cfg(test)]
mod tests;
mod tokenizer;
mod weights;

pub use self::{
    body::ResponseBody,
    future::ResponseFuture,
    layer::TokenBudgetLayer,
    service::TokenBudget,
    weights::{Weight, Weights},
};
