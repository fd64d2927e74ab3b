//! Composes any subset of the layers in one safe order.
//!
//! The order of layers matters for security: a cache outside auth would serve one tenant's responses
//! to another. [`Stack`] puts each layer in its place whatever the order of the calls. Each layer can
//! be set once. A layer that is not set costs nothing.
//!
//! | outermost first | why here |
//! |---|---|
//! | your own ([`around`](Stack::around)) | sees every request and response. The place of `SignedBodyLayer` |
//! | stalled reader | gives back what all others own when a client stops reading |
//! | request id | everything after it can be traced including rejections |
//! | access log | sees the final status and the true end of each request |
//! | throttle by address | floods and failed authentications |
//! | route | unknown paths and methods are rejected, and inner layers know the route's name |
//! | auth | nothing is read or parsed for unauthenticated clients |
//! | throttle | cheap rejections before expensive work |
//! | payload | the body is read once within bounds |
//! | schema | rejects what the upstream would reject before it costs |
//! | transform | the layers below see what goes upstream |
//! | model rules | judge the model and provider that are really called |
//! | *guard* | sees requests and all responses including cache hits |
//! | your own ([`before_cache`](Stack::before_cache)) | sees what all checks have allowed |
//! | cache | below auth and rules because each hit must pass both |
//! | token budget | below the cache because a hit is free |
//! | fallback | below the cache and the budget because a shared call tries its targets once |
//! | upstream | deadlines. Errors of the client become responses |
//! | hf token | innermost because the secret exists only on the way out |
//!
//! A name in italics is a place for a layer of a later version. Adding it will change no type that a
//! user wrote down.
//!
#![cfg_attr(all(feature = "request-id", feature = "upstream", feature = "hf"), doc = "```")]
#![cfg_attr(
    not(all(feature = "request-id", feature = "upstream", feature = "hf")),
    doc = "```text"
)]
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     hf::{HfTokenLayer, TokenSource},
//!     payload::{Payload, PayloadLayer},
//!     request_id::RequestIdLayer,
//!     secret::Secret,
//!     stack::Stack,
//!     upstream::UpstreamLayer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Your own HTTP client. This one checks the request that it gets.
//! let client = service_fn(|request: Request<Payload>| async move {
//!     assert_eq!(request.uri(), "https://router.huggingface.co/v1/models");
//!     assert_eq!(request.headers()["authorization"], "Bearer hf_example");
//!     assert!(request.headers().contains_key("x-request-id"));
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("models"))))
//! });
//!
//! // Innermost first on purpose: the order of the calls does not matter.
//! let gateway = Stack::new()
//!     .hf_token(HfTokenLayer::new(
//!         "https://router.huggingface.co".parse()?,
//!         TokenSource::value(Secret::new("hf_example"))?,
//!     ))
//!     .upstream(UpstreamLayer::new())
//!     .payload(PayloadLayer::new())
//!     .request_id(RequestIdLayer::new())
//!     .layer(client);
//!
//! let request = Request::get("/v1/models").body(Full::new(Bytes::new()))?;
//! let response = gateway.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! assert!(response.headers().contains_key("x-request-id"));
//! # Ok(())
//! # }
//! ```
//!
//! A layer that reads bodies needs a [`PayloadLayer`](crate::payload::PayloadLayer). The stack adds
//! one with its defaults unless you set your own. A stack in which no layer reads bodies adds none. Set
//! one there for a client that takes a `Payload`, as `HttpsClient` does by default.
//!
//! # Layers that may be absent
//!
//! Each setter takes a layer or an `Option` of it, so a program decides at run time which layers it
//! has. The type of the stack is the same for `Some` and `None`. An absent layer costs one branch and
//! no allocation. An absent stalled reader costs the one allocation of a present one. `PayloadLayer`
//! and `UpstreamLayer` change the types of the body and of the error, so they are always there.
//!
#![cfg_attr(all(feature = "request-id", feature = "cache"), doc = "```")]
#![cfg_attr(not(all(feature = "request-id", feature = "cache")), doc = "```text")]
//! use tower_inference::{
//!     cache::{CacheLayer, Scope},
//!     request_id::RequestIdLayer,
//!     stack::Stack,
//! };
//!
//! # let is_cached = true;
//! let cache = is_cached.then(|| CacheLayer::new("router", Scope::Identity));
//! let stack = Stack::new().request_id(RequestIdLayer::new()).cache(cache);
//! # assert_eq!(stack.snapshot().cache_entries(), Some(0));
//! ```
//!
//! # Layers of your own
//!
//! [`Stack::before_cache`] and [`Stack::around`] take any tower layer. See [how to write a
//! layer](crate::own_layer). A layer behind all of ours goes around the client.
//!
//! # One type that can be named
//!
//! [`Stack::boxed`] turns a stack and its client into a [`Gateway`]. It fits a field of a struct and
//! the arms of a `match`.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceExt, service_fn};
//! use tower_inference::{payload::{Payload, PayloadLayer}, stack::{Gateway, Stack}};
//!
//! struct App {
//!     gateway: Gateway,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let client = service_fn(|_: Request<Payload>| async {
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("ok"))))
//! });
//! let app = App {
//!     gateway: match std::env::args().count() {
//!         0 => Stack::new().boxed(client),
//!         _ => Stack::new().payload(PayloadLayer::bytes()).boxed(client),
//!     },
//! };
//! let request = Request::new(Full::new(Bytes::from("{}")));
//! assert_eq!(app.gateway.oneshot(request).await.unwrap().status(), 200);
//! # }
//! ```
//!
//! # State at a glance
//!
//! [`Stack::snapshot`] and [`Gateway::snapshot`] return sizes and ages. A handler can print them:
//!
//! ```
//! use axum::{Router, extract::State, routing::get};
//! use tower_inference::stack::{Gateway, Stack};
//!
//! async fn state(State(gateway): State<Gateway>) -> String {
//!     let now = gateway.snapshot();
//!     format!(
//!         "cache: {} entries, {} bytes\nin flight: {} of {}\nage of the keys: {:?}\n",
//!         now.cache_entries().unwrap_or_default(),
//!         now.cache_bytes().unwrap_or_default(),
//!         now.upstream_in_flight().unwrap_or_default(),
//!         now.max_upstream_in_flight().unwrap_or_default(),
//!         now.keys_age(),
//!     )
//! }
//!
//! # fn app(gateway: Gateway) -> Router {
//! Router::new().route("/state", get(state)).fallback_service(gateway.clone()).with_state(gateway)
//! # }
//! ```
//!
//! # Limits
//!
//! A stack does not check that a subset makes sense: without auth every client may call. It logs a layer
//! that contradicts its [`RouteLayer`](crate::route::RouteLayer): a token in another header, edits for
//! another profile or a schema for a route that does not exist.

mod callers;
mod compared;
mod compose;
mod gateway;
mod payload_slot;
#[cfg(feature = "metrics")]
mod publish;
mod scrub;
mod slot;
mod slots;
mod snapshot;
mod state;
mod upstream_slot;

pub use self::{
    callers::CallerSlot,
    compared::ComparedSlot,
    gateway::{BoxedGateway, Gateway, GatewayService, NoError, ResponseBody, ResponseFuture},
    payload_slot::{ImpliedPayload, OpenPayload, PayloadSlot},
    scrub::{AccessLogSlot, TokenSlot},
    slot::{Optional, Vacant, VacantOwn},
    slots::Stack,
    snapshot::{Snapshot, StateSlot},
    state::{KeySetState, TargetState, TokenState},
    upstream_slot::{UpstreamSlot, WithoutUpstreamLayer},
};
#[doc(hidden)]
pub use crate::skip::Skip;
