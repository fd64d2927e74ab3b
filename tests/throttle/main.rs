//! `ThrottleLayer`: subjects, the order of limits and permits in flight.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/token.rs"]
mod token;

mod admin;
mod in_flight;
mod keys;
mod order;
mod rejections;
mod shadow;
mod stack;
mod tiers;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, MemoryStore},
    rejection::Rejection,
    throttle::{ResponseBody, ThrottleLayer},
};

use crate::support::Probe;

const ISSUER: &str = "https://issuer.example";

/// A layer whose clock the test moves.
fn layer(limit: Limit) -> (ThrottleLayer, FakeClock) {
    // 2026-11-23 09:08:07 UTC, a Monday.
    let clock = FakeClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887));
    let store = MemoryStore::new().clock(SharedClock::new(clock.clone()));
    (ThrottleLayer::new(limit).store(store), clock)
}

fn user(subject: &str) -> Identity {
    Identity::new(Proof::Jwt, ISSUER, subject)
}

fn nobody() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

fn from(identity: Identity) -> Request<Empty<Bytes>> {
    let mut request = nobody();
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
    request
}

fn context(request: &mut Request<Empty<Bytes>>) -> RequestContext {
    RequestContext::ensure(request.extensions_mut())
}

/// Returns the response of a new service of the layer to one request.
async fn send(
    layer: &ThrottleLayer,
    request: Request<Empty<Bytes>>,
) -> Response<ResponseBody<Empty<Bytes>>> {
    let inner = Probe::new(|_| Response::new(Empty::new()));
    let Ok::<_, Infallible>(response) = layer.layer(inner).oneshot(request).await;
    response
}

async fn passes(layer: &ThrottleLayer, request: Request<Empty<Bytes>>) -> bool {
    match send(layer, request).await.status() {
        StatusCode::OK => true,
        StatusCode::TOO_MANY_REQUESTS => false,
        status => panic!("{status}"),
    }
}

/// Returns the slug, the detail and `retry-after`.
fn told<B>(response: &Response<B>) -> (&'static str, &str, Option<&str>) {
    let rejection = response.extensions().get::<Rejection>().unwrap();
    let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap());
    (rejection.refusal().slug(), rejection.detail(), wait)
}
