//! Requests, and answers, held to JSON Schemas.
//!
//! [`SchemaLayer`] refuses what the upstream would refuse, before it costs: a body that breaks its
//! [`Schema`], a header field or a member of the query that breaks its [`Parameter`]. Where it is
//! asked to, it holds answers to a [`ResponseSchema`] as well. It is a service of
//! [`Payload`](crate::payload::Payload)s, so a [`PayloadLayer`](crate::payload::PayloadLayer) goes
//! outside it.
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderName, Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use serde_json::{Value, json};
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_inference::{
//!     payload::{Payload, PayloadLayer},
//!     schema::{Parameter, Schema, SchemaLayer},
//! };
//!
//! async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::default()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Schema::new(&json!({
//!     "type": "object",
//!     "required": ["inputs"],
//!     "properties": { "inputs": { "type": "string", "minLength": 1 } },
//! }))?;
//! let team = Parameter::header(HeaderName::from_static("x-team")).required();
//! let gateway = ServiceBuilder::new()
//!     .layer(PayloadLayer::new())
//!     .layer(SchemaLayer::new(schema).parameter(team))
//!     .service(service_fn(upstream));
//! let post = |body: &'static str| {
//!     let request = Request::post("/").header("content-type", "application/json");
//!     let request = request.header("x-team", "search").body(Full::from(body)).unwrap();
//!     gateway.clone().oneshot(request)
//! };
//!
//! assert_eq!(post(r#"{"inputs": "hello"}"#).await?.status(), 200);
//!
//! let refused = post(r#"{"inputs": 7}"#).await?;
//! assert_eq!(refused.status(), 422);
//! let refused = refused.into_body().collect().await?.to_bytes();
//! let refused: Value = serde_json::from_slice(&refused)?;
//! assert_eq!(refused["errors"][0]["pointer"], "/inputs");
//! assert_eq!(refused["errors"][0]["keyword"], "type");
//! # Ok(())
//! # }
//! ```
//!
//! # What a request is held to
//!
//! In this order, and what is refused is refused with everything that is wrong of its kind:
//!
//! | what | refused with |
//! |---|---|
//! | parameters, whatever the body, also when it is absent or streamed | 400 `invalid-parameters` |
//! | a body for which no schema is named, under [`SchemaLayer::by_route`] | 404 `not-found` |
//! | a body that is streamed, or whose type is not JSON in UTF-8 | 415 `unsupported-media-type` |
//! | a body that is not strict JSON, where the payload layer let it pass | 400 `malformed-payload` |
//! | a body beyond the depth or the nodes of the payload layer | 413 `payload-too-large` |
//! | the schema, and then [`ChatLimits`] | 422 `invalid-payload`, in the shape of API Gateway 400 |
//!
//! No body where the method has no use for one (GET, HEAD, DELETE, OPTIONS, TRACE) is held to
//! parameters alone. The schema is that of the body's model, if it has one of its own, among those
//! of the request's route:
//!
//! ```
//! use serde_json::json;
//! use tower_inference::schema::{ResponseSchema, Schema, SchemaLayer};
//!
//! # fn main() -> Result<(), tower_inference::schema::SchemaError> {
//! # let (chat, terse, vectors) = (json!({}), json!({}), json!({}));
//! let layer = SchemaLayer::by_route()
//!     .route("chat", SchemaLayer::new(Schema::new(&chat)?).model("org/small", Schema::new(&terse)?))
//!     .route("embeddings", Schema::new(&vectors)?)
//!     .route("transcription", SchemaLayer::any_body());
//! # Ok(())
//! # }
//! ```
//!
//! A request of a route that is not named there has its body refused. `SchemaLayer::new(schema)` in
//! place of `by_route` would hold it to `schema`.
//!
//! The first violation, with its pointer, is also the message that OpenAI's and Hugging Face's
//! clients show. No violation holds a value. The pointer leads into the body, or for parameters to
//! `/query/NAME` and `/header/NAME`; in the shape of API Gateway, required parameters that are missing
//! or blank are named in its message, as API Gateway does.
//!
//! [`SchemaLayer::built_in`] needs no names: the path of the request tells its schema.
//!
//! Parameters are checked once the body is there, because the layer stands inside the payload
//! layer. To refuse by them before a byte is read, and before `100 Continue` is sent, check them in a
//! [streamed](crate::payload::PayloadLayer::streamed) payload first:
//!
//! ```
//! use tower::ServiceBuilder;
//! use tower_inference::{payload::PayloadLayer, schema::{Parameter, Schema, SchemaLayer}};
//! # fn main() -> Result<(), tower_inference::schema::SchemaError> {
//! # let schema = serde_json::json!({});
//!
//! let layers = ServiceBuilder::new()
//!     .layer(PayloadLayer::streamed())
//!     .layer(SchemaLayer::any_body().parameter(Parameter::query("version").required()))
//!     .layer(PayloadLayer::new())
//!     .layer(SchemaLayer::new(Schema::new(&schema)?));
//! # Ok(())
//! # }
//! ```
//!
//! # Answers
//!
//! | | [`report`](ResponseSchema::report) | [`refuse`](ResponseSchema::reject) |
//! |---|---|---|
//! | head and bytes | flow as they come | held back until all are there and checked |
//! | breaks the schema, or is not strict JSON | the log says so | 502 `invalid-upstream-response`, and the log |
//! | coded, or longer than the limit | the log says so | 502 `invalid-upstream-response`, and the log |
//! | breaks off | passes as it is | 502 `upstream-unavailable` |
//! | is not there in time | | 504 `upstream-timeout` |
//! | not 2xx; 204, 205, 206; to HEAD; not JSON, event streams above all | passes as it is | passes as it is |
//!
//! The layer announces that it reads the answer, so that
//! [`UpstreamLayer`](crate::upstream::UpstreamLayer) asks for one without a coding. The log is one
//! event at WARN, target `tower_inference::schema`: the request's id, its route, and the violations,
//! which name members of the answer but hold no values.
#![doc = ""]
#![doc = include_str!("built_in/built_in.md")]
#![doc = ""]
//! # Limits
//!
//! - A body is checked in one go, on the thread that polls: a few microseconds for a usual one. So
//!   is a copied answer, before its last bytes are handed on.
//! - [`ResponseSchema::reject`] delays the first byte until the last has come, and keeps up to its
//!   limit for each request in flight. Its deadline waits on tokio's timer.
//! - Answers are held to the default [`DocumentBounds`](crate::payload::DocumentBounds) of a document.
//! - An answer that is left or fails before its end is not reported on, and an event stream is not
//!   checked at all.
//! - The model is the caller's word. Who may use which is not decided here.
//! - Members of the query are decoded as forms are. To an upstream that takes a plus sign literally,
//!   another value goes than was checked.

mod built_in;
mod compile;
mod explain;
mod future;
mod layer;
mod request;
mod response;
mod service;
mod validate;

pub use self::{
    built_in::bounds::{BuiltInError, BuiltInSchemas},
    compile::{
        draft::Draft,
        error::{SchemaError, SchemaFault},
        schema::{Schema, SchemaBuilder},
    },
    future::ResponseFuture,
    layer::SchemaLayer,
    request::{
        chat_limits::{ChatLimits, Streaming},
        parameter::Parameter,
    },
    response::{body::ResponseBody, response_schema::ResponseSchema},
    service::ValidateSchema,
};
