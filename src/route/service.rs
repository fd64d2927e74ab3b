use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{future::ResponseFuture, table::Routes};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
    rejection::RejectionFormat,
};

/// Middleware that opens routes and names them.
///
/// [`RouteLayer`](super::RouteLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct NameRoute<S> {
    inner: S,
    // `None` when disabled.
    routes: Option<Arc<Routes>>,
    format: RejectionFormat,
}

impl<S> NameRoute<S> {
    pub(super) const fn from_parts(
        inner: S,
        routes: Option<Arc<Routes>>,
        format: RejectionFormat,
    ) -> Self {
        Self { inner, routes, format }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for NameRoute<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(routes) = &self.routes else {
            return ResponseFuture::pass(&mut self.inner, request);
        };
        let context = RequestContext::ensure(request.extensions_mut());
        match routes.find(request.method(), request.uri().path()) {
            Ok(found) => {
                context.pass(Layer::Route);
                context.set_route(found.name);
                if let Some(mode) = found.body {
                    context.set_body_mode(mode);
                }
                ResponseFuture::pass(&mut self.inner, request)
            }
            Err(rejection) => {
                let responder = self.format.for_layer(Layer::Route, &request);
                ResponseFuture::reject(responder.pending(rejection, context))
            }
        }
    }
}
