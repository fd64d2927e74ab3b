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
//! # By what, and how much
//!
//! A [`ThrottleLayer`] holds a request to each of its [`Limit`]s, before the body is read. A limit is
//! by what it counts, an allowance, and a name:
//!
//! | by | counted together | who is not known |
//! |---|---|---|
//! | [`per_identity`](Limit::per_identity) | one principal: (how proved, issuer, subject) | refused: `missing-credentials` |
//! | [`per_claim`](Limit::per_claim) | one string of a claim, of one issuer: an API key's plan | no identity: refused; no such string: one counter for each issuer |
//! | [`per_tenant`](Limit::per_tenant) | one tenant of one issuer | no identity: refused; no tenant: one counter for each issuer |
//! | [`per_peer`](Limit::per_peer) | one address | one counter |
//! | [`per_key`](Limit::per_key) | what a function of yours finds in the head | one counter |
//! | [`per_route`](Limit::per_route) | one route, by its name in the context | one counter |
//! | [`global`](Limit::global) | all | |
//!
//! | allowance | counts | `retry-after` |
//! |---|---|---|
//! | [`Rate`] | a token bucket with a burst, as API Gateway's `rateLimit` and `burstLimit` | until the next permit has grown |
//! | [`Quota`] | a calendar day, week or month of UTC, as API Gateway's usage plans | until the next period |
//! | [`Concurrency`] | requests whose answer has not ended | 1 s: nobody knows |
//!
//! Numbers can differ by [plan](Limit::plans) or [tier](Limit::tiers). Outside an
//! `AuthLayer`, a limit by address can count
//! [failed authentications](Limit::failed_authentications) alone.
//!
//! # Order
//!
//! Limits are asked together, and all or nothing: a request that one refuses takes nothing from the
//! others. In the table above they stand as they are told, the narrowest first, as API Gateway has it
//! ([throttling](https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html));
//! of equals, the one that was added first. The first that refuses gives the answer its slug and
//! words, `throttled` or, for a quota, `quota-exceeded`; `retry-after` is the longest wait of all that
//! refuse, so that one who waits so long is not refused by the next. A request that costs more than a
//! limit ever allows at once is rejected with `exceeds-limit`, without `retry-after`.
//!
//! Answers tell callers, in [fields](LimitFields) and in words, only of limits that are the caller's
//! own: [`Limit::shown`]. Operators find the
//! name of every limit that refused in the [`RequestContext`](crate::context::Outcome::limited_by)
//! and the access log, and that of a limit in [shadow](Limit::shadow) that would have.
//!
//! # What is shared
//!
//! | shared by | what |
//! |---|---|
//! | clones of a layer, and all services it makes | counters, [counts](ThrottleLayer::counts) |
//! | layers with clones of one [`Store`] | counters of limits of the same name, unit (requests or tokens) and kind of allowance |
//! | a layer and its [successor](ThrottleLayer::inherit_state) | the store; counts of limits of the same name |
//! | replicas with `RedisStore`s of one namespace and secret | rates and quotas; requests in flight are each replica's own |
//!
//! A place in flight is given back when the body of the answer has ended or was dropped, at the head
//! where no body follows, and wherever else a request ends: an error, a panic, a caller that leaves.
//!
//! # Limits
//!
//! - A request is counted when it comes. One that is dropped half-way, or that fails further in, stays
//!   counted by rates and quotas; so does one that leaves while a shared store decides, if the store
//!   was told.
//! - A limit in shadow takes permits as long as it allows, and only from requests that pass; what it
//!   would refuse under the traffic it would let through itself may be less.
//! - Other names, other counters: a limit that is renamed, or that counts in another way than before
//!   (a month instead of a day), begins anew. Name limits whose number in the layer may change.
//! - A connection that is upgraded (101) is no longer in flight once its head was sent.
//! - [`reset`](ThrottleLayer::reset) forgets what is in flight, too: until those requests end, more
//!   than the limit may be.
//! - Who counts by what callers send unproved (a field, a path) lets them choose their counter. The
//!   memory of a store is bounded all the same: [`MemoryStore::capacity`].
//! - Counters in memory are lost with the process.

mod admin;
mod allowance;
mod ask;
mod body;
mod budget;
mod concurrency;
mod counts;
mod due;
mod failures;
mod fields;
mod future;
mod gcra;
mod key;
mod layer;
mod limit;
mod limits;
mod memory;
mod owed;
mod quota;
mod rate;
#[cfg(feature = "redis")]
mod redis;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod tier;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{RedisCounts, RedisError, RedisStore, WhenAway};
pub use crate::peer::{ForwardedField, NetworkError, PeerAddress};

pub use self::{
    admin::{LimitError, LimitStanding},
    allowance::Allowance,
    body::ResponseBody,
    budget::{BudgetBody, BudgetFuture, TokenBudget, TokenBudgetLayer, Weight, Weights},
    concurrency::Concurrency,
    counts::LimitCounts,
    fields::LimitFields,
    future::ResponseFuture,
    layer::{Throttle, ThrottleLayer},
    limit::Limit,
    memory::{MemoryStore, WhenFull},
    quota::{Period, Quota},
    rate::Rate,
    store::Store,
    subject::{RequestHead, Subject},
};
