//! The routes: two for probes and the inference routes behind the layers.

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    body::{Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::ALLOW},
    middleware::from_fn,
    response::Response,
    routing::get,
};
use tower::Service;
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use crate::{
    allowed::{self, Payload},
    head,
    ready::Ready,
};

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

/// The stacks behind the open routes, by the handling of the payload. A request to another path is
/// rejected here before any layer that knows a token.
#[derive(Clone)]
pub(crate) struct Inference<S> {
    pub(crate) json: S,
    pub(crate) any: S,
    pub(crate) streamed: S,
}

impl<S, R, B> Service<Request<R>> for Inference<S>
where
    S: Service<Request<R>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The request that chooses one of them is not known yet.
        let Ok(()) = ready!(self.json.poll_ready(cx));
        let Ok(()) = ready!(self.any.poll_ready(cx));
        self.streamed.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        if let Some(refused) = head::refused(&request) {
            return Box::pin(ready(Ok(refused)));
        }
        let Some(route) = allowed::route(request.uri().path()) else {
            return Box::pin(ready(Ok(not_found(&request))));
        };
        if !route.takes(request.method()) {
            return Box::pin(ready(Ok(method_not_allowed(route.methods))));
        }
        if let Some(context) = RequestContext::of(request.extensions()) {
            context.set_route(route.name);
        }
        let response = match route.payload {
            Payload::Json => self.json.call(request),
            Payload::Any => self.any.call(request),
            Payload::Streamed => self.streamed.call(request),
        };
        Box::pin(async { response.await.map(|response| response.map(ResponseBody::inner)) })
    }
}

fn not_found<R, B>(request: &Request<R>) -> Response<ResponseBody<B>> {
    let context = RequestContext::of(request.extensions()).cloned().unwrap_or_default();
    let responder = RejectionFormat::default().for_request(request);
    responder.respond(Rejection::new(Refusal::NotFound), &context)
}

fn method_not_allowed<B>(methods: &'static str) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::full(Bytes::new()));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
