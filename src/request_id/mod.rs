//! Gives each request an id and a trace, so that logs and traces of several systems can be joined.
//!
//! [`RequestIdLayer`] puts the id
//!
//! - into the header `x-request-id` of the request, where it replaces the client's
//! - into the header `x-request-id` of the response, where it replaces the inner service's
//! - into the [`RequestContext`](crate::context::RequestContext), where the layers further in read it
//! - into a `tracing` span named `request` at level INFO
//!
//! A response has the id whatever its kind: a rejection, a hit of the cache, a stream, a failure.
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{context::RequestContext, request_id::RequestIdLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let service = RequestIdLayer::new().layer(service_fn(|request: Request<()>| async move {
//!     let id = RequestContext::of(request.extensions()).unwrap().request_id().unwrap();
//!     assert_eq!(request.headers()["x-request-id"], id);
//!     Ok::<_, Infallible>(Response::new(()))
//! }));
//!
//! // The peer is not trusted, so the layer makes a new id.
//! let request = Request::builder().header("x-request-id", "forged").body(()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! let id = response.headers()["x-request-id"].to_str().unwrap();
//! assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'));
//! # }
//! ```
//!
//! # The choice of the id
//!
//! An id in the context stays. With two of these layers around a service, the inner one does
//! nothing. Otherwise the layer keeps an inbound id under two conditions:
//!
//! - the peer is trusted ([`RequestIdLayer::trust_inbound`])
//! - the id is a single header of 1 to 128 characters from `A-Z a-z 0-9 . _ -`
//!
//! The header is `x-request-id`, or else API Gateway's `x-amzn-requestid`. Every other request gets a
//! UUIDv7 (RFC 9562 section 5.7). With [`RequestIdLayer::amzn_request_id`] the response has the id in
//! `x-amzn-requestid` too.
//!
//! # Traces
//!
//! The layer follows [W3C Trace Context](https://www.w3.org/TR/trace-context/) as a gateway does:
//!
//! | request | trace that goes on |
//! |---|---|
//! | valid `traceparent` of a trusted peer | continued, with its flags |
//! | valid `traceparent` of another peer | continued, with `sampled` cleared; a new one with [`restart_traces`](RequestIdLayer::restart_traces) |
//! | `traceparent` that is not valid or is there twice: a zero id, version `ff`, another form | a new one |
//! | `traceparent` of a later version | continued as version 00 |
//! | no `traceparent` | none; a new one with [`start_traces`](RequestIdLayer::start_traces) |
//!
//! A new trace has random ids and is not sampled. The request goes on with a parent id of this gateway.
//! `UpstreamLayer` and `HfTokenLayer` give each attempt a parent id of its own, so a retry does not look
//! like a sibling of the gateway. The flags `sampled` and `random` go on and others are cleared.
//!
//! `tracestate` goes on with a continued trace. Several headers are joined. A member that is not valid, and
//! a trace that is not continued, drop it as a whole. It keeps 32 members and 512 characters: members with
//! more than 128 characters are cut first, then those at the end. Of two members with one key the first
//! stays.
//!
//! `baggage` is removed, unless it is [allowed](RequestIdLayer::forward_baggage).
//!
//! `x-amzn-trace-id` is recorded as it came, as a trace of AWS X-Ray or as the bare id of
//! `huggingface_hub`, and is never trusted. It goes to the upstream unchanged.
//!
//! # The span
//!
//! The inner service, its future and its body run in the span. It costs nothing while no subscriber listens.
//!
//! | field | value |
//! |---|---|
//! | `request_id` | the id |
//! | `trace_id` | the trace, if there is one |
//! | `otel.kind` | `server` |
//! | `otel.name` | the method, and the route if a layer outside has set it |
//! | `otel.status_code` | `ERROR` for a status of 5xx and for a failure without a response |
//! | `http.request.method` | the method; `_OTHER` for one that RFC 9110 and RFC 5789 do not define |
//! | `http.route` | the name of the route, if the program gave one |
//! | `http.response.status_code` | the status |
//! | `error.type` | a status of 5xx; `_OTHER` for a failure without a response |
//!
//! The path is not among them, because each line of a log shows the fields of its span, and a path may
//! hold secrets. [`AccessLogLayer::spans`](crate::access_log::AccessLogLayer::spans) adds the spans of
//! the calls to upstreams.
//!
//! A program that exports spans has ids of the exporter. [`RequestIdLayer::propagator`] lets it write them
//! into the headers.
//!
//! # Place
//!
//! Outside of all layers that log, so that their events have the id.
//!
//! ```text
//! ServiceBuilder::new().layer(stalled_reader).layer(request_id).layer(access_log)  // the first is the outermost
//! Router::new().layer(access_log).layer(request_id).layer(stalled_reader)          // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! Ids of one layer and its clones sort by their time, even after the clock is set back. Ids of two
//! layers or two machines sort by the millisecond. An id reveals when it was made. It is not a
//! secret.
//!
//! A client chooses the trace id of its requests. Use [`RequestIdLayer::restart_traces`] where this
//! matters.

mod body;
mod future;
mod ids;
mod in_span;
mod inbound;
mod layer;
mod service;
mod settings;
mod span;
mod trace;
mod trace_state;
mod trust;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::RequestIdLayer, service::RequestId,
};
