//! x
mod algorithm;
mod challenge;
mod error;
mod file;
mod flight;
mod future;
mod json;
mod jwt;
mod keys;
mod layer;
mod oidc;
mod remote;
mod source;
mod token;
mod verified;
mod verifier;

use std::time::Duration;

pub use self::{
    algorithm::Algorithm,
    error::KeysError,
    future::ResponseFuture,
    jwt::Jwt,
    keys::Keys,
    layer::{Auth, AuthLayer},
    oidc::RemoteKeys,
    source::KeySource,
};

/// What is read of a set of keys: as API Gateway does (HTTP API quotas, "JWKS endpoint").
const MAX_BYTES: usize = 150_000;

/// For atomics; 584 years are enough.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
