//! The request's body: read once, bounded, and parsed once for all layers that look into it.
//!
//! [`PayloadLayer`] turns `Request<B>` into `Request<Payload>`, for any body `B`. Layers that
//! inspect are services of `Request<Payload>`; one that has no [`PayloadLayer`] outside it does not
//! compile. A [`Payload`] is a body like any other, so the user's own client sends it on.
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
//!     .layer(PayloadLayer::new().limit(1 << 20))
//!     .service(service_fn(upstream));
//! let post = |body: &'static str| {
//!     let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
//!     gateway.clone().oneshot(request.body(Full::from(body)).unwrap())
//! };
//!
//! let answer = post(r#"{"model": "org/model", "stream": true}"#).await.unwrap();
//! assert_eq!(answer.status(), 200);
//! let answer = post(r#"{"model": "org/model", "model": "org/other"}"#).await.unwrap();
//! assert_eq!(answer.status(), 400);
//! # }
//! ```
//!
//! # What is refused
//!
//! | what | with |
//! |---|---|
//! | `content-length` beyond the limit (10 MiB); nothing is read, and no `100 Continue` is sent | 413 `payload-too-large` |
//! | more bytes than the limit, whatever was announced | 413 `payload-too-large` |
//! | a body that takes longer than the deadline (30 s) | 408 `payload-timeout` |
//! | a `content-encoding`, or a `transfer-encoding` other than `chunked` | 415 `unsupported-media-type`, `accept-encoding: identity`; when [coded bodies](#coded-bodies) are taken, with their names |
//! | a type that is not JSON (binary, a form, text, gRPC in any format, none at all), a charset other than UTF-8 or ASCII, a byte beyond ASCII under the latter | 415 `unsupported-media-type`, `accept: application/json` |
//! | no body, where the method has a use for one | 400 `malformed-payload` |
//! | what is not strict JSON: see [`Document`] and [`Reason`] | 400 `malformed-payload`, with the position |
//! | a [depth](PayloadLayer::depth) beyond 128, more [nodes](PayloadLayer::nodes) than are set | 413 `payload-too-large`, with the position |
//! | a connection that breaks | 400 `malformed-payload` |
//! | a body, window or document for which the [memory limit](PayloadLayer::memory_limit) (256 MiB in all) has no room | 503 `overloaded`, `retry-after` |
//!
//! [`PayloadLayer::bytes`] does without the rows on types and JSON, [`PayloadLayer::streamed`] also
//! without the one on codings. Sounds, pictures and streams of gRPC pass these two as they came.
//!
//! What the head decides is decided before a byte is read. A server that answers
//! `expect: 100-continue` (RFC 9110 section 10.1.1) when the body is first asked for, as hyper does
//! over HTTP/1.1, so tells a caller to continue only when nothing in the head is in the way, be it
//! here or in a layer further out.
//!
//! # Coded bodies
//!
//! With feature `decompression`, `PayloadLayer::decompress` takes off one `content-encoding`:
//! `gzip` (RFC 1952, all its members), `br` (RFC 7932) or `zstd` (RFC 8878, all its frames).
//! Several in one another are refused, as is any other.
//!
//! | what | with |
//! |---|---|
//! | more coded bytes than the limit, or more decoded ones | 413 `payload-too-large` |
//! | one that ends too early, is broken, has more after it, or has not a byte | 400 `malformed-payload` |
//! | a `zstd` window beyond 8 MiB (RFC 9659), the large window of `br` | 400 `malformed-payload` |
//!
//! A body that is refused has cost no more memory than the limit and its window: 32 KiB for `gzip`,
//! whose header may hold another 192; 8 MiB for `zstd`; 16 MiB for `br`, and another 8 while that
//! grows. It is decoded as it comes, in steps of at most 4 KiB coded and 16 KiB decoded; after 64 of
//! them others have their turn. Then the deadline is looked at, so that a body which came in time,
//! and says more than can be decoded in time, is a 408 too. A step of `br` may fill its window
//! before it gives a byte: some 30 ms of work for 16 MiB, the longest that is done in one go.
//!
//! The upstream gets a plain body: `content-encoding` is removed, `content-length` is that of the
//! decoded bytes, and the digests of the coded ones are removed from fields and trailers
//! (`content-digest` and `repr-digest` of RFC 9530, and before it `digest` and `content-md5`).
//! [`bytes_in`](crate::context::Outcome::bytes_in) stays what came over the wire.
//!
//! # What goes on
//!
//! A body that came in chunks goes on with a `content-length`; one with trailers stays as it came,
//! and they follow it. The string member `model` of a document is noted in the
//! [`RequestContext`](crate::context::RequestContext), unless it is longer than 256 bytes.
//!
//! The layer may be applied twice: what is a [`Payload`] already is not read, parsed or boxed
//! again, and when a framework between the two has hidden the type, the inner layer recognises the
//! bytes. The stricter limits hold.
//!
//! Without the layer, the compiler asks for a body of type [`Payload`]:
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
//! let answer = service_fn(inspecting).oneshot(Request::new(Full::<Bytes>::default()));
//! ```
//!
//! # Limits
//!
//! The deadline needs a tokio runtime with its timer on. A buffered body takes up to three times
//! its size while it is read, a decoded one twice its size. A document takes 16 bytes for each node,
//! up to twice as much while it grows, and 24 for each member of an object that has more than 16. All
//! of that is weighed by the [memory limit](PayloadLayer::memory_limit), at least 16 KiB for each
//! body, until the last handle of the bytes is dropped. Bodies of at most 16 KiB are weighed until
//! their [`Payload`] is dropped.
//!
//! A document of more than 256 KiB is read in turns, between which other tasks run. Inside a turn,
//! the names of one object are sorted in one go. What the layers further in do with a document, and
//! its reading after an edit, is not divided. Signatures of fields (RFC 9421) that cover a coding or a digest that was removed no
//! longer hold upstream. Bodies of 4 GiB and more
//! have no document. Names that differ in case only are two names, as JSON has it, though some
//! upstreams (Go's `encoding/json`) take them for one: [`Edits`] refuse such twins. The bytes are
//! not changed, but where they are [edited](Document::edit): names, numbers and spaces reach the
//! upstream as they were written.

mod arena;
mod body;
mod coding;
mod collect;
mod decimal;
#[cfg_attr(not(feature = "decompression"), path = "decode_none.rs")]
mod decode;
mod document;
mod document_error;
mod edit;
mod fault;
mod flow;
mod future;
mod layer;
mod literal;
mod malformed;
mod media;
mod names;
mod node;
mod parse;
mod pointer;
#[cfg(any(feature = "throttle", feature = "transform"))]
mod replace;
mod splice;
mod text;

#[cfg(any(feature = "model-rules", feature = "schema"))]
pub(crate) use self::collect::Collected;
#[cfg(any(feature = "cache", feature = "schema"))]
pub(crate) use self::decimal::Decimal;
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::decimal::whole_number;
#[cfg(any(feature = "schema", feature = "throttle"))]
pub(crate) use self::layer::is_bodiless;
#[cfg(any(feature = "schema", feature = "throttle", feature = "transform"))]
pub(crate) use self::media::Content;
#[cfg(any(feature = "schema", feature = "transform"))]
pub(crate) use self::media::only_json;
pub(crate) use self::media::{first_of_json, says_json};
#[cfg(feature = "schema")]
pub(crate) use self::node::Entries;
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::pointer::fold_to_ascii;
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) use self::replace::replace;
#[cfg(all(test, feature = "schema"))]
pub(crate) use self::text::work;
pub use self::{
    body::Payload,
    document::{Bounds, Document},
    document_error::DocumentError,
    edit::Edits,
    fault::{EditError, EditFault},
    flow::PayloadError,
    future::ResponseFuture,
    layer::{BufferPayload, PayloadLayer},
    literal::Literal,
    malformed::{Malformed, Reason},
    node::{Elements, Kind, Members, Node},
    pointer::{InvalidPointer, Pointer},
};
