use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    attempt::{Attempt, Route, Waiting},
    body::ResponseBody,
    future::ResponseFuture,
    scrub::ask_for_searchable_body,
    settings::{Settings, not_directed, prepare},
};
use crate::{
    context::{Layer, RequestContext},
    stages::{Directed, Origin, Stage, StageAccess, Tokens},
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
    pub fn new(inner: S, origin: Origin, tokens: impl Into<Tokens>) -> Self {
        Self::from_parts(
            inner,
            Some(Arc::new(Settings::new(Stage::new("default", origin, tokens)))),
        )
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S: Clone> HfToken<S> {
    /// Returns the instance that was made ready and leaves a clone.
    fn take_inner(&mut self) -> S {
        let clone = self.inner.clone();
        std::mem::replace(&mut self.inner, clone)
    }
}

impl<S, B, R> Service<Request<B>> for HfToken<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
    B: 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(settings) = &self.settings else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = settings.format.for_layer(Layer::HfToken, &request);
        let chosen = Stage::chosen(&context);
        let stage = chosen.as_deref().unwrap_or(&settings.stage);
        if settings.scrub_bodies {
            ask_for_searchable_body(&mut request);
        }
        let access = prepare(&mut request, stage).and_then(|()| {
            StageAccess::of(stage, &request, &context)
                .map_err(|reason| settings.no_token(stage, &reason))
        });
        let access = match access {
            Ok(access) => access,
            Err(rejection) => return ResponseFuture::reject(rejection, responder, context),
        };
        let route = Route { settings: Arc::clone(settings), access };
        let copy = route.copy(&request);
        match route.access.direct(&mut request) {
            Ok(Directed::Sent(sent)) => {
                route.count(&mut request, &context);
                let (future, again) = match copy {
                    None => (context.in_attempt(|| self.inner.call(request)), None),
                    Some(copy) => {
                        let mut inner = self.take_inner();
                        (context.in_attempt(|| inner.call(request)), Some((copy, inner)))
                    }
                };
                let attempt = Attempt::new(route, sent, again);
                ResponseFuture::pass(future, attempt, responder, context)
            }
            Ok(Directed::Wait(wait)) => {
                let inner = self.take_inner();
                let waiting = Waiting { route, request, copy, inner, wait };
                ResponseFuture::wait(waiting, responder, context)
            }
            Err(reason) => ResponseFuture::reject(not_directed(reason), responder, context),
        }
    }
}
