//! Fetched keys: when they are fetched, which requests wait and how failures end.

mod addresses;
mod aged_keys;
mod bounds;
mod cancellation;
mod contract;
mod discovery;
mod failing_issuer;
mod first_keys;
mod freshness;
pub mod real_server;
mod unknown_keys;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, KeySource, KeysFault, RemoteKeys},
    client::HttpsClient,
    clock::{FakeClock, SharedClock},
    rejection::Refusal,
};

use crate::{
    Outcome, bearer, fake_clock,
    fake_provider::{FakeProvider, JWKS_URI, client_with_other_types},
    fault,
    issuer::{ED25519, ISSUER, claims, set, token},
    jwt_of, seconds, settle,
    support::{Probe, ScriptedBody, Step},
    try_token,
};

/// A layer with the provider's keys and its clock.
fn layer_of(remote: RemoteKeys) -> (AuthLayer, KeySource, FakeClock) {
    let clock = fake_clock();
    let source = remote.build().unwrap().clock(SharedClock::new(clock.clone()));
    // Without a token cache each request needs the keys.
    let jwt = jwt_of(source.clone()).clock(SharedClock::new(clock.clone())).max_cache_bytes(0);
    (AuthLayer::new(jwt), source, clock)
}

fn ed(kid: &str) -> String {
    // The expiry is later than any time of a test.
    let claims = claims(json!({ "exp": crate::NOW + 1_000_000 }));
    ED25519.token(&json!({ "alg": "EdDSA", "kid": kid }), &claims)
}

fn one_key(kid: &str) -> String {
    set(&[ED25519.jwk_with(json!({ "kid": kid }))])
}

const UNAVAILABLE: Option<Refusal> = Some(Refusal::IdentityProviderUnavailable);
const INVALID: Option<Refusal> = Some(Refusal::InvalidToken);

fn spawn(layer: &AuthLayer, token: String) -> tokio::task::JoinHandle<Outcome> {
    let layer = layer.clone();
    tokio::spawn(async move { try_token(&layer, &token).await })
}
