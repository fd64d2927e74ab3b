//! Rates, quotas, concurrency and budgets of inference tokens, in memory or shared by replicas.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use std::{convert::Infallible, sync::Arc};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//!     throttle::{Limit, Rate, ThrottleLayer},
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
//! let refused = service.oneshot(request()).await.unwrap();
//! assert_eq!(refused.status(), 429);
//! assert_eq!(refused.headers()["retry-after"], "60");
//! # }
//! ```
//!
//! # Limits
//!
//! To be written.

mod admin;
mod allowance;
mod ask;
mod body;
mod budget;
mod concurrency;
mod counts;
mod fields;
mod future;
mod gcra;
mod in_flight;
mod key;
mod layer;
mod limit;
mod limits;
mod memory;
mod peer;
mod quota;
mod rate;
#[cfg(feature = "redis")]
mod redis;
mod store;
mod subject;
mod tier;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{RedisError, RedisStore, WhenAway};
pub use self::{
    admin::{LimitError, LimitStanding},
    allowance::Allowance,
    body::ResponseBody,
    budget::{BudgetBody, BudgetFuture, TokenBudget, TokenBudgetLayer, Weight, Weights},
    concurrency::Concurrency,
    counts::LimitCounts,
    future::ResponseFuture,
    layer::{Throttle, ThrottleLayer},
    limit::Limit,
    memory::{MemoryStore, WhenFull},
    peer::PeerAddress,
    quota::{Period, Quota},
    rate::Rate,
    store::Store,
    subject::{RequestHead, Subject},
};
