//! Edits of requests on the way to the upstream: fields, query, path, and the body's JSON.
//!
//! [`TransformLayer`] makes its edits in the order in which they are written, each on what the ones
//! before have left. What no edit names stays as it came, byte for byte. It is a service of
//! [`Payload`](crate::payload::Payload)s, so a [`PayloadLayer`](crate::payload::PayloadLayer) goes
//! outside it.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::{convert::Infallible, sync::Arc};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//!     payload::{Payload, PayloadLayer},
//!     transform::{ModelAliases, Path, Source, TransformLayer},
//! };
//!
//! async fn upstream(request: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     assert_eq!(request.uri(), "/v1/chat/completions?region=eu");
//!     assert_eq!(request.headers()["x-team"], "search");
//!     assert_eq!(
//!         request.body().bytes().unwrap(),
//!         r#"{ "model": "org/small",  "max_tokens": 256 }"#,
//!     );
//!     Ok(Response::new(Full::default()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let edits = TransformLayer::new()
//!     .set_path(Path::new("/v1/chat/completions", [])?)
//!     .remove_query("debug")
//!     .set_field("x-team".parse()?, Source::claim("team"))
//!     .model_aliases(ModelAliases::new([("small", "org/small")]))
//!     .output_tokens(256);
//! let gateway =
//!     ServiceBuilder::new().layer(PayloadLayer::new()).layer(edits).service(service_fn(upstream));
//!
//! // As an auth layer does it.
//! let context = RequestContext::new();
//! let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
//! context.set_identity(Arc::new(caller.with_claim("team", "search")));
//!
//! let request = Request::post("/chat?de%62ug=1&region=eu")
//!     .header("content-type", "application/json")
//!     .header("x-team", "another")
//!     .extension(context)
//!     .body(Full::<Bytes>::from(r#"{ "model": "small",  "max_tokens": 4096 }"#))?;
//! assert_eq!(gateway.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # What an edit cannot do
//!
//! | what | with |
//! |---|---|
//! | a value is missing: no identity; no such claim, tenant, stage, … | 401 `missing-credentials`; 403 `forbidden` |
//! | a value is empty, longer than 4,096 bytes, or a claim that is an array or an object | 403 `forbidden` |
//! | a value for a field that is not visible ASCII, or begins or ends with a space | 403 `forbidden` |
//! | a value for a path that is a dot segment or holds control characters | 403 `forbidden` |
//! | a path without the prefix that is to be stripped | 404 `not-found` |
//! | JSON of a streamed body | 415 `unsupported-media-type` |
//! | JSON of another shape than the edit needs; see [`TransformLayer`] | 422 `schema-violation` |
//!
//! A request that is refused has reached nobody.
//!
//! # Reserved fields
//!
//! No edit sets, adds to, removes or renames these, nor any field with an underscore in its name,
//! which some servers read as a dash. A [`FieldName`] of one cannot be made.
//!
//! | fields | because |
//! |---|---|
//! | `connection`, `http2-settings`, `keep-alive`, `proxy-*`, `te`, `trailer`, `trailers`, `upgrade` | they belong to a connection |
//! | `content-length`, `content-encoding`, `content-range`, `content-type`, `expect`, `transfer-encoding` | the body was read, and will be, by them |
//! | `content-digest`, `content-md5`, `digest`, `repr-digest` | they are true of one body only |
//! | `authorization`, `cookie`, `set-cookie`, `host`, `x-hf-bill-to` | `HfTokenLayer` owns them |
//! | `forwarded`, `via`, `x-forwarded-*`, `x-real-ip` | they say how a request came here |
//! | `x-request-id`, `traceparent`, `tracestate` | `RequestIdLayer` owns them |
//! | `access-control-*`, `apigw-*`, `content-location`, `date`, `grpc-*`, `origin`, `x-amz-*`, `x-amzn-*` | browsers, gateways and gRPC go by them |
//!
//! # The usage chunk
//!
//! With [`TransformLayer::include_usage`] the upstream is asked to end its stream with a chunk of
//! usage, which is read for the [`RequestContext`](crate::context::RequestContext). From a caller
//! who did not ask for it the chunk is hidden: the event whose `choices` are empty and whose `usage`
//! is an object. All other bytes pass as they came. An event is shown when it is complete; one
//! beyond [`Framer::DEFAULT_MAX_FRAME`](crate::sse::Framer::DEFAULT_MAX_FRAME) passes unread. What
//! of an event has come when the stream fails is not shown.
//!
//! # Limits
//!
//! - Answers are edited in no other way.
//! - A plus sign in a query is a space to some upstreams and a plus to others: names are compared in
//!   both ways, and written values hold none.
//! - Servers that take `;` for `&` in a query see members that the edits do not.
//! - An upstream that codes its event stream, though asked not to, shows the usage chunk.
//! - `HfTokenLayer` withholds more fields than are reserved here: one that looks like a credential
//!   (`x-…-token`) goes no further, also when it was set here.

mod encoding;
mod fields;
mod future;
mod json;
mod layer;
mod path;
mod query;
mod reserved;
mod step;
mod target;
mod usage;
mod value;

pub use self::{
    fields::{FieldName, InvalidFieldName},
    future::ResponseFuture,
    json::{ModelAliases, SystemMessage},
    layer::{Transform, TransformLayer},
    path::{InvalidPath, Path},
    usage::ResponseBody,
    value::Source,
};
