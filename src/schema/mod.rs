//! Validates requests and responses by JSON Schema.
//!
//! A malformed request costs an upstream call before the upstream rejects it. [`SchemaLayer`]
//! rejects it in the gateway and tells the client which member is wrong. It checks bodies by a
//! [`Schema`], headers and query parameters by a [`Parameter`] and chat requests by [`ChatLimits`].
//! It can also check responses by a [`ResponseSchema`].
//!
//! ```
//! # use tower_inference::{model::Profile, schema::{BuiltInSchemas, SchemaLayer}};
//! let schemas = BuiltInSchemas::new(Profile::openai());
//! let layer = SchemaLayer::built_in(&schemas);
//! ```
//!
//! # Example
//!
//! The layer is a service of [`Payload`](crate::payload::Payload) requests. A
//! [`PayloadLayer`](crate::payload::PayloadLayer) must be outside of it.
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
//! let rejected = post(r#"{"inputs": 7}"#).await?;
//! assert_eq!(rejected.status(), 422);
//! let rejected = rejected.into_body().collect().await?.to_bytes();
//! let rejected: Value = serde_json::from_slice(&rejected)?;
//! assert_eq!(rejected["errors"][0]["pointer"], "/inputs");
//! assert_eq!(rejected["errors"][0]["keyword"], "type");
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//!
//! The checks run in this order. A rejection lists all violations of its row.
//!
//! | check | rejection |
//! |---|---|
//! | parameters, also if the body is absent or streamed | 400 `invalid-parameters` |
//! | the body has a schema ([`SchemaLayer::by_route`] only; after the document if models have schemas) | 404 `not-found` |
//! | the body is buffered and its type is JSON in UTF-8 | 415 `unsupported-media-type` |
//! | the body is strict JSON, if the payload layer did not check it | 400 `malformed-payload` |
//! | the body is within the depth and the number of values of the payload layer | 413 `payload-too-large` |
//! | the schema and then [`ChatLimits`] | 422 `invalid-payload`; 400 in the format of API Gateway |
//!
//! Requests of the methods GET, HEAD, DELETE, OPTIONS and TRACE may have no body. Then only the
//! parameters are checked.
//!
//! Each route can have its own schema and so can each model of a route. `RouteLayer::route` has given
//! the routes of this example their names:
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
//! A request of another route is rejected in this example. With `SchemaLayer::new(schema)` in place
//! of `by_route` its body must match `schema`. [`SchemaLayer::built_in`] finds the schema by the
//! request's path.
//!
//! OpenAI's and Hugging Face's clients show the first violation as the error message. A violation
//! has a pointer into the body, or `/query/NAME` or `/header/NAME` for parameters. It contains no
//! value of the request. In the format of API Gateway the message names missing and blank
//! parameters, as API Gateway does.
//!
//! The body is read before parameters are checked, because the layer is inside of the payload
//! layer. A [streamed](crate::payload::PayloadLayer::streamed) payload outside of both checks
//! parameters before any byte is read and before `100 Continue` is sent:
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
//! # Responses
//!
//! | response | [`report`](ResponseSchema::report) | [`reject`](ResponseSchema::reject) |
//! |---|---|---|
//! | head and bytes | streamed | held back until checked |
//! | violates the schema or is not strict JSON | logged | 502 `invalid-upstream-response` and logged |
//! | has a content coding or exceeds the limit | logged | 502 `invalid-upstream-response` and logged |
//! | exceeds the memory limit | logged | 503 `overloaded` and logged |
//! | fails before its end | passed | 502 `upstream-unavailable` |
//! | exceeds the timeout | no timeout | 504 `upstream-timeout` |
//! | other status than 2xx | passed | passed |
//! | 204, 205, 206 or a response to HEAD | passed | passed |
//! | not JSON, such as an event stream | passed | passed |
//!
//! [`UpstreamLayer`](crate::upstream::UpstreamLayer) then requests the response without a coding.
//!
//! The log has one event per response at WARN with target `tower_inference::schema`. It names the
//! request's id, its route and the violations. Violations contain member names of the response and
//! no values.
#![doc = ""]
#![doc = include_str!("built_in/built_in.md")]
#![doc = ""]
//! # Place
//!
//! Inside of the payload layer. Outside of the transform, so that it checks the document of the client.
//!
//! ```text
//! ServiceBuilder::new().layer(payload).layer(schema).layer(transform)  // the first is the outermost
//! Router::new().fallback_service(built)                                // or `Router::layer(built)`, in one ServiceBuilder
//! ```
//!
//! # Caveats
//!
//! - A body is checked in one step on the thread that polls. A usual body takes a few microseconds.
//!   A copied response is checked before its last bytes are forwarded.
//! - [`ResponseSchema::reject`] delays the first byte until the last one has arrived. It keeps up
//!   to its limit in memory for each request. Its timeout needs tokio's timer.
//! - Responses must be within the default [`DocumentBounds`](crate::payload::DocumentBounds).
//! - A response that fails or is dropped before its end is not reported. Event streams are not
//!   checked.
//! - The client chooses the model. This layer does not decide who may use it.
//! - Query parameters are decoded as forms. An upstream that reads `+` literally sees another value
//!   than the one that was checked.

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
        keywords::UnknownKeyword,
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
