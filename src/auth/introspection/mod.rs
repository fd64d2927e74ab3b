//! Opaque tokens, which only their issuer can read (RFC 7662).
//!
//! An opaque token is a reference. The gateway asks the issuer's introspection endpoint what it means
//! and uses the response for a short time. [`Introspection`] holds the settings. It builds
//! [`OpaqueTokens`] for [`AuthLayer`](super::AuthLayer).
//!
//! `endpoint` asks, `breaker` spares an endpoint that fails, `response` reads the response, `requirements`
//! judges it and `method` decides on a request. `rejection_log` tells the operator.

mod breaker;
mod endpoint;
mod error;
mod method;
mod rejection_log;
mod requirements;
mod response;
mod settings;

pub use self::{error::IntrospectionError, method::OpaqueTokens, settings::Introspection};
