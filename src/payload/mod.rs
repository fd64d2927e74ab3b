//! Buffers the body of each request once and parses it once for all inner layers.
//!
//! Several layers look into a request's body: validation, transforms, the cache and the token
//! budget. Each would otherwise read and parse it again without a bound on size or time.
//! [`PayloadLayer`] turns `Request<B>` into `Request<Payload>` for any body `B`. The inner layers
//! share the bytes and one parsed [`Document`].
//!
//! ```
//! # use tower_inference::payload::PayloadLayer;
//! # use std::time::Duration;
//! let layer = PayloadLayer::new()
//!     .max_body_bytes(1 << 20)
//!     .body_timeout(Duration::from_secs(10));
//! ```
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     context::RequestContext,
//!     payload::{Payload, PayloadLayer},
//! };
//!
//! async fn upstream(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let stream = request.body().document().unwrap().root().get("stream");
//!     assert_eq!(stream.and_then(|stream| stream.as_bool()), Some(true));
//!     let context = RequestContext::of(request.extensions()).unwrap();
//!     assert_eq!(context.model(), Some("org/model"));
//!     Ok(Response::new(Full::default()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let gateway = ServiceBuilder::new()
//!     .layer(PayloadLayer::new().max_body_bytes(1 << 20))
//!     .service(service_fn(upstream));
//! let post = |body: &'static str| {
//!     let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
//!     gateway.clone().oneshot(request.body(Full::from(body)).unwrap())
//! };
//!
//! let response = post(r#"{"model": "org/model", "stream": true}"#).await.unwrap();
//! assert_eq!(response.status(), 200);
//! let response = post(r#"{"model": "org/model", "model": "org/other"}"#).await.unwrap();
//! assert_eq!(response.status(), 400);
//! # }
//! ```
//!
//! A [`Payload`] is itself a body, so the user's HTTP client can send it. A stack that lacks the
//! [`PayloadLayer`] does not compile:
//!
//! ```compile_fail,E0277
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use std::convert::Infallible;
//! # use tower::{ServiceExt, service_fn};
//! # use tower_inference::payload::Payload;
//! async fn inspecting(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::default()))
//! }
//! let response = service_fn(inspecting).oneshot(Request::new(Full::<Bytes>::default()));
//! ```
//!
//! # Rejections
//!
//! | request | rejection |
//! |---|---|
//! | `content-length` above the limit (10 MiB); nothing is read and no `100 Continue` is sent | 413 `payload-too-large` |
//! | more bytes than the limit | 413 `payload-too-large` |
//! | a body that takes longer than the timeout (30 s) | 408 `payload-timeout` |
//! | a `content-encoding` | 415 `unsupported-media-type`; `accept-encoding` names the accepted codings |
//! | a `transfer-encoding` other than `chunked` | 415 `unsupported-media-type` |
//! | a type that is not JSON: binary, form, text, gRPC or none | 415 `unsupported-media-type`, `accept: application/json` |
//! | a charset other than UTF-8 or ASCII | 415 `unsupported-media-type`, `accept: application/json` |
//! | a byte beyond ASCII in a body declared as ASCII | 415 `unsupported-media-type` |
//! | no body with a method that needs one | 400 `malformed-payload` |
//! | a body that is not strict JSON (see [`JsonFault`]) | 400 `malformed-payload` with the position |
//! | nesting beyond the [maximum](PayloadLayer::max_depth) of 128 | 413 `payload-too-large` with the position |
//! | more values than the [maximum](PayloadLayer::max_values) | 413 `payload-too-large` with the position |
//! | a connection that breaks | 400 `malformed-payload` |
//! | no room in the [memory limit](PayloadLayer::memory_limit) (256 MiB in all) | 503 `overloaded`, `retry-after` |
//!
//! [`PayloadLayer::bytes`] does not check the type and does not require JSON.
//! [`PayloadLayer::streamed`] also accepts any coding. Both pass audio, images and gRPC streams
//! unchanged.
//!
//! The head is checked before any byte of the body is read. hyper sends `100 Continue` over
//! HTTP/1.1 when the body is first read (RFC 9110 section 10.1.1). A client that expects it
//! therefore sends nothing if the head is rejected.
//!
//! # Coded bodies
//!
//! With feature `decompression`, `PayloadLayer::decompress` decodes one `content-encoding`: `gzip`
//! (RFC 1952), `br` (RFC 7932) or `zstd` (RFC 8878). Several gzip members or zstd frames in a row
//! are one body. Nested codings and all other codings are rejected.
//!
//! | coded body | rejection |
//! |---|---|
//! | more coded bytes or more decoded bytes than the limit | 413 `payload-too-large` |
//! | truncated, corrupt or empty | 400 `malformed-payload` |
//! | followed by more data | 400 `malformed-payload` |
//! | a `zstd` window beyond 8 MiB (RFC 9659) | 400 `malformed-payload` |
//! | the large window of `br` | 400 `malformed-payload` |
//!
//! A rejected body costs at most the limit plus the decoder's window:
//!
//! | coding | memory of the decoder |
//! |---|---|
//! | `gzip` | 32 KiB and up to 192 KiB for its header |
//! | `zstd` | 8 MiB |
//! | `br` | 16 MiB and another 8 MiB while it grows |
//!
//! Decoding proceeds while the body arrives. A step reads at most 4 KiB and writes at most 16 KiB.
//! After 64 steps the task yields and checks the timeout, so a body that takes too long to decode
//! is a 408 too. The longest step fills a window of `br`: 16 MiB in about 30 ms.
//!
//! The upstream receives the decoded body. `content-encoding` is removed and `content-length` is
//! updated. The digests of the coded bytes are removed from headers and trailers: `content-digest`
//! and `repr-digest` (RFC 9530) and the older `digest` and `content-md5`.
//! [`bytes_in`](crate::context::Outcome::bytes_in) counts the bytes on the wire.
//!
//! # Forwarding
//!
//! - A chunked body without trailers is forwarded with a `content-length`. A body with trailers
//!   stays chunked and keeps them.
//! - The string member `model` of the document is recorded in the
//!   [`RequestContext`](crate::context::RequestContext) if it has at most 256 bytes.
//! - The layer can be applied twice. A [`Payload`] is not read, parsed or boxed again. The inner
//!   layer also recognizes its bytes behind a framework that hides the type. The stricter limits
//!   apply.
//! - Bytes change only where a layer [edits](Document::edit) them. Names, numbers and white space
//!   reach the upstream as the client wrote them.
//!
//! # Memory
//!
//! The [memory limit](PayloadLayer::memory_limit) counts the following bytes for all bodies
//! together.
//!
//! | what | bytes |
//! |---|---|
//! | a buffered body | its size, up to three times that while it is read, at least 16 KiB |
//! | a decoded body | twice its size while it is decoded |
//! | a document | 16 for each value or name, up to twice that while it grows |
//! | an object with more than 16 members | 24 more for each member |
//!
//! Bytes are counted until their last handle is dropped. Bodies of at most 16 KiB are counted until
//! their [`Payload`] is dropped.
//!
//! # Place
//!
//! Inside of auth and the limits, so that no body of a stranger is read. Outside of every layer that takes a
//! [`Payload`].
//!
//! ```text
//! ServiceBuilder::new().layer(throttle).layer(payload).layer(schema)  // the first is the outermost
//! Router::new().fallback_service(built)                               // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - The timeout needs a tokio runtime with its timer enabled.
//! - A document of more than 256 KiB is parsed in steps between which other tasks run. Sorting the
//!   names of one object is one step. Inner layers process a document in one step, and so does
//!   parsing after an edit.
//! - Signatures (RFC 9421) that cover a removed coding or digest no longer verify upstream.
//! - Bodies of 4 GiB and more have no document.
//! - JSON names are case-sensitive. Some upstreams ignore case (Go's `encoding/json`). [`Edits`]
//!   reject names that differ only in case from an edited one.

mod body;
mod coding;
mod content_type;
mod edit;
mod error;
mod future;
mod is_body;
mod json;
mod layer;
mod read;
mod service;

#[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
pub(crate) use self::body::replace::replace;
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
pub(crate) use self::content_type::ContentKind;
#[cfg(any(feature = "schema", feature = "transform"))]
pub(crate) use self::content_type::json_required;
pub(crate) use self::content_type::{first_json_byte, says_json};
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::json::case_fold::fold_to_ascii;
#[cfg(any(feature = "cache", feature = "schema"))]
pub(crate) use self::json::decimal::Decimal;
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::json::decimal::whole_number;
#[cfg(feature = "schema")]
pub(crate) use self::json::node::Entries;
#[cfg(all(test, feature = "schema"))]
pub(crate) use self::json::parse::string::work;
#[cfg(any(feature = "auth", feature = "model-rules", feature = "schema"))]
pub(crate) use self::read::collect::CollectedBody;
#[cfg(any(feature = "schema", feature = "throttle"))]
pub(crate) use self::read::settings::is_bodiless;
pub use self::{
    body::payload::Payload,
    edit::{
        edits::Edits,
        error::{EditError, EditFault},
        literal::Literal,
        pointer::{Pointer, PointerError},
    },
    error::PayloadError,
    future::ResponseFuture,
    is_body::IsBody,
    json::{
        bounds::DocumentBounds,
        document::Document,
        error::DocumentError,
        fault::{JsonError, JsonFault},
        kind::Kind,
        node::{Elements, Members, Node},
    },
    layer::PayloadLayer,
    service::BufferPayload,
};
