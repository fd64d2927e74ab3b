//! Middleware that edits requests on the way to the upstream: headers, query, path and JSON body.
//!
//! A gateway has to map its own URLs and model names to those of an upstream, set defaults and limits
//! and pass the caller's identity on. [`TransformLayer`] makes such edits in the order in which they are
//! written. Everything that no edit names keeps its bytes. The layer takes requests with a
//! [`Payload`](crate::payload::Payload), so a [`PayloadLayer`](crate::payload::PayloadLayer) goes outside
//! of it.
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
//!     transform::{ModelAliases, PathTemplate, TransformLayer, ValueSource},
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
//!     .set_path(PathTemplate::new("/v1/chat/completions", [])?)
//!     .remove_query("debug")
//!     .set_header("x-team".parse()?, ValueSource::claim("team"))
//!     .model_aliases(ModelAliases::new([("small", "org/small")]))
//!     .max_output_tokens(256);
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
//! # Rejections
//!
//! A rejected request does not reach the inner service.
//!
//! | cause | rejection |
//! |---|---|
//! | a value is missing and not [optional](ValueSource::optional): no identity; no such claim, tenant, stage, … | 401 `missing-credentials`; 403 `forbidden` |
//! | a value is empty, longer than 4,096 bytes or has control characters | 403 `forbidden` |
//! | a claim is an array or an object | 403 `forbidden` |
//! | a value for a header is not visible ASCII, or begins or ends with a space | 403 `forbidden` |
//! | a value for a path has a dot segment or an empty segment in any encoding | 403 `forbidden` |
//! | a path with dot segments is to be stripped or prefixed | 403 `forbidden` |
//! | the edited path and query are longer than 65,534 bytes | 403 `forbidden` |
//! | the path does not have the prefix that is to be stripped | 404 `not-found` |
//! | the target has no path, as in `OPTIONS *` | 404 `not-found` |
//! | an edit makes more headers than a message can have | 403 `forbidden` |
//! | the JSON of a streamed body is to be edited | 415 `unsupported-media-type` |
//! | the body is not strict JSON | 400 `malformed-payload` |
//! | the body is text other than JSON, with [`binary_bodies`](TransformLayer::binary_bodies) | 415 `unsupported-media-type` |
//! | the JSON has another shape than the edit needs; see [`TransformLayer`] | 422 `invalid-payload` |
//! | the model is not in a table that [rejects others](ModelAliases::reject_others) | 422 `invalid-payload` |
//! | the document is beyond the depth or the number of values of the payload layer before or after the edits | 413 `payload-too-large` |
//! | an output limit in the query is above the maximum | 400 `invalid-parameters` |
//! | the memory limit of bodies has no room for the edited body | 503 `overloaded` |
//!
//! An empty body is not edited.
//!
//! # Reserved headers
//!
//! No edit changes a reserved header, so an [`EditableHeader`] cannot be made for one. Reserved are also
//! names with an underscore, which some servers read as a dash. The list has the headers that API Gateway
//! reserves and those that `HfTokenLayer` removes. A layer further in can set one of them.
//!
//! | headers | reason |
//! |---|---|
//! | `connection`, `http2-settings`, `keep-alive`, `proxy-*`, `te`, `trailer`, `trailers`, `transfer-encoding`, `upgrade` | belong to a connection or frame the message |
//! | `expect` | is between the client and the gateway |
//! | `content-*`, `digest`, `repr-digest` | describe the body |
//! | `host`, `authorization` | `HfTokenLayer` sets them |
//! | `x-hf-bill-to`, `openai-organization`, `openai-project` | choose who pays; `HfTokenLayer::bill_to` sets the first |
//! | `x-amz-*`, every name that ends in `access-key`, `api-key`, `apikey`, `assertion`, `authorization`, `cookie`, `credential`, `credentials`, `jwt`, `password`, `secret`, `subscription-key`, `token` | are credentials |
//! | `forwarded`, `x-forwarded-*`, `x-original-*`, `x-real-ip`, `x-client-ip`, `true-client-ip`, `cf-connecting-ip`, `x-auth-*`, `x-authent*`, `x-remote-*`, `remote-*`, `x-amzn-*`, `x-ms-client-principal*`, `x-ms-token-*`, `x-goog-iap-*`, `x-goog-authenticated-user-*`, `cf-access-*`, `x-pomerium-*`, `x-vouch-*`, `x-webauth-*`, `tailscale-user-*`, `client-cert*`, `x-client-cert*`, `ssl-client-*`, `x-ssl-client-*`, `x-arr-clientcert`, `x-consumer-*` | state the identity or the address of the caller |
//! | `via`, `x-host`, `x-rewrite-url` | proxies and some upstreams act on them |
//! | `azureml-*`, `mm-model-id`, `mm-vmodel-id`, `model`, `routing-strategy`, `x-selected-model`, `x-data-parallel-rank`, `x-gateway-*`, `x-ai-eg-*`, `x-portkey-*`, `x-litellm-*`, `helicone-*`, `cf-aig-*` | choose a model, a replica or a provider behind the upstream |
//! | `x-request-id`, `traceparent`, `tracestate` | correlate the records of a request; `RequestIdLayer` sets them |
//! | `access-control-*`, `apigw-*`, `date`, `grpc-*`, `origin` | browsers, gateways and gRPC act on them |
//!
//! # The usage chunk
//!
//! With [`TransformLayer::include_usage`] the upstream ends its stream with a chunk of usage and sends the
//! stream without a content coding. The layer reads the usage into the
//! [`RequestContext`](crate::context::RequestContext). It hides the chunk from a client that did not
//! request it: the event with empty `choices` and an object as `usage`, unless it has an error or an event
//! type of its own. All other bytes pass unchanged. `content-length` and digests of the response are
//! removed.
//!
//! The layer passes an event on when the event is complete. An event beyond 64 KiB passes unread. When the
//! stream ends within an event, its bytes pass unless they are the chunk. When the stream fails, they do
//! not.
//!
//! # Reserved query parameters
//!
//! An edit cannot set a parameter that holds credentials, such as `key` or `access_token`.
//! [`HfTokenLayer`](crate::hf#the-request) removes it and lists the names.
//!
//! # Place
//!
//! Inside of the schema. Outside of the model rules and the cache, which judge and store what goes upstream.
//!
//! ```text
//! ServiceBuilder::new().layer(schema).layer(transform).layer(model_rules)  // the first is the outermost
//! Router::new().fallback_service(built)                                    // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - An edit of a header first removes the hop-by-hop headers of a request that has `connection`. A
//!   client could otherwise make the next hop drop the edited header.
//! - Responses are not edited otherwise. Request trailers are not edited.
//! - Some servers read `;` as `&` in a query and find parameters that the edits do not.
//! - Names in a query are compared with their case, which some servers ignore.
//! - A written query value has no plus sign. Upstreams differ in whether it means a space.
//! - An upstream that codes its event stream in spite of the request shows the usage chunk.

mod body;
mod edit;
mod future;
mod layer;
mod service;
mod settings;
mod value;

pub use self::{
    body::ResponseBody,
    edit::{
        EditableHeader, EditableHeaderError, EditableQuery, EditableQueryError, ModelAliases,
        PathError, PathTemplate, SystemMessage,
    },
    future::ResponseFuture,
    layer::TransformLayer,
    service::Transform,
    value::ValueSource,
};
