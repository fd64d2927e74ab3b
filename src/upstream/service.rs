use std::{
    convert::Infallible,
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    deadlines::Deadlines,
    failure::log_failure,
    future::{ResponseFuture, UpstreamCall},
    slots::{NoSlot, Slots},
};
use crate::{
    context::RequestContext,
    hop_by_hop,
    rejection::{Refusal, Rejection, RejectionFormat},
};

/// Middleware that bounds the time and the number of upstream calls and turns the errors of the HTTP
/// client into responses.
///
/// [`UpstreamLayer`](super::UpstreamLayer) makes it. See the [module docs](super) for an example.
#[derive(Debug)]
pub struct Upstream<S> {
    inner: S,
    deadlines: Arc<Deadlines>,
    slots: Arc<Slots>,
    format: RejectionFormat,
    failed: bool,
}

impl<S> Upstream<S> {
    /// Wraps `inner` with the defaults of [`UpstreamLayer::new`](super::UpstreamLayer::new) and slots
    /// of its own.
    pub fn new(inner: S) -> Self {
        let format = RejectionFormat::default();
        Self::from_parts(inner, Arc::default(), Arc::default(), format)
    }

    pub(super) const fn from_parts(
        inner: S,
        deadlines: Arc<Deadlines>,
        slots: Arc<Slots>,
        format: RejectionFormat,
    ) -> Self {
        Self { inner, deadlines, slots, format, failed: false }
    }

    inner_service_accessors!();
}

impl<S: Clone> Clone for Upstream<S> {
    // The clone asks the inner service for its readiness again.
    fn clone(&self) -> Self {
        let (deadlines, slots) = (Arc::clone(&self.deadlines), Arc::clone(&self.slots));
        Self::from_parts(self.inner.clone(), deadlines, slots, self.format)
    }
}

impl<S, B, R> Service<Request<B>> for Upstream<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map(|ready| {
            if let Err(error) = ready {
                log_failure("the HTTP client failed", None, error);
                self.failed = true;
            }
            Ok(())
        })
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S::Future> {
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = self.format.for_request(&request);
        if self.failed {
            let rejection = Rejection::new(Refusal::UpstreamUnavailable);
            return ResponseFuture::reject(rejection, responder, context);
        }
        let caller = self.slots.caller(&request, &context);
        let slot = match self.slots.take(caller) {
            Ok(slot) => slot,
            Err(reason) => {
                if reason == NoSlot::Share {
                    context.set_limited_by(Arc::from("caller-share"));
                }
                return ResponseFuture::reject(rejection(reason), responder, context);
            }
        };

        hop_by_hop::strip_connection_headers(request.headers_mut());
        if context.response_is_read() {
            request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        context.count_upstream_call();
        let is_for_head = request.method() == Method::HEAD;
        let future = self.inner.call(request);
        let call = UpstreamCall::new(future, Arc::clone(&self.deadlines), is_for_head, slot);
        ResponseFuture::pass(call, responder, context)
    }
}

fn rejection(reason: NoSlot) -> Rejection {
    let rejection = match reason {
        NoSlot::Full => Rejection::new(Refusal::Overloaded),
        NoSlot::Share => Rejection::new(Refusal::Throttled)
            .with_detail("too many requests of this caller are in flight: wait until one ends"),
    };
    rejection.with_retry_after(Duration::from_secs(1))
}
