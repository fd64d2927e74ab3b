//! Stores responses and shares calls in flight.
//!
//! Many clients send the same request to a model. Each upstream call takes seconds and costs money.
//! [`CacheLayer`] responds to repeated requests from memory. Concurrent identical requests share one
//! upstream call while its response streams.
//!
//! ```
//! # use tower_inference::cache::{CacheLayer, Scope};
//! let layer = CacheLayer::new("router", Scope::Identity);
//! ```
//!
//! # Example
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
//! const CHAT: &str = r#"{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}"#;
//!
//! async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let response = Response::builder().header("content-type", "application/json");
//!     Ok(response.body(Full::from(CHAT)).unwrap())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let service = CacheLayer::new("router", Scope::Identity).layer(service_fn(upstream));
//!
//! // Returns the `cache-status` of a request.
//! let send = async |body: &'static str| {
//!     let mut request = Request::post("/v1/chat/completions")
//!         .header("content-type", "application/json")
//!         .body(Payload::buffered(body))
//!         .unwrap();
//!     let context = RequestContext::ensure(request.extensions_mut());
//!     let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
//!     context.set_identity(Arc::new(caller));
//!     let response = service.clone().oneshot(request).await.unwrap();
//!     let status = response.headers()["cache-status"].clone();
//!     assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), CHAT);
//!     status.to_str().unwrap().to_owned()
//! };
//! let first = send(r#"{"model": "m", "temperature": 0, "messages": []}"#).await;
//! assert_eq!(first, "tower-inference; fwd=miss");
//! // The order and the form of the members do not matter.
//! let second = send(r#"{"messages":[],"temperature":0.0,"model":"m"}"#).await;
//! assert!(second.starts_with("tower-inference; hit; ttl="));
//! // A sampled response is not stored.
//! let sampled = send(r#"{"model": "m", "temperature": 1, "messages": []}"#).await;
//! assert_eq!(sampled, "tower-inference; fwd=bypass; detail=not-deterministic");
//! # }
//! ```
//!
//! # Keys
//!
//! The key of a response is an HMAC of 256 bits over everything that can change it:
//!
//! | part | content |
//! |---|---|
//! | [namespace](CacheLayer::new) | the name of the upstream |
//! | [`Scope`] | the callers that share: a principal, a tenant, a name from a function, or everyone |
//! | [epoch](CacheKey::epoch) | a number that you change with the rules of inner layers |
//! | method | `GET` or `POST`; other methods bypass the cache |
//! | target | host, path and [query](CacheKey::query) |
//! | [headers](CacheKey::headers) | `accept` and some headers of inference APIs |
//! | `content-type` | unless it is `application/json` |
//! | JSON body | all members except for `stream`, `stream_options` and [ignored ones](CacheKey::ignore_members) |
//! | other body | all bytes |
//!
//! The order of members, white space and escapes do not change the key of a JSON body. Numbers are
//! compared exactly.
//!
//! A repeated request is found by a keyed hash of 128 bits over the same parts with the body as it is
//! written. Its document is then not put into the form that makes its key. Each entry remembers the
//! latest such hash.
//!
//! `stream` and `stream_options` select one of three variants of a response: plain, streamed, or
//! streamed with usage. Only [cacheable](CacheLayer::cacheable) requests have a key. By default these
//! are the deterministic ones.
//!
//! A request bypasses the cache for any of these reasons:
//!
//! - The scope lacks a property of the caller.
//! - The caller's identity has [expired](crate::identity::Identity::expires_at).
//! - The scope is [`Scope::Shared`] and the request has `authorization` but no identity.
//! - The request has `no-store` and its caller [may control the cache](ClientControl).
//! - The body is streamed, or the call is gRPC.
//! - The request asks for a part (`range`), has a condition (`if-…`) or upgrades the protocol.
//!
//! # Stored responses
//!
//! A stored response has a status of 2xx except for 206. It has no `set-cookie` and no content
//! coding. It has no `no-store`, `no-cache` or `private`. It has no `vary` by a header outside of the
//! key, except for `accept-encoding`, `host` and the headers of CORS. A bare `no-cache` of a stream is
//! ignored because servers add it to every stream for browsers.
//!
//! A response is stored once it is known to be complete and to hold the result of its route:
//!
//! | response | proof |
//! |---|---|
//! | `text/event-stream`, JSON lines | output, its end mark and the end of its body, see [`tap`](crate::tap) |
//! | JSON on a route of a [known form](crate::model::BodyForm) | [the result](#results) |
//! | image, sound or video on a route for them or of any task | its length, and no start of JSON or of a page |
//! | JSON on a route of an unknown form | its length or its grammar, and no sign of a failure |
//! | other text or data on such a route | its length; HTML pages and JSON errors are never stored |
//!
//! A failure with a status of 200 is therefore not stored even if its form is unknown. A response that
//! reached its output limit (`length`, `max_tokens`) is stored only if the request has that limit. A
//! layer of this crate may have added it. The upstream's default limit may change. The count of output
//! tokens must reach the limit for all results together: of `n` choices for each prompt. The largest of
//! several limits in a request counts.
//!
//! # Results
//!
//! | route | result |
//! |---|---|
//! | chat, completions | `choices` that each have a place for text and a finish reason |
//! | OpenAI's responses | items in `output`; no message in it failed |
//! | Anthropic's messages | type `message`, `content` and `stop_reason` |
//! | `/generate` | `generated_text`, or the text or tokens of SGLang, vLLM's demo server, Ollama, Cohere or Triton |
//! | embeddings | a vector of numbers or in base64 for each text of the request |
//! | rankings | a number as the score of each rank |
//! | classes, scores, moderations, tokens | numbers, flags or tokens by the route |
//! | images | a link or base64 for each |
//! | any task (`/`, `/invocations`, `/models/{model}`) | any of these |
//!
//! Each element of a batch must hold its result. Each text may tell no end instead, as that of TGI without
//! details. It is then stored only if the request or a layer of this crate limits the output, because a
//! default of the server may have cut it. A message of an error beside the result of a task prevents
//! storing, and so does the code of an error beside any result. Only chats, completions, responses,
//! messages, generated text and routes of an unknown form can be stored as streams.
//!
//! The check parses the body once more at its end.
//!
//! Recording does not delay the response. Headers of one hop, one caller or one moment are neither
//! stored nor shared, for example `connection`, `x-request-id`, `ratelimit` and `retry-after`. The
//! response of a [fallback](crate::context::RequestContext::set_fell_back) is not stored. A stored response
//! of another model than the rules have judged, such as that of an alias, is served only to callers whose
//! model rules allow that model.
//!
//! A hit replays the original chunks and trailers. Its usage and the end of its stream are in the
//! entry, so that no outer layer reads the body again. A finished chat of text alone also serves other
//! variants. A stream with usage serves both others, and a plain response serves both streams.
//!
//! # Shared calls
//!
//! Requests with the same key and variant join the call that is in flight. Each reads the response
//! from its start and at its own pace. A client that disconnects does not disturb the others. The last
//! one cancels the call. There is no background task: the readers drive the call.
//!
//! - Responses of the upstream are shared whatever their status. Under a scope wider than
//!   [`Scope::Identity`], a response that is private to its caller is not shared. It is private if it has
//!   `private`, `no-store`, `no-cache`, `set-cookie` or a `vary` by a header outside of the key.
//! - Errors, panics and rejections of inner layers go only to the request that began the call. One of
//!   the others then begins a new call, which the rest share. After two failed calls a request calls
//!   the upstream alone.
//! - A response that is larger than [`max_entry_bytes`](MemoryTier::max_entry_bytes) is not recorded.
//!   Its fastest reader is at most [`max_gap_bytes`](SharedCalls::max_gap_bytes) ahead of the slowest
//!   one. A reader that is too slow is cut with a [`BodyError`]. All slow readers of a response
//!   together delay the others by at most
//!   [`slow_reader_timeout`](SharedCalls::slow_reader_timeout).
//! - All shared calls together take at most [`memory_limit`](SharedCalls::memory_limit). Beyond it,
//!   responses are neither shared nor stored.
//! - The call has its own [`RequestContext`](crate::context::RequestContext) with the identity of the
//!   request that began it. Only that request learns its outcome.
//!
//! # Freshness
//!
//! | setting | default |
//! |---|---|
//! | [time to live](Freshness::ttl), also by route and model | 5 min |
//! | [`cache-control` of responses](Freshness::obey_responses) | ignored unless it forbids to store |
//! | [stale while revalidate](Freshness::stale_while_revalidate) | no |
//! | [stale if error](Freshness::stale_if_error) | no |
//! | [`cache-control` of requests](ClientControl) | ignored |
//!
//! Concurrent requests with `no-cache` share one call.
//!
//! You can invalidate responses by [request](CacheLayer::invalidate),
//! [route](CacheLayer::invalidate_route), [model](CacheLayer::invalidate_model) or
//! [tenant](CacheLayer::invalidate_tenant), or [all](CacheLayer::invalidate_all) of them. Responses in
//! flight at that time are not stored.
//!
//! Under [`Scope::Identity`], responses have `age` (RFC 9111) and `cache-status` (RFC 9211). Wider
//! scopes need [`cache_status`](CacheLayer::cache_status). The
//! [`RequestContext`](crate::context::Outcome::cache) always has the outcome.
//!
//! `cache-status` tells as its `detail` why a request bypassed the cache, for example `tower-inference;
//! fwd=bypass; detail=not-deterministic`. The names are stable:
//!
//! | detail | reason |
//! |---|---|
//! | `not-deterministic` | the response may differ each time, see [`Cacheable::deterministic`] |
//! | `stateful` | the server keeps state for the request or looks something up |
//! | `not-json` | the body is not JSON |
//! | `not-selected` | the function of [`Cacheable::by`] returned `false` |
//! | `no-time-to-live` | its time to live is zero, see [`Freshness::ttl`] |
//! | `no-store` | the client asked for it and [`ClientControl`] allows it |
//! | `unverified-credentials` | the request has `authorization` and no identity: put auth outside of the cache |
//! | `without-identity` | the scope needs an identity and the request has no credentials |
//! | `expired-identity` | the caller's credentials have expired since they were verified |
//! | `no-tenant` | the scope needs a tenant and the caller has none |
//! | `no-scope` | the function of [`Scope::by`] returned `None` |
//! | `method` | the method is neither `GET` nor `POST` |
//! | `partial` | the request has `range`, a condition such as `if-none-match` or `upgrade` |
//! | `streamed-body` | no layer has read the body, see [`PayloadLayer::streamed`](crate::payload::PayloadLayer::streamed) |
//! | `grpc` | the request is a gRPC call |
//! | `nested` | a cache layer further out shares the call |
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | has `only-if-cached` of a caller that [may control the cache](ClientControl), and no response is in memory | 504 `not-cached` |
//! | has `cache-control` of another caller, with [`Unauthorized::Reject`] | 403 `forbidden` |
//! | began a shared call and read so slowly that it was cut before its head | 502 `upstream-unavailable` |
//!
//! # Tiers
//!
//! Responses are stored in [memory](MemoryTier). The least used ones are evicted beyond
//! [`max_bytes`](MemoryTier::max_bytes). With feature `cache-compression`, `MemoryTier::compress_above`
//! compresses large ones. A [second tier](CacheLayer::second_tier) stores responses in Redis or
//! Valkey, which replicas share, or in your own [`Tier`].
//!
//! Entries are copies and do not hold the buffers of a connection. Their weight is the memory that
//! they take. Each lookup removes a few expired entries.
//!
//! # Place
//!
//! Inside of auth, which gives the identity for the keys, and of every layer that judges requests. Outside of the
//! token budget and the upstream, which a hit must not cost.
//!
//! ```text
//! ServiceBuilder::new().layer(model_rules).layer(cache).layer(token_budget)  // the first is the outermost
//! Router::new().fallback_service(built)                                      // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - RFC 9111 stores a response to `POST` only if it is marked as fresh. This cache does not require
//!   it.
//! - Under a scope wider than [`Scope::Identity`], the response time reveals that another caller has
//!   sent the same request.
//! - A text that states an error in the form of the result is stored, for example `["out of memory"]` from
//!   `/decode` or as a classification of any task.
//! - A result with duplicate members or lone surrogates is not stored.
//! - Transcripts are stored as JSON only.
//! - A hit has no delay between its chunks. A stream of one minute is replayed at once.
//! - There is no background revalidation. The first request for a stale response waits for the new
//!   one, and may be cancelled before.
//! - `cache-status` has `stored` only if the response is already stored. This is known at its end, so
//!   the first response never has it. A follower has it if its head comes after that end.
//! - HTTP/2 trailers after the announced length are not stored if the reader stops at that length.
//! - A panic in a shared body is a failed body for all its readers.
//! - A request that waits for a shared call also keeps the inner service's readiness, for example a
//!   permit of a concurrency limit.
//! - [Invalidating](CacheLayer::invalidate_route) more than 1,024 names invalidates everything.
//! - Outside of authentication the cache has no identities. It then bypasses every request with
//!   `authorization`, logs the first one at `warn` and [counts](CacheCounts::without_identity) them.
//! - Only the outermost of several nested cache layers stores and shares.
//! - The [second tier](CacheLayer::second_tier) does not convert variants. A streamed response of one
//!   replica does not serve a plain request of another.
//! - `only-if-cached` looks in memory only.
//! - [Invalidation](CacheLayer::invalidate_all) reaches the second tier, but not the memory of other
//!   replicas.

mod counts;
mod entry;
mod flight;
mod key;
mod layer;
mod policy;
mod request;
mod scope;
mod settings;
mod tier;
mod warnings;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::tier::{RedisCache, RedisError};
pub use self::{
    counts::CacheCounts,
    layer::CacheLayer,
    policy::Cacheable,
    request::{BodyError, Cache, ResponseBody, ResponseFuture},
    scope::{Scope, ScopeFunction},
    settings::{CacheKey, ClientControl, Freshness, MemoryTier, SharedCalls, Unauthorized},
    tier::{LeaseResult, SecondTier, Tier, TierFuture},
};
