use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
};
use http::Response;
use http_body::Body as _;
use tower_layer::Layer;
use tower_service::Service;

use super::rejection::{self, ExtractRejection};
use crate::{
    context::RequestContext,
    payload::{Payload, PayloadLayer},
};

/// Takes the payload that a `PayloadLayer` outside has read, with its document. See
/// [`extract`](crate::extract).
impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = ExtractRejection;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, ExtractRejection> {
        let read = RequestContext::of(request.extensions())
            .is_some_and(|context| context.payload().is_some());
        let layer = if read {
            // The outer layer has enforced its bounds and its type.
            let length = request.body().size_hint().exact().unwrap_or_default();
            PayloadLayer::bytes().max_body_bytes(length.max(DEFAULT_MAX_BYTES))
        } else {
            PayloadLayer::new()
        };
        let layer = layer.rejections(rejection::format(request.extensions()));
        let Ok(response) = layer.layer(Echo).call(request).await;
        let (parts, body) = response.into_parts();
        body.into_inner()
            .map_err(|body| ExtractRejection::of_response(Response::from_parts(parts, body)))
    }
}

/// The default of `PayloadLayer::max_body_bytes`, for a body that a layer in between has replaced.
const DEFAULT_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// The payload of the request as the body of the response.
#[derive(Clone, Copy, Debug)]
struct Echo;

impl Service<http::Request<Payload>> for Echo {
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Payload>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_body())))
    }
}
