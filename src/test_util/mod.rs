//! An issuer and an upstream in the test's own process, for tests of your gateway.
//!
//! [`TestIssuer`] makes a key at run time and signs tokens. It is a
//! [`KeySource`](crate::auth::KeySource) and an HTTP service with discovery and keys.
//! [`TestUpstream`] takes the place of the HTTP client. It returns scripted [`TestResponse`]s: plain
//! ones, streams and faults. [`FakeClock`](crate::clock::FakeClock) sets the time.
//!
#![cfg_attr(feature = "auth", doc = "```")]
#![cfg_attr(not(feature = "auth"), doc = "```text")]
//! use http::Request;
//! use tower::{Layer, ServiceExt};
//! use tower_inference::{
//!     auth::AuthLayer,
//!     payload::Payload,
//!     test_util::{TestIssuer, TestResponse, TestUpstream},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = TestIssuer::new();
//! let upstream = TestUpstream::new(TestResponse::chat("Hello"));
//! let gateway = AuthLayer::new(issuer.jwt().required_scopes(["infer"])?).layer(upstream.clone());
//!
//! let token = issuer.token("ann").scope("infer");
//! let request = Request::post("/v1/chat/completions").header("authorization", token.bearer());
//! let response = gateway.oneshot(request.body(Payload::default())?).await?;
//! assert_eq!((response.status().as_u16(), upstream.calls()), (200, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Caveats
//!
//! - The feature `test-util` belongs into `[dev-dependencies]`. It changes no feature of another
//!   crate.
//! - Bodies that requests send to a [`TestUpstream`] stay in memory until the last clone is dropped.

mod body;
#[cfg(feature = "auth")]
mod issuer;
mod response;
#[cfg(feature = "auth")]
mod signing_key;
#[cfg(feature = "auth")]
mod token;
mod upstream;

pub use self::{
    body::{TestBody, TestFault},
    response::TestResponse,
    upstream::{TestRequest, TestUpstream},
};
#[cfg(feature = "auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
pub use self::{issuer::TestIssuer, token::TestToken};
