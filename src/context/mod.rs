//! Shares the facts of one request between layers and handlers.
//!
//! A request passes layers that prove the caller, choose the model and count tokens. Your own layer
//! or handler reads their results from the [`RequestContext`] in the extensions of the request. The
//! outermost layer of this crate puts it there.
//!
//! ```
//! use tower_inference::context::RequestContext;
//!
//! fn route(request: &http::Request<()>) -> Option<&str> {
//!     RequestContext::of(request.extensions())?.route()
//! }
//! # assert_eq!(route(&http::Request::new(())), None);
//! ```
//!
//! Clones of a context share their state. A layer outside of others therefore keeps a clone while it
//! calls them and reads the [`Outcome`] afterwards:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::Arc};
//! use tower::{ServiceExt, service_fn};
//! use tower_inference::{
//!     body::ResponseBody,
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//!     rejection::{Refusal, Rejection, RejectionFormat},
//! };
//!
//! type GatewayBody = ResponseBody<Full<Bytes>>;
//!
//! // A handler that serves two users and rejects all others.
//! async fn handler(request: Request<()>) -> Result<Response<GatewayBody>, Infallible> {
//!     let context = RequestContext::of(request.extensions()).unwrap();
//!     let caller = context.identity().unwrap();
//!     if !matches!(caller.subject(), "user-7" | "user-8") {
//!         let responder = RejectionFormat::Problem.for_request(&request);
//!         return Ok(responder.respond(Rejection::new(Refusal::Forbidden), context));
//!     }
//!     Ok(Response::new(GatewayBody::inner(Full::from("hello"))))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for (subject, rejection) in [("user-7", None), ("user-9", Some("forbidden"))] {
//!     let mut request = Request::new(());
//!     let context = RequestContext::ensure(request.extensions_mut());
//!     context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", subject)));
//!     context.set_route("hello");
//!
//!     let response = service_fn(handler).oneshot(request).await.unwrap();
//!     // Token counts and the end of a stream are complete when the body has ended.
//!     response.into_body().collect().await.unwrap();
//!     assert_eq!(context.outcome().rejection, rejection);
//! }
//! # }
//! ```
//!
//! # What your own layers set
//!
//! | setter | set by default by | for |
//! |---|---|---|
//! | [`set_identity`](RequestContext::set_identity) | `AuthLayer` | another proof of the caller |
//! | [`set_route`](RequestContext::set_route) | `RouteLayer` | your router |
//! | [`set_stage`](RequestContext::set_stage) | nothing | your router |
//! | [`set_model`](RequestContext::set_model) | `PayloadLayer` | a model that the path names |
//! | [`set_target`](RequestContext::set_target) | `ModelRulesLayer` | your choice of a provider |
//! | [`set_upstream`](RequestContext::set_upstream) | `HfTokenLayer` | your choice of an upstream |
//! | [`set_request_id`](RequestContext::set_request_id), [`set_trace_id`](RequestContext::set_trace_id), [`set_trace_context`](RequestContext::set_trace_context) | `RequestIdLayer` | another source of ids |
//! | [`add_attempt`](RequestContext::add_attempt) | `UpstreamLayer`, `HfTokenLayer`, `Client` | a client that retries inside one call |
//! | [`set_fell_back`](RequestContext::set_fell_back) | `FallbackLayer` | a fallback to another model or upstream |
//! | [`set_usage`](RequestContext::set_usage) | [`Tap`](crate::tap::Tap) | responses in a form that `Tap` does not read |
//! | [`add_value`](RequestContext::add_value) | nothing | a value of your own in the record of the request |
//! | [`add_decision`](RequestContext::add_decision) | nothing | the decision of a layer of yours in that record |
//! | [`announce_response_is_read`](RequestContext::announce_response_is_read) | layers that read responses | a layer of yours that reads response bodies |
//! | [`announce_generated_tokens_are_read`](RequestContext::announce_generated_tokens_are_read) | `TokenBudgetLayer` | a layer of yours that reads [`Outcome::generated_tokens`] |
//!
//! # First and last values
//!
//! Names keep their first value: request id, trace id, route, stage, model, rejection and limits.
//! Later calls of their setters have no effect. What belongs to an attempt keeps its last value: target,
//! upstream, usage, status of the upstream, cache outcome and end of the stream. The rejection of an
//! attempt is forgotten when another one follows.

mod added_value;
// Each layer that sees attempts uses a part of it.
#[cfg_attr(
    not(all(
        feature = "access-log",
        feature = "cache",
        feature = "client",
        feature = "fallback",
        feature = "request-id",
        feature = "throttle",
        feature = "upstream",
    )),
    allow(dead_code, unused_imports, unused_variables, reason = "for layers that are absent")
)]
mod attempt;
mod body_mode;
mod cache_outcome;
mod decision;
mod fields;
#[cfg(feature = "cache")]
mod fork;
mod last_value;
mod layer_access;
mod layer_decisions;
mod outcome;
mod request_context;
#[cfg(any(feature = "auth", feature = "throttle"))]
mod request_head;
mod stream_end;
mod trace;
#[cfg(any(feature = "fallback", feature = "upstream"))]
mod upstream_state;
mod usage;

#[cfg(any(feature = "hf", feature = "upstream"))]
pub(crate) use self::attempt::Level;
#[cfg(feature = "access-log")]
pub(crate) use self::attempt::{AttemptObserver, Attempts, ClientSpans, name_server, server_of};
pub(crate) use self::body_mode::BodyMode;
#[cfg(any(feature = "auth", feature = "throttle"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "auth", feature = "throttle"))))]
pub use self::request_head::RequestHead;
#[cfg(feature = "request-id")]
#[cfg_attr(docsrs, doc(cfg(feature = "request-id")))]
pub use self::trace::Propagator;
#[cfg(feature = "request-id")]
pub(crate) use self::trace::method_name;
#[cfg(any(feature = "fallback", feature = "upstream"))]
pub(crate) use self::upstream_state::UpstreamState;
pub use self::{
    added_value::AddedValue,
    attempt::{AbandonReason, Attempt},
    cache_outcome::CacheOutcome,
    decision::{Decision, Decisions, Layer},
    outcome::Outcome,
    request_context::RequestContext,
    stream_end::StreamEnd,
    trace::{AmznTraceId, SpanId, TraceContext, TraceId},
    usage::Usage,
};
