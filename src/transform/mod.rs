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
//! | a value is missing, and not [optional](Source::optional): no identity; no such claim, tenant, stage, … | 401 `missing-credentials`; 403 `forbidden` |
//! | a value is empty, longer than 4,096 bytes, holds control characters, or is a claim that is an array or an object | 403 `forbidden` |
//! | a value for a field that is not visible ASCII, or begins or ends with a space | 403 `forbidden` |
//! | a value for a path that is, holds or encodes a dot segment or an empty one | 403 `forbidden` |
//! | a path with dot segments that is to be stripped or prefixed; a target beyond 65,534 bytes | 403 `forbidden` |
//! | a path without the prefix that is to be stripped; no path at all, as of `OPTIONS *` | 404 `not-found` |
//! | JSON of a streamed body | 415 `unsupported-media-type` |
//! | JSON of another shape than the edit needs; see [`TransformLayer`] | 422 `invalid-payload` |
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
//! | `connection`, `http2-settings`, `keep-alive`, `proxy-*`, `te`, `trailer`, `trailers`, `transfer-encoding`, `upgrade` | they belong to a connection, or frame the message |
//! | `expect` | it was between the caller and our server |
//! | `content-*`, `digest`, `repr-digest` | the body was read, and will be, by them |
//! | `host`, `authorization` | `HfTokenLayer` sets them |
//! | `x-hf-bill-to`, `openai-organization`, `openai-project` | they spend money: `HfTokenLayer::bill_to` sets the first |
//! | `x-amz-*`, and whatever ends in `access-key`, `api-key`, `apikey`, `assertion`, `authorization`, `cookie`, `credential`, `credentials`, `jwt`, `password`, `secret`, `subscription-key`, `token` | they are credentials |
//! | `forwarded`, `x-forwarded-*`, `x-original-*`, `x-real-ip`, `x-client-ip`, `true-client-ip`, `cf-connecting-ip`, `x-auth-*`, `x-authent*`, `x-remote-*`, `remote-*`, `x-amzn-*`, `x-ms-client-principal*`, `x-ms-token-*`, `x-goog-iap-*`, `x-goog-authenticated-user-*`, `cf-access-*`, `x-pomerium-*`, `x-vouch-*`, `x-webauth-*`, `tailscale-user-*`, `client-cert*`, `x-client-cert*`, `ssl-client-*`, `x-ssl-client-*`, `x-arr-clientcert`, `x-consumer-*` | proxies tell by them who the caller is |
//! | `via`, `x-host`, `x-rewrite-url` | proxies go by them, and some upstreams |
//! | `x-request-id`, `traceparent`, `tracestate` | they tie the records of a request together: `RequestIdLayer` reads and sets them |
//! | `access-control-*`, `apigw-*`, `date`, `grpc-*`, `origin` | browsers, gateways and gRPC go by them |
//!
//! They are those that API Gateway reserves, and those that `HfTokenLayer` withholds from the
//! upstream: set here, they would be lost without a word. Who needs one of them upstream sets it
//! further in.
//!
//! # The usage chunk
//!
//! With [`TransformLayer::include_usage`] the upstream is asked to end its stream with a chunk of
//! usage, and not to code the stream. The usage is read for the
//! [`RequestContext`](crate::context::RequestContext), whoever sees it. From a caller who did not ask
//! for it the chunk is hidden: the event whose `choices` are empty and whose `usage` is an object, and
//! that is neither an error nor of a type of its own. All other bytes pass as they came, comments
//! within it and a `"usage": null` of other chunks among them; `content-length` and digests of the
//! answer go.
//!
//! An event is shown when it is complete; one beyond 64 KiB passes unread. What of an event has come
//! when the stream ends is shown, unless it is the chunk; when it fails, it is not.
//!
//! # Limits
//!
//! - Answers are edited in no other way.
//! - A plus sign in a query is a space to some upstreams and a plus to others: names are compared in
//!   both ways, and written values hold none.
//! - Servers that take `;` for `&` in a query see members that the edits do not.
//! - An upstream that codes its event stream, though asked not to, shows the usage chunk.
//! - Names in a query are compared with the case of their letters, which some servers ignore.
//! - Trailers of a request are not edited.

mod body;
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
mod value;

pub use self::{
    body::ResponseBody,
    fields::{FieldName, InvalidFieldName},
    future::ResponseFuture,
    json::{ModelAliases, SystemMessage},
    layer::{Transform, TransformLayer},
    path::{InvalidPath, Path},
    value::Source,
};
