//! The error responses of this crate.
//!
//! Clients, dashboards and alarms need errors that look alike whichever layer rejects a request. A
//! layer describes the error as a [`Rejection`]. A [`Responder`] renders it in a [`RejectionFormat`]. The
//! default is `application/problem+json` (RFC 9457) with the `error` member that the clients of OpenAI
//! and Hugging Face show. The other one is the format of API Gateway. A gRPC request gets a
//! trailers-only status in both formats. The [`Rejection`] also travels in the extensions of the response.
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Empty};
//! use std::time::Duration;
//! use tower_inference::{
//!     body::ResponseBody,
//!     context::RequestContext,
//!     rejection::{Refusal, Rejection, RejectionFormat},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let request = Request::new(());
//! let responder = RejectionFormat::Problem.for_request(&request);
//! let rejection = Rejection::new(Refusal::Throttled)
//!     .with_detail("at most 10 requests a second")
//!     .with_retry_after(Duration::from_millis(1_200));
//! let response: http::Response<ResponseBody<Empty<bytes::Bytes>>> =
//!     responder.respond(rejection, &RequestContext::new());
//!
//! assert_eq!(response.status(), 429);
//! assert_eq!(response.headers()["retry-after"], "2");
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal(), Refusal::Throttled);
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
//! assert_eq!(body["type"], "urn:tower-inference:refusal:throttled");
//! assert_eq!(body["error"]["message"], "at most 10 requests a second");
//! # }
//! ```
//!
//! # Caveats
//!
//! - A detail is written for people. It names limits and members of the request and never repeats a
//!   value.
//! - A layer cannot reject a request whose response head was sent. It ends the body with an error
//!   instead.

mod pending;
mod refusal;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod rejection;
mod responder;
mod violation;

pub(crate) use self::pending::PendingRejection;
pub use self::{
    refusal::Refusal,
    rejection::Rejection,
    responder::{RejectionFormat, Responder},
    violation::Violation,
};
