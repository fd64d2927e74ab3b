//! Tokens from AWS: the real SDK against moto and against faults.
//!
//! Run them in this folder, whose `.cargo/config.toml` sets invented credentials.

mod endpoint;
mod faults;
mod gateway;
mod identity;
#[path = "../../support/leak.rs"]
mod leak;
#[path = "../../support/log.rs"]
mod log;
mod moto;
mod rotation;
mod search;
mod secrets;
mod web_identity;

use std::env;

use tower_inference::hf::AwsSecret;

use self::{endpoint::Endpoint, moto::REGION};

/// A secret behind this endpoint.
fn secret(id: &str, endpoint: &Endpoint) -> AwsSecret {
    let key = env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
    assert_eq!(key, "AKIAINVENTED", "run the tests in their folder");
    AwsSecret::new(id).region(REGION).endpoint(endpoint.url().parse().unwrap())
}
