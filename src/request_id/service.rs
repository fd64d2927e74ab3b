use std::{
    cell::OnceCell,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response};
use tower_service::Service;

use super::{
    body::ResponseBody,
    future::{OnResponse, ResponseFuture},
    inbound::{BAGGAGE, Inbound, X_AMZN_REQUESTID, X_REQUEST_ID, owned, well_formed},
    settings::Settings,
    span::server_span,
    trace,
};
use crate::context::{AmznTraceId, RequestContext};

/// Middleware that gives each request an id.
///
/// [`RequestIdLayer`](super::RequestIdLayer) has the settings.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> RequestId<S> {
    /// Wraps `inner` with the defaults of [`RequestIdLayer::new`](super::RequestIdLayer::new).
    pub fn new(inner: S) -> Self {
        Self::from_parts(inner, Some(Arc::default()))
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(settings) = &self.settings else {
            return ResponseFuture::unchanged(&mut self.inner, request);
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let inbound = Inbound::of(request.headers());
        let trusted = OnceCell::new();
        let is_trusted =
            || *trusted.get_or_init(|| settings.trust.has(request.extensions(), request.headers()));
        let Some(id) = choose(settings, &context, &inbound, is_trusted) else {
            return ResponseFuture::unchanged(&mut self.inner, request);
        };
        // A layer outside may have decided on the trace.
        let accepted = context
            .trace_context()
            .is_none()
            .then(|| trace::accept(settings, request.headers(), &inbound, is_trusted));
        if let Some(amzn) = inbound.amzn_trace_id.and_then(AmznTraceId::from_header) {
            context.set_amzn_trace_id(amzn);
        }
        let has_others = inbound.has_others;
        let headers = request.headers_mut();
        headers.insert(X_REQUEST_ID, id.clone());
        if has_others {
            headers.remove(X_AMZN_REQUESTID);
            if !settings.forward_baggage {
                headers.remove(BAGGAGE);
            }
        }
        context.set_request_id(id.clone());

        if let (Some(accepted), None) = (&accepted, &settings.propagator) {
            trace::write(accepted, headers, &context);
        }
        let span = server_span(&request, &context);
        if let (Some(accepted), Some(propagator)) = (&accepted, &settings.propagator) {
            let headers = request.headers_mut();
            trace::propagate(accepted, propagator, headers, &context, &span);
        }
        let mut own = OnResponse::new(span.clone(), id, &context, settings.amzn_request_id);
        let _entered = span.entered();
        ResponseFuture::pass(&mut self.inner, request, &mut own)
    }
}

/// Returns the id of a request, or `None` when an outer layer of this kind has set everything.
fn choose(
    settings: &Settings,
    context: &RequestContext,
    inbound: &Inbound<'_>,
    is_trusted: impl Fn() -> bool,
) -> Option<HeaderValue> {
    if let Some(known) = context.request_id() {
        let done = inbound.request_id.is_some_and(|inbound| inbound == known);
        return if done { None } else { HeaderValue::from_str(known).ok() };
    }
    let mut legal = [inbound.request_id, inbound.amzn_request_id].into_iter().flatten();
    let kept = legal.find(|id| well_formed(id)).filter(|_| is_trusted());
    Some(kept.and_then(owned).unwrap_or_else(|| settings.ids.next()))
}
