use std::{
    convert::Infallible,
    error::Error,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    body::ResponseBody,
    call::UpstreamCall,
    deadlines::deadline,
    failure::log_failure,
    future::{ResponseFuture, no_slot},
    queued::Queued,
    settings::Settings,
};
use crate::{
    context::{Layer, Level, RequestContext},
    hop_by_hop,
    load_limit::Acquired,
    rejection::{Refusal, Rejection},
};

/// Middleware that bounds the time and the number of upstream calls and turns the errors of the HTTP
/// client into responses.
///
/// [`UpstreamLayer`](super::UpstreamLayer) makes it. See the [module docs](super) for an example.
#[derive(Debug)]
pub struct Upstream<S> {
    inner: S,
    settings: Arc<Settings>,
    failed: bool,
}

impl<S> Upstream<S> {
    /// Wraps `inner` with the defaults of [`UpstreamLayer::new`](super::UpstreamLayer::new) and slots
    /// of its own.
    pub fn new(inner: S) -> Self {
        Self::from_parts(inner, Arc::default())
    }

    pub(super) const fn from_parts(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings, failed: false }
    }

    inner_service_accessors!();
}

impl<S: Clone> Clone for Upstream<S> {
    // The clone asks the inner service for its readiness again.
    fn clone(&self) -> Self {
        Self::from_parts(self.inner.clone(), Arc::clone(&self.settings))
    }
}

impl<S, B, R> Service<Request<B>> for Upstream<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future, S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map(|ready| {
            if let Err(error) = ready {
                log_failure("the HTTP client failed", &self.settings.log, None, error);
                self.failed = true;
            }
            Ok(())
        })
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future, S, B, R> {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.settings.format.for_layer(Layer::Upstream, &request);
        if self.failed {
            let rejection = Rejection::new(Refusal::UpstreamUnavailable);
            return ResponseFuture::reject(rejection, responder, context);
        }
        hop_by_hop::strip_connection_headers(request.headers_mut());
        if context.response_is_read() {
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let is_for_head = request.method() == Method::HEAD;
        let settings = Arc::clone(&self.settings);
        let caller = settings.slots.caller(&request, &context);
        let slot = match settings.slots.limit.acquire(caller) {
            Acquired::Now(slot) => slot,
            Acquired::Later(wait) => {
                // The instance that was made ready waits with the request.
                // https://docs.rs/tower/latest/tower/trait.Service.html#be-careful-when-cloning-inner-services
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                let started = Instant::now();
                let (_setter, timeout) = settings.deadlines.before_head();
                let wait = wait.no_later_than(deadline(Some(started), timeout));
                let queued = Queued { wait, started, settings, is_for_head, inner, request };
                return ResponseFuture::queued(queued, responder, context);
            }
            Acquired::Rejected(reason) => {
                return ResponseFuture::reject(no_slot(reason, &context), responder, context);
            }
        };
        context.begin_attempt(Level::Upstream, &mut request);
        let future = context.in_attempt(|| self.inner.call(request));
        let call = UpstreamCall::new(future, settings, is_for_head, slot, None);
        ResponseFuture::pass(call, responder, context)
    }
}
