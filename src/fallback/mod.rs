//! Middleware that tries other models and upstreams when one fails.
//!
//! Models load, upstreams are busy and connections break. A client that gets the failure has to know
//! other models and upstreams. [`FallbackLayer`] tries the targets of a request in their order until one
//! brings content. A [`Target`] is a stage, which has an origin and its token, and the name of the model
//! there.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     fallback::{FallbackLayer, Target},
//!     hf::{HfTokenLayer, Stage, TokenSource},
//!     payload::Payload,
//!     secret::Secret,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The first upstream is down.
//! let client = service_fn(|request: Request<Payload>| async move {
//!     let mut response = Response::new(Full::default());
//!     if request.uri().host() == Some("a.example") {
//!         *response.status_mut() = StatusCode::BAD_GATEWAY;
//!     } else {
//!         assert_eq!(request.headers()["authorization"], "Bearer hf_ofB");
//!         *response.body_mut() = Full::new(request.body().bytes().unwrap().clone());
//!     }
//!     Ok::<_, Infallible>(response)
//! });
//! let token = TokenSource::value(Secret::new("hf_ofA"))?;
//! let a = Stage::new("a", "https://a.example".parse()?, token);
//! let token = TokenSource::value(Secret::new("hf_ofB"))?;
//! let b = Stage::new("b", "https://b.example".parse()?, token);
//!
//! let fallback = FallbackLayer::new([Target::new(a.clone()), Target::new(b).model("org/small")]);
//! let gateway = fallback.layer(HfTokenLayer::stage(a).layer(client));
//!
//! let request = Request::post("/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Payload::buffered(r#"{"model":"org/large","messages":[]}"#))?;
//! let response = gateway.oneshot(request).await?;
//! assert_eq!(response.headers()["x-inference-target"], "b/org/small");
//! let body = response.into_body().collect().await?.to_bytes();
//! assert_eq!(body, r#"{"model":"org/small","messages":[]}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Failures
//!
//! Another attempt follows a failure before the first content. After content has been passed on, the
//! response stays as it is: a stream that breaks off is cut for the client too.
//!
//! | failure | [reason](crate::context::AbandonReason) | charged to a token budget |
//! |---|---|---|
//! | no connection, or it ended before the head | `Unreachable` | nothing |
//! | 5xx or 429 | `Status` | the usage that it reports |
//! | the 400 of an Inference Endpoint that is paused (read by `UpstreamLayer`) | `Status` | the usage that it reports |
//! | the upstream rejects the gateway's token | `TokenRejected` | nothing |
//! | no head in time (504 of `UpstreamLayer`) | `Timeout` | the estimate of the prompt |
//! | no content within [`first_content_timeout`](FallbackLayer::first_content_timeout), if another target can start | `Timeout` | the usage so far, or the estimate of the prompt |
//! | an error event of a stream before any content | `ErrorEvent` | the same |
//! | a stream that breaks off before any content, or a document before its first byte | `Broken` | the same |
//!
//! Any other response is passed on, such as another 400 or a 404. So are the gateway's own 503
//! `overloaded` and 429 `throttled`, which no other target can help. Without another attempt the client
//! gets the last failure.
//!
//! An attempt without content goes on after its timeout until another target can start at once. It is
//! not ended for a retry, for a place in a queue or for a wait.
//!
//! The first content of a stream is text, reasoning, an argument of a tool or an event of an unknown form.
//! Comments, pings and the role of a message are no content. The layer holds back what comes before it,
//! at most 64 KiB with 32 bytes for each frame. The first content of a document is its first byte. Nothing is held back when no
//! other attempt is left. The usage in the body of a failed attempt is read for 250 ms at most.
//!
//! Only a request that changes nothing but its cost is repeated: a `GET` or `HEAD`, or a JSON body
//! to an inference route. A request with a streamed body, with `store`, `background` or tools that the
//! upstream runs, and one to any other route goes to its first target once. `PayloadLayer::new()` buffers
//! a body and `PayloadLayer::streamed()` does not. `Stack` adds the first one by itself.
//!
//! # Attempts
//!
//! Each target gets one attempt. [`retries`](FallbackLayer::retries) adds further ones, which wait 100 ms
//! to 5 s with exponential backoff and jitter. A retry that is planned takes from the
//! [retry budget](FallbackLayer::retry_budget). A fallback to another target does not, because each
//! target gets at most one such request. A failure with `x-should-retry: false`, as OpenAI sends it, is
//! not retried at its target. [`max_attempts`](FallbackLayer::max_attempts) bounds all
//! attempts of a request. A new attempt drops the earlier one, which closes its connection.
//!
//! [`Outcome::abandoned`](crate::context::Outcome::abandoned) records each attempt that another one
//! followed. One INFO event has its target and its reason.
//! [`Record::attempt_list`](crate::record::Record::attempt_list) has every attempt with its times. The response header `x-inference-target` names the target that serves.
//!
//! # The request of a target
//!
//! The stage of a target sets the origin, the path prefix and the token. The first target gets the
//! body as the client sent it, unless it has a [model](Target::model) of its own. For every other
//! target the layer writes:
//!
//! | member | value |
//! |---|---|
//! | `model` | [`Target::model`], if it is set |
//! | `max_tokens`, `max_completion_tokens` of a chat | the output limit under the name of the target's profile; of both the smaller one |
//! | `stream_options` of a chat or completion | removed for a profile that rejects it |
//!
//! All other bytes stay. A target is skipped, with a line in the log, when the outcome is not certain:
//!
//! - its profile does not know the route or the request would reach another model than its own
//! - the body has no known form in which the model or the limit can be written
//! - the [model rules](crate::model_rules) that the request has passed do not allow its caller the model
//!
//! A `SchemaLayer` validates what the client sent and does not run again for a later target.
//!
//! [`FallbackLayer::model`] gives a name that clients send its own targets. A response is a *fallback* if
//! it comes from another target than the first one, or from another model than the client named without
//! such an alias. A cache outside stores no fallback. The model rules of each caller that shares the call
//! or gets a stored response must allow the model that has served, which may be that of an alias. With
//! such rules the second tier of a cache keeps no response of an alias.
//!
//! The key of a cache has the name that the client sent. Change the epoch of the key (`CacheKey::epoch`)
//! when an alias gets another model. A token budget weighs the tokens of all attempts as those of the
//! model that the client named.
//!
//! # Cool-downs
//!
//! | failure | the group of the target gets |
//! |---|---|
//! | 429 or 503 with `retry-after` | no attempt before that time, at most [`max_cool_down`](FallbackLayer::max_cool_down) |
//! | 429 or 503 without `retry-after`, no connection, a timeout | an attempt only if nothing else is left, for [`cool_down`](FallbackLayer::cool_down) |
//! | any other | no cool-down |
//!
//! - The shorter of two cool-downs of a group wins. A response ends one of the second kind.
//! - After a 429, a 503 or a failed connection the rest of the [group](Target::group) gets no attempt
//!   of this request.
//! - The 429 of a stage with several tokens, such as one for each tenant, cools no group. It is the limit
//!   of one token, and only this request obeys it.
//! - If every target must wait, the request is rejected with 503 `overloaded` at once. So is a planned
//!   retry whose target cools down or has no place by then, unless another target is left.
//! - A rejection of the gateway itself ends no cool-down.
//! - `retry-after` of a failure that the client gets is the shortest time after which a target may be
//!   tried again.
//!
//! [`wait_for_model`](FallbackLayer::wait_for_model) waits for a model that loads or is busy in place of
//! that. Requests that wait for the same model come back at random times, up to a tenth of the wait and
//! at most 5 s after it. All waits of a request end when its client leaves.
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | every target must wait | 503 `overloaded` with `retry-after` |
//! | every target has its maximum [in flight](Target::max_in_flight), and its queue is full or too slow | 503 `overloaded`, `retry-after: 1` |
//! | the same, and the caller has its [share](Target::caller_share) of one of them | 429 `throttled`, `retry-after: 1` |
//! | the model rules allow no target | 403 `forbidden` |
//! | no target takes a request of this form | 500 `misconfigured` |
//!
//! # Place
//!
//! Inside of the cache and the token budget, which see one response for all attempts. Outside of
//! `UpstreamLayer`, whose deadlines apply to each attempt, and of `HfTokenLayer`, which sends a request to
//! the stage that this layer has chosen. Without `HfTokenLayer` inside the choice has no effect. An
//! `HfTokenLayer` outside is one WARN event.
//!
//! ```text
//! Stack::new().fallback(fallback).upstream(upstream).hf_token(hf_token)  // in any order
//! ServiceBuilder::new()                                                  // the first is the outermost
//!     .layer(payload).layer(token_budget).layer(fallback).layer(upstream).layer(hf_token)
//! ```
//!
//! # Caveats
//!
//! - The head of a response waits for its first content while another attempt may follow.
//! - Cool-downs are those of one process.
//! - A later attempt has of the extensions of the request the
//!   [`RequestContext`](crate::context::RequestContext) alone.
//! - An upstream may compute on after its attempt was dropped, and charge for it.
//! - The body of the inner service must be `Unpin`, as those of hyper and axum are. Box another one.
//! - `max_in_flight` counts the requests of one process. Requests without an identity have no share of a
//!   target, and one client may fill it with them.

mod body;
mod budget;
mod choice;
mod course;
mod entry;
mod future;
mod health;
mod hold;
mod layer;
mod order;
mod planned;
mod prepare;
mod retry_after;
mod retry_budget;
mod run;
mod service;
mod settings;
mod target;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::FallbackLayer, retry_budget::RetryBudget,
    service::Fallback, target::Target,
};
