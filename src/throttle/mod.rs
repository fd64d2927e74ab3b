//! Rejects requests beyond rates, quotas and numbers in flight.
//!
//! One client in a loop can use up the upstream's capacity and the gateway's account. A
//! [`ThrottleLayer`] counts requests by identity, tenant, address or any other key. It rejects a
//! request beyond its [`Limit`](crate::limits::Limit)s before the body is read.
//!
//! ```
//! use tower_inference::{limits::{Limit, Rate}, throttle::ThrottleLayer};
//!
//! let layer = ThrottleLayer::new(Limit::per_identity(Rate::per_second(10).burst(20)));
//! ```
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use std::{convert::Infallible, sync::Arc};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//!     limits::{Limit, Rate},
//!     throttle::ThrottleLayer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let inner = service_fn(|_: Request<()>| async {
//!     Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
//! });
//! let limit = Limit::per_identity(Rate::per_minute(1).burst(1));
//! let service = ThrottleLayer::new(limit).layer(inner);
//!
//! let request = || {
//!     let mut request = Request::new(());
//!     let context = RequestContext::ensure(request.extensions_mut());
//!     let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
//!     context.set_identity(Arc::new(caller));
//!     request
//! };
//! assert_eq!(service.clone().oneshot(request()).await.unwrap().status(), 200);
//! let rejected = service.oneshot(request()).await.unwrap();
//! assert_eq!(rejected.status(), 429);
//! assert_eq!(rejected.headers()["retry-after"], "60");
//! # }
//! ```
//!
//! # Rules
//!
//! - The [`limits`](crate::limits) module lists what a limit can count and how much it can allow. It
//!   also explains how several limits of one layer work together.
//! - A request takes its permits when it arrives. Rates and quotas keep the permits of a request that
//!   fails further in or is dropped.
//! - A permit in flight is given back when the response body ends or is dropped. It is given back
//!   earlier where a request ends without a body: on an error, a panic or a client that leaves.
//! - Put a layer that counts by identity inside of authentication. A layer outside of it can count
//!   addresses and [failed authentications](crate::limits::Limit::failed_authentications).
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | is beyond a rate or a number in flight | 429 `throttled`, `retry-after` |
//! | is beyond a quota | 429 `quota-exceeded`, `retry-after` |
//! | has no identity and a limit counts by identity, claim or tenant | 401 `missing-credentials` |
//! | arrives while the shared [store](crate::limits#stores) is unavailable, unless its outage policy is local | 503 `throttle-unavailable`, `retry-after: 1` |
//!
//! # Place
//!
//! Inside of auth, because limits by identity, claim or tenant need the verified caller. Limits by address may
//! stand outside of auth.
//!
//! ```text
//! ServiceBuilder::new().layer(auth).layer(throttle).layer(payload)  // the first is the outermost
//! Router::new().layer(throttle).layer(auth)                         // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! - If a client leaves while a shared store decides, the store may still take the permits.
//! - An upgraded connection (101) is no longer in flight after its head was sent.
//! - [`reset`](ThrottleLayer::reset) also forgets requests in flight. Until they end, more requests
//!   than the limit may be in flight.

mod body;
mod future;
mod layer;
mod on_response;
mod service;
#[cfg(test)]
mod tests;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::ThrottleLayer, service::Throttle,
};
