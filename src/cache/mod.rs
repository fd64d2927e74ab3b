//! Answers that are kept and shared, streams included: one call for many callers.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::Arc};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     cache::{CacheLayer, Scope},
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//!     payload::Payload,
//! };
//!
//! const ANSWER: &str = r#"{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}"#;
//!
//! async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let response = Response::builder().header("content-type", "application/json");
//!     Ok(response.body(Full::from(ANSWER)).unwrap())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let cache = CacheLayer::new("router", Scope::Identity);
//! let service = cache.layer(service_fn(upstream));
//!
//! let ask = async |body: &'static str| {
//!     let mut request = Request::post("/v1/chat/completions")
//!         .header("content-type", "application/json")
//!         .body(Payload::buffered(body))
//!         .unwrap();
//!     let context = RequestContext::ensure(request.extensions_mut());
//!     let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
//!     context.set_identity(Arc::new(caller));
//!     let answer = service.clone().oneshot(request).await.unwrap();
//!     let status = answer.headers()["cache-status"].clone();
//!     assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), ANSWER);
//!     status.to_str().unwrap().to_owned()
//! };
//! let first = ask(r#"{"model": "m", "temperature": 0, "messages": []}"#).await;
//! assert_eq!(first, "tower-inference; fwd=miss");
//! // Whatever the order of the members, and the way in which they are written.
//! let second = ask(r#"{"messages":[],"temperature":0.0,"model":"m"}"#).await;
//! assert!(second.starts_with("tower-inference; hit; ttl="));
//! // What is sampled is sampled each time.
//! let sampled = ask(r#"{"model": "m", "temperature": 1, "messages": []}"#).await;
//! assert_eq!(sampled, "tower-inference; fwd=bypass");
//! # }
//! ```
//!
//! # Whose, and which
//!
//! An answer is found again by a key of 256 bits, an HMAC over all that may change it:
//!
//! | part | which |
//! |---|---|
//! | [namespace](CacheLayer::new) | the upstream's name |
//! | [`Scope`] | who shares: one principal (how proved, issuer, subject), one tenant of one issuer, those for whom a function says the same, or all |
//! | [epoch](CacheLayer::epoch) | |
//! | method, host, path, [query](CacheLayer::query) | `GET` and `POST`; other methods pass |
//! | [fields](CacheLayer::fields) | `accept` and some that servers of inference look at; `content-type`, unless it is `application/json` |
//! | body | as JSON: the order of members, white space and escapes make no difference, numbers are compared exactly; without `stream`, `stream_options` and [ignored members](CacheLayer::ignore_members). What is not JSON, byte by byte |
//!
//! `stream` and `stream_options` choose one of three variants below the key: plain, streamed,
//! streamed with usage. Only what is [cacheable](CacheLayer::cacheable) has a key: by default, what
//! is deterministic by its own words.
//!
//! The cache is bypassed where the scope does not know who calls, or their credential has
//! [expired](crate::identity::Identity::expires_at); by bodies that are streamed and calls of gRPC;
//! and by requests for a part (`range`), on a condition (`if-…`), or to upgrade.
//!
//! # What is kept
//!
//! An answer with a status of 2xx (not 206), without `set-cookie`, a content coding, `no-store`,
//! `no-cache`, `private`, or a `vary` on what is no part of the key. (Servers put a bare `no-cache` on
//! each stream, for the sake of browsers: of a stream it forbids nothing.) And only once it is known to
//! be whole:
//!
//! | answer | whole by |
//! |---|---|
//! | `text/event-stream`, JSON in lines | its own end mark and the end of its body: see [`tap`](crate::tap) |
//! | JSON | its length or its grammar |
//! | any other | its length; no page of HTML, and no error in JSON |
//!
//! A failure inside of a 200 is not stored: an error of any shape, a finish reason that is not known for
//! a good end, a stream that said nothing, `{}`, and an empty body. A response that was cut by a limit
//! of its output (`length`, `max_tokens`) is stored where the request has such a limit, or a layer of
//! this crate put one in; the upstream's own default may be another tomorrow.
//!
//! Nothing is held back for that: the answer is recorded as it flows. Fields of one hop, one caller
//! or one moment (`connection` and what it names, `x-request-id`, `ratelimit`, `retry-after`, …) are
//! not kept, nor shown to those who share. What was answered by
//! [somebody else](crate::context::RequestContext::set_fell_back) than was asked is not kept.
//!
//! It is given again in the very chunks in which it came, with its trailers. A finished chat answer
//! in text alone also serves as another variant: a stream with usage as either of the others, a
//! plain one as a stream.
//!
//! # What is under way
//!
//! Requests of one key and variant that come while the first is under way share its call, be it
//! plain or streamed. Each reads from the start, at its own pace; whoever leaves leaves the others
//! undisturbed; with the last of them, the call is cancelled. Nobody drives it but those who read.
//!
//! - An error, a panic, and a refusal of this crate's own (of a budget further in, of an upstream
//!   that cannot be reached) go to the one who began the call. The next of the others begins a call
//!   with a request of its own, which the rest share; should that come to nothing too, each calls
//!   for itself. An answer of the upstream is shared whatever its status; but under a scope wider than
//!   [`Scope::Identity`], one that is for its caller alone (`private`, `no-store`, `no-cache`,
//!   `set-cookie`, `vary` on what is no part of the key) is given to nobody else either.
//! - A response that is larger than [`max_entry`](CacheLayer::max_entry) is passed on in step: the
//!   fastest reader is at most a [window](CacheLayer::window) ahead of the slowest. Slow readers cost
//!   the others at most one [total time](CacheLayer::slowest_deadline). Each time the others wait,
//!   a quarter of the rest of that time may pass, and then the readers behind are cut with a
//!   [`BodyError`].
//! - All shared calls take at most one [sum of memory](CacheLayer::memory_limit). Requests beyond it
//!   are served, and neither shared nor stored.
//! - Further in, the call has a [`RequestContext`](crate::context::RequestContext) of its own, with
//!   the identity of the one who began it. What it learns is told to that one alone.
//!
//! # Freshness
//!
//! | | by default |
//! |---|---|
//! | [time to live](CacheLayer::ttl), by route and model too | 5 min |
//! | [said by the answer](CacheLayer::ttl_from_answers) | no |
//! | [stale while another fetches it](CacheLayer::stale_while_revalidate) | no |
//! | [stale in place of an error](CacheLayer::stale_if_error) | no |
//! | `cache-control` of requests, for [those who may](CacheLayer::may_control): `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`, `only-if-cached` | nobody |
//!
//! `no-cache` of many at once is still one call. Entries can be forgotten by
//! [request](CacheLayer::invalidate), [route](CacheLayer::invalidate_route),
//! [model](CacheLayer::invalidate_model), [tenant](CacheLayer::invalidate_tenant), or
//! [all](CacheLayer::invalidate_all); then, what is under way is not kept either.
//!
//! Answers tell `age` (RFC 9111) and `cache-status` (RFC 9211) under [`Scope::Identity`], and under
//! wider ones only [when asked](CacheLayer::cache_status). The
//! [`RequestContext`](crate::context::Outcome::cache) tells hits from misses always.
//!
//! # Where it is kept
//!
//! In memory, bounded by [`max_bytes`](CacheLayer::max_bytes), dropped least used first, and compressed
//! above a size if you ask for it (`compress_above`, feature `cache-compression`); and, where it is given one, in a [second tier](CacheLayer::second_tier), too: Redis or Valkey, which replicas
//! share, or a [`Tier`] of one's own.
//!
//! Entries are copies: they keep nothing of the connection's buffers, and are weighed by the memory
//! that they take. An entry that is over leaves when requests come after its time, a few entries a
//! request.
//!
//! # Limits
//!
//! - `POST` is kept by a rule of this cache's own, not by RFC 9111, which asks answers to say so.
//! - Under a scope wider than [`Scope::Identity`], callers can learn by the time an answer takes
//!   that another has asked the same.
//! - A hit is as quick as memory: an answer that was streamed over a minute is replayed at once.
//! - There is no task in the background. While something is stale, one of those who ask for it
//!   waits for the new answer, and may leave before it is there.
//! - `cache-status` says `stored` only of a response that has been stored. Whether one is, is known at
//!   its end, and its head has passed by then: so the first caller is never told, and a caller that
//!   shares the response is when its head comes after that end.
//! - What follows an answer's announced length (trailers over HTTP/2) is not kept where the one who
//!   reads leaves right there.
//! - A panic inside of a body that is shared is a broken body to all who read it.
//! - Those who wait for others waste what they have reserved by being made ready (a permit of a
//!   concurrency limit), should they need to call themselves.
//! - [Invalidation](CacheLayer::invalidate_route) by more than 1,024 names forgets all.
//! - Of several such layers in one another, the outermost keeps and shares.
//! - In a [second tier](CacheLayer::second_tier) variants are apart: what one replica was told as a
//!   stream, another that asks for a plain answer does not find.
//! - `only-if-cached` asks memory alone.
//! - A request for an [invalidation](CacheLayer::invalidate_all) reaches the tier, and not the
//!   memories of other replicas.

mod ask;
mod block;
mod body;
mod cacheable;
mod call;
mod canonical;
mod codec;
mod control;
mod convert;
mod counts;
mod deterministic;
mod entry;
mod expiry;
mod fields;
mod flight;
mod flights;
mod function;
mod future;
mod generation;
mod head;
mod key;
mod layer;
mod limited;
mod listing;
mod memory;
#[cfg_attr(not(feature = "cache-compression"), path = "packed_none.rs")]
mod packed;
mod places;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod scope;
mod seal;
mod second;
mod service;
mod settings;
mod status;
mod storable;
mod ticket;
mod tier;
mod unauthorized;
mod variants;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{RedisCache, RedisError};
pub use self::{
    body::{BodyError, ResponseBody},
    cacheable::Cacheable,
    counts::CacheCounts,
    future::ResponseFuture,
    layer::CacheLayer,
    scope::{Scope, ScopeFunction},
    second::SecondTier,
    service::Cache,
    tier::{Leased, Tier, TierFuture},
    unauthorized::Unauthorized,
};
