use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    future::ResponseFuture,
    response_filter::ResponseFilter,
    settings::{Settings, prepare},
};
use crate::{
    context::RequestContext,
    stages::{Origin, Stage, TokenSource},
};

/// Middleware that sends every request to one origin with the token of that origin.
///
/// [`HfTokenLayer`](super::HfTokenLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct HfToken<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> HfToken<S> {
    /// Wraps `inner` with the defaults of [`HfTokenLayer::new`](super::HfTokenLayer::new).
    pub fn new(inner: S, origin: Origin, source: TokenSource) -> Self {
        Self::from_parts(
            inner,
            Some(Arc::new(Settings::new(Stage::new("default", origin, source)))),
        )
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for HfToken<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future> {
        let Some(settings) = &self.settings else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = settings.format.for_request(&request);
        let chosen = Stage::chosen(&context);
        let stage = chosen.as_deref().unwrap_or(&settings.stage);
        match prepare(&mut request, stage) {
            Ok(()) => {
                let filter = ResponseFilter::new(Arc::clone(settings), stage.clone());
                context.set_upstream(stage.origin().shared_name());
                context.count_origin_call();
                ResponseFuture::pass(self.inner.call(request), filter, responder, context)
            }
            Err(rejection) => ResponseFuture::reject(rejection, responder, context),
        }
    }
}
