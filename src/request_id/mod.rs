//! Gives each request an id, so that logs and traces of several systems can be joined.
//!
//! [`RequestIdLayer`] puts the id
//!
//! - into the header `x-request-id` of the request, where it replaces the client's
//! - into the header `x-request-id` of the response, where it replaces the inner service's
//! - into the [`RequestContext`], where the layers further in read it
//! - into a `tracing` span named `request` at level INFO
//!
//! The inner service, its future and its body run in that span. Its fields are `request_id` and,
//! when the request has a valid `traceparent` (W3C Trace Context), `trace_id`.
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
//! Every other request gets a UUIDv7 (RFC 9562 section 5.7).
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
//! The peer chooses the trace id. The layer reads `traceparent` and forwards it unchanged. It starts
//! no trace of its own.

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
