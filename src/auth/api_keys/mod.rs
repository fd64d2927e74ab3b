//! API keys: long random secrets that clients send with each request.
//!
//! Programs of partners and internal jobs have no identity provider to ask for a token. They get a key.
//! The gateway must know whose key it is, keep no key in clear, and let a client change its key without
//! a pause. API Gateway's keys with usage plans do this job there.
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     auth::{ApiKey, ApiKeyRecord, ApiKeys, AuthLayer},
//!     context::RequestContext,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = ApiKey::generate("acme")?;
//! let record = ApiKeyRecord::new("batch-jobs").tenant("research").plan("gold");
//! let layer = AuthLayer::new(ApiKeys::new([(key.digest(), record)])?);
//! let service = layer.layer(service_fn(|request: Request<String>| async move {
//!     // The key was removed.
//!     assert!(!request.headers().contains_key("x-api-key"));
//!     let caller = RequestContext::of(request.extensions()).and_then(RequestContext::identity);
//!     assert_eq!(caller.unwrap().subject(), "batch-jobs");
//!     Ok::<_, Infallible>(Response::new(String::new()))
//! }));
//!
//! let request = Request::builder().header("x-api-key", key.expose()).body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//!
//! // The SDKs of OpenAI send a key as a bearer token.
//! let bearer = format!("Bearer {}", key.expose());
//! let request = Request::builder().header("authorization", bearer).body(String::new())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//!
//! let request = Request::builder().header("x-api-key", "another-key").body(String::new())?;
//! assert_eq!(service.oneshot(request).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! Requests, identities, the file's format, logs and bounds are described at [`ApiKeys`].

mod aws;
mod checksum;
mod digest;
mod document;
mod entry;
mod error;
mod file;
mod key;
mod log;
mod method;
mod places;
mod record;
mod rfc3339;
mod settings;
mod store;
mod table;

pub use self::{
    digest::ApiKeyDigest,
    error::{ApiKeysEntry, ApiKeysError, ApiKeysFault},
    file::ApiKeyFile,
    key::{ApiKey, ApiKeyError, ApiKeyForm},
    record::ApiKeyRecord,
    settings::ApiKeys,
    store::{ApiKeyLookup, ApiKeyStore, ApiKeyStoreError},
};
