//! Tests of `AuthLayer`: accepted and rejected tokens, rejections, key sources and fetches.
#![allow(unreachable_pub, reason = "modules of one test crate")]

#[path = "../support/conformance.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod allocations;
mod api_key_files;
mod api_key_stores;
mod api_keys;
mod aws_iam;
mod bound_tokens;
mod claims;
mod fake_provider;
mod forged_tokens;
mod identity_providers;
mod introspection;
mod issuer;
mod key_files;
mod key_sets;
mod layer;
mod methods;
mod misuse;
mod presets;
mod remote_keys;
mod revocation;
mod rotated_keys;
mod several_issuers;
mod token_cache;
mod wycheproof;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, Jwt, KeySource, Keys, KeysError},
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    identity::Identity,
    rejection::{Refusal, Rejection},
};

use issuer::{AUDIENCE, ISSUER, NOW, jwks};

/// A clock that is stopped at [`NOW`].
fn fake_clock() -> FakeClock {
    FakeClock::new(UNIX_EPOCH + Duration::from_secs(NOW))
}

/// The name of the fault of an error, or `ok`.
fn fault<T>(loaded: Result<T, KeysError>) -> String {
    let Err(error) = loaded else { return "ok".to_owned() };
    let fault = format!("{:?}", error.fault);
    fault.split(['(', ' ']).next().unwrap().to_owned()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Settings with keys of all algorithms, a clock that is stopped at [`NOW`] and no leeway.
fn jwt() -> Jwt {
    jwt_of(Keys::from_jwks(jwks()).unwrap())
}

fn jwt_of(keys: impl Into<KeySource>) -> Jwt {
    Jwt::new(keys, ISSUER, AUDIENCE).clock(SharedClock::new(fake_clock())).leeway(Duration::ZERO)
}

fn layer() -> AuthLayer {
    AuthLayer::new(jwt())
}

/// The response and the request that the inner service received.
#[derive(Debug)]
struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    rejection: Option<Rejection>,
    identity: Option<Arc<Identity>>,
    calls: usize,
}

impl Outcome {
    fn passed(&self) -> bool {
        assert_eq!(self.calls, usize::from(self.status == 200));
        assert_eq!(self.identity.is_some(), self.status == 200);
        self.status == 200
    }

    fn refusal(&self) -> Option<Refusal> {
        self.rejection.as_ref().map(Rejection::refusal)
    }

    fn challenge(&self) -> &str {
        self.headers.get("www-authenticate").map_or("", |field| field.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Everything that a client can see.
    fn visible(&self) -> (StatusCode, &HeaderMap, &str) {
        (self.status, &self.headers, &self.body)
    }
}

fn request(values: &[&str]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().uri("/v1/chat/completions");
    for value in values {
        request = request.header("authorization", *value);
    }
    request.body(Full::default()).unwrap()
}

fn bearer(token: &str) -> Request<Full<Bytes>> {
    request(&[&format!("Bearer {token}")])
}

/// Sends a request through the layer.
async fn send(layer: &AuthLayer, request: Request<Full<Bytes>>) -> Outcome {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        service_fn(move |request: Request<Full<Bytes>>| {
            calls.fetch_add(1, SeqCst);
            let context = RequestContext::of(request.extensions()).cloned();
            let identity = context.and_then(|context| context.identity());
            let mut response = Response::new(Full::new(Bytes::from("passed")));
            response.extensions_mut().insert(identity);
            async { Ok::<_, Infallible>(response) }
        })
    };
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        rejection: parts.extensions.get::<Rejection>().cloned(),
        identity: parts.extensions.get::<Option<Arc<Identity>>>().cloned().flatten(),
        calls: calls.load(SeqCst),
    }
}

async fn try_token(layer: &AuthLayer, token: &str) -> Outcome {
    send(layer, bearer(token)).await
}
