//! Extractors for handlers of axum.
//!
//! A handler behind the layers takes what they have found out, without reading or parsing it again.
//!
//! | extractor | gives | set by |
//! |---|---|---|
//! | [`Caller`] | the verified identity | [`AuthLayer`](crate::auth::AuthLayer) or your own layer |
//! | [`RequestId`] | the id of the request | [`RequestIdLayer`](crate::request_id::RequestIdLayer) |
//! | [`Payload`] | the body, with the JSON document that was parsed once | [`PayloadLayer`](crate::payload::PayloadLayer) |
//! | [`RequestContext`] | all of these and more | the outermost layer of this crate |
//!
#![cfg_attr(all(feature = "auth", feature = "request-id", feature = "test-util"), doc = "```")]
#![cfg_attr(
    not(all(feature = "auth", feature = "request-id", feature = "test-util")),
    doc = "```text"
)]
//! use axum::{Router, body::Body, http::Request, routing::post};
//! use http_body_util::BodyExt;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_inference::{
//!     auth::AuthLayer,
//!     extract::{Caller, RequestId},
//!     payload::{Payload, PayloadLayer},
//!     request_id::RequestIdLayer,
//!     test_util::TestIssuer,
//! };
//!
//! async fn greet(caller: Caller, id: RequestId, payload: Payload) -> String {
//!     let name = payload.document().ok().and_then(|body| body.root().get("name")?.as_str());
//!     format!("{} greets {}", caller.subject(), name.as_deref().unwrap_or("nobody"))
//! # + if id.is_empty() { "" } else { "." }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TestIssuer::new();
//! let app = Router::new().route("/", post(greet)).layer(
//!     ServiceBuilder::new() // outermost first
//!         .layer(RequestIdLayer::new())
//!         .layer(AuthLayer::new(issuer.jwt()))
//!         .layer(PayloadLayer::new()),
//! );
//! let request = Request::post("/").header("content-type", "application/json");
//! let request = request.header("authorization", issuer.token("ann").bearer());
//! let response = app.oneshot(request.body(Body::from(r#"{"name": "Bob"}"#))?).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "ann greets Bob.");
//! # Ok(())
//! # }
//! ```
//!
//! # Rejections
//!
//! | extractor | request | rejection |
//! |---|---|---|
//! | `Caller` | no identity | 401 `missing-credentials` |
//! | `RequestId` | no id | 500 `misconfigured` |
//! | `RequestContext` | no layer of this crate outside | 500 `misconfigured` |
//! | `Payload` | as [`PayloadLayer`](crate::payload#rejections) | the same |
//!
//! `Option<Caller>` and `Option<RequestId>` reject nothing.
//!
//! The extractors do not know the format of the layers outside. They use
//! [`Problem`](crate::rejection::RejectionFormat::Problem) or the
//! [`RejectionFormat`](crate::rejection::RejectionFormat) in the extensions of the request. Axum's
//! `Extension` sets it for a whole router:
//!
//! ```
//! use axum::{Extension, Router};
//! use tower_inference::rejection::RejectionFormat;
//!
//! let app: Router = Router::new().layer(Extension(RejectionFormat::ApiGateway));
//! # let _ = app;
//! ```
//!
//! # Caveats
//!
//! - `Payload` without a [`PayloadLayer`](crate::payload::PayloadLayer) outside reads the body as
//!   [`PayloadLayer::new`](crate::payload::PayloadLayer::new) does.

mod caller;
mod context;
mod payload;
mod rejection;
mod request_id;

pub use self::{caller::Caller, rejection::ExtractRejection, request_id::RequestId};
#[cfg(doc)]
use crate::{context::RequestContext, payload::Payload};
