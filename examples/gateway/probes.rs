//! The open routes of the gateway itself.

use axum::{Router, extract::State, http::StatusCode, middleware::from_fn, routing::get};

use crate::{head, ready::Ready};

/// The probes. Their requests get no id and no log record.
pub(crate) fn probes(ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route_layer(from_fn(head::check))
        .with_state(ready)
}

async fn readiness(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready.is() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the issuer's keys are not loaded yet\n")
    }
}
