//! Limits on requests and inference tokens.
//!
//! A gateway pays for each request that it forwards and must bound the share of one caller. A
//! [`Limit`] states which requests are counted together and how much they may take.
//! [`ThrottleLayer`](crate::throttle::ThrottleLayer) applies limits to requests.
//! [`TokenBudgetLayer`](crate::token_budget::TokenBudgetLayer) applies them to inference tokens.
//!
//! ```
//! use tower_inference::limits::{Limit, Rate};
//!
//! let limit = Limit::per_identity(Rate::per_second(10).burst(20));
//! ```
//!
//! # Example
//!
//! ```
//! use tower_inference::{
//!     limits::{Limit, MemoryStore, Quota, Rate, Subject},
//!     throttle::ThrottleLayer,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_inference::limits::LimitError> {
//! let layer = ThrottleLayer::new(Limit::per_tenant(Rate::per_second(10)))
//!     .limit(Limit::global(Quota::per_day(1_000)).name("daily"))
//!     .store(MemoryStore::new().max_keys(10_000));
//! let state = layer.limit_state("daily", &Subject::global()).await?;
//! assert_eq!((state.remaining, state.capacity), (1_000, 1_000));
//! # Ok(())
//! # }
//! ```
//!
//! # What is counted together
//!
//! | limit | one counter for each | requests without one |
//! |---|---|---|
//! | [`per_identity`](Limit::per_identity) | principal: proof, issuer and subject | rejected: 401 `missing-credentials` |
//! | [`per_claim`](Limit::per_claim) | string of a claim, for each issuer | without identity: rejected; without the claim: one counter for each issuer |
//! | [`per_tenant`](Limit::per_tenant) | tenant of an issuer | without identity: rejected; without tenant: one counter for each issuer |
//! | [`per_peer`](Limit::per_peer) | address | one counter |
//! | [`per_key`](Limit::per_key) | key that your function finds | one counter |
//! | [`per_route`](Limit::per_route) | route name in the context | one counter |
//! | [`global`](Limit::global) | none: all requests share one | |
//!
//! # How much is allowed
//!
//! | allowance | counts | `retry-after` |
//! |---|---|---|
//! | [`Rate`] | a token bucket with a burst, like API Gateway's `rateLimit` and `burstLimit` | until enough permits have grown |
//! | [`Quota`] | a calendar day, week or month of UTC, like API Gateway's usage plans | until the next period |
//! | [`Concurrency`] | requests whose response has not ended | 1 s |
//!
//! [Plans](Limit::by_plan) and [tiers](Limit::tiers) give some callers other numbers. An allowance of
//! zero rejects every request with 429.
//!
//! # Several limits of one layer
//!
//! - A request must pass all limits. If one limit rejects it, no limit loses a permit.
//! - The table above lists limits in their order, the narrowest first, as
//!   [API Gateway](https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html)
//!   does. Equal limits keep the order in which they were added.
//! - The first limit that rejects a request sets the slug and the detail. The slug is
//!   `quota-exceeded` for a quota and `throttled` otherwise. Both are a 429.
//! - `retry-after` is the longest wait of all limits that reject the request. A client that waits this
//!   long is not rejected by the next limit.
//! - A cost beyond a limit's capacity is rejected with 400 `exceeds-limit` and no `retry-after`. Each
//!   request costs one permit of a throttle, so only a token budget rejects in this way.
//! - Clients learn only of limits that are [shown](Limit::shown). The
//!   [`RequestContext`](crate::context::Outcome::limited_by) and the access log name the limit
//!   that rejected a request. They also name a limit in [shadow](Limit::shadow) that would have.
//!
//! # Stores
//!
//! | shared by | state |
//! |---|---|
//! | clones of a layer and their services | counters and counts |
//! | layers with clones of one [`Store`] | counters of limits with one name, unit and kind of allowance |
//! | a layer and its [replacement](crate::throttle::ThrottleLayer::inherit_state) | the store; counts of limits with one name |
//! | replicas with `RedisStore`s of one namespace and secret | rates and quotas, but not requests in flight |
//!
//! While a shared store is unavailable, its `OutagePolicy` decides. By default requests are rejected
//! with 503 `throttle-unavailable`.
//!
//! # Caveats
//!
//! - A limit in shadow takes permits only from requests that pass all enforced limits. If it were
//!   enforced, it might reject fewer requests than its counts say.
//! - A limit that is renamed starts from zero. So does a limit whose kind changes, such as a monthly
//!   quota that was a daily one.
//! - A limit that counts by unverified input, such as a header or a path, lets clients choose their
//!   counter. The memory of a store stays bounded: see [`MemoryStore::max_keys`].

mod admin;
mod configured;
mod counts;
mod headers;
mod kind;
mod limit;
mod limit_set;
mod rejection;
mod release;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod tier;

#[cfg(test)]
pub(crate) use self::store::FakeStore;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::store::{OutagePolicy, RedisCounts, RedisError, RedisStore};
pub use self::{
    admin::{LimitError, LimitState},
    counts::{BudgetTokens, LimitCounts},
    headers::LimitHeaders,
    kind::{Allowance, Concurrency, Quota, Rate},
    limit::Limit,
    store::{MemoryStore, OverflowPolicy, Store},
    subject::Subject,
};
pub(crate) use self::{
    configured::ConfiguredLimit,
    headers::RateLimitHeaders,
    kind::{AllowanceKind, Unit},
    limit_set::LimitSet,
    release::Release,
    store::{
        Decision, PermitOutcome, PermitRequest, PermitRequests, Settlement, StoreDecision,
        StoreFuture, StoreUnavailable,
    },
};
