//! The routes: two open ones for probes, those of inference behind the layers, and nothing else.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::ALLOW},
    response::{IntoResponse, Response},
    routing::get,
};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_inference::{
    access_log::AccessLogLayer,
    body::ResponseBody,
    context::RequestContext,
    rejection::{Refusal, RefusalFormat, Rejection},
    request_id::RequestIdLayer,
    stack::Stack,
};

use crate::{
    allowed::{self, Payload},
    ready::Ready,
};

/// All the layers with the upstream behind them.
pub(crate) type Stacked = BoxCloneSyncService<Request, Response, Infallible>;

/// What inference goes to, by how its payload travels.
#[derive(Clone)]
pub(crate) struct Inference {
    pub(crate) buffered: Stacked,
    pub(crate) streamed: Stacked,
}

/// All that is open. Probes are neither numbered nor logged.
pub(crate) fn router(inference: Inference, access_log: AccessLogLayer, ready: Ready) -> Router {
    let outermost = Stack::new().request_id(RequestIdLayer::new()).access_log(access_log);
    let probes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(ready);
    Router::new().fallback(dispatch).with_state(inference).layer(outermost).merge(probes)
}

async fn readiness(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready.is() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the issuer's keys have not been there yet\n")
    }
}

/// Sends a request on to the upstream. A path that is not open is refused here, before any layer that
/// knows a token has seen it.
async fn dispatch(State(to): State<Inference>, request: Request) -> Response {
    let Some(route) = allowed::route(request.uri().path()) else {
        return not_found(&request);
    };
    if !route.takes(request.method()) {
        let allow = HeaderValue::from_static(route.methods);
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allow)]).into_response();
    }
    if let Some(context) = RequestContext::of(request.extensions()) {
        context.set_route(route.name);
    }
    let stacked = match route.payload {
        Payload::Buffered => to.buffered,
        Payload::Streamed => to.streamed,
    };
    let Ok(response) = stacked.oneshot(request).await;
    response
}

fn not_found(request: &Request) -> Response {
    let context = RequestContext::of(request.extensions()).cloned().unwrap_or_default();
    let responder = RefusalFormat::default().for_request(request);
    let response = responder.respond(Rejection::new(Refusal::NotFound), &context);
    response.map(|body: ResponseBody<axum::body::Body>| axum::body::Body::new(body))
}
