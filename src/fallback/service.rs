use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    course::{Course, Once},
    future::ResponseFuture,
    planned::Start,
    run::{Run, rejection},
    settings::Settings,
    target::Target,
};
use crate::{
    context::{Layer, RequestContext},
    payload::{IsBody, Payload},
    replay::{RequestCopy, is_stateless},
};

/// Middleware that tries the targets of a request in their order until one responds.
///
/// [`FallbackLayer`](super::FallbackLayer) makes it. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Fallback<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> Fallback<S> {
    /// Wraps `inner` with the defaults of [`FallbackLayer::new`](super::FallbackLayer::new).
    pub fn new(inner: S, targets: impl IntoIterator<Item = Target>) -> Self {
        Self::from_parts(inner, Some(Arc::new(Settings::new(targets))))
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Fallback<S>
where
    Payload: IsBody<B>,
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<ResponseBody<R, R::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, R, R::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Payload::payload_of);
        let Some(settings) = &self.settings else {
            return ResponseFuture::pass(&mut self.inner, request);
        };
        let (targets, is_alias) = settings.targets_of(&request);
        if targets.is_empty() {
            return ResponseFuture::pass(&mut self.inner, request);
        }
        let context = RequestContext::ensure(request.extensions_mut());
        context.announce_attempts_are_recorded();
        if has_origin(&request, &context) {
            settings.warn_of_outer_token();
        }
        let responder = settings.format.for_layer(Layer::Fallback, &request);
        let is_for_head = request.method() == Method::HEAD;
        let may_follow = settings.max_attempts(targets) > 1 || settings.wait_for_model.is_some();
        let copy = if may_follow && is_repeatable(&request) {
            RequestCopy::of(&request, |_| false)
        } else {
            None
        };
        let has_copy = copy.is_some();
        let once = (may_follow && !has_copy)
            .then(|| if request.body().is_streamed() { Once::Streamed } else { Once::Stateful });
        let mut course = Course::new(settings, (targets, is_alias), copy, context);
        course.once = once;
        let planned = match course.first(request) {
            Ok(planned) => planned,
            Err(none) => {
                let context = course.context.clone();
                let rejection = rejection(none, &context);
                return ResponseFuture::reject(responder.pending(rejection, context));
            }
        };
        match planned.start {
            Start::Now(permit) => {
                // The instance that is ready makes the first call.
                let inner = has_copy.then(|| self.inner.clone());
                let mut run = Run::new(course, (inner, None), responder, is_for_head);
                run.begin(planned.entry, planned.reached, permit, planned.is_waited_for);
                ResponseFuture::call(self.inner.call(planned.request), run)
            }
            Start::Queued(_) | Start::At(_) => {
                // The instance that is ready must be the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let inner = has_copy.then(|| self.inner.clone());
                let run = Run::new(course, (inner, Some(Box::new(ready))), responder, is_for_head);
                ResponseFuture::wait(planned, run)
            }
        }
    }
}

/// Returns whether a token layer outside has sent the request to an origin already.
fn has_origin(request: &Request<Payload>, context: &RequestContext) -> bool {
    let (Some(scheme), Some(authority)) = (request.uri().scheme_str(), request.uri().authority())
    else {
        return false;
    };
    let upstream = context.upstream();
    let host = upstream.and_then(|upstream| upstream.strip_prefix(scheme)?.strip_prefix("://"));
    host == Some(authority.as_str())
}

/// Returns whether sending the request twice changes nothing but its cost.
fn is_repeatable(request: &Request<Payload>) -> bool {
    !request.body().is_streamed()
        && is_stateless(request.method(), request.uri(), request.headers(), request.body())
}

impl<S: fmt::Debug> fmt::Debug for Fallback<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
