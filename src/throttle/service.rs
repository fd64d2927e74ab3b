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
    future::{ResponseFuture, Waiting},
    on_response::OnResponse,
};
use crate::{
    context::{Layer, RequestContext},
    limits::{Limit, LimitSet, PermitRequests, StoreDecision, Unit},
    rejection::RejectionFormat,
};

/// Middleware that rejects requests beyond their limits.
///
/// [`ThrottleLayer`](super::ThrottleLayer) has the settings.
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    // `None` when disabled.
    limits: Option<Arc<LimitSet>>,
    rejections: RejectionFormat,
    // Its name among the decisions about a request.
    place: Layer,
}

impl<S> Throttle<S> {
    /// Creates a service with one limit, whose counters are in memory.
    #[must_use]
    pub fn new(inner: S, limit: Limit) -> Self {
        let limits = Arc::new(LimitSet::new(limit, Unit::Requests));
        Self::from_parts(inner, Some(limits), RejectionFormat::default(), Layer::Throttle)
    }

    pub(super) const fn from_parts(
        inner: S,
        limits: Option<Arc<LimitSet>>,
        rejections: RejectionFormat,
        place: Layer,
    ) -> Self {
        Self { inner, limits, rejections, place }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Throttle<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(limits) = &self.limits else {
            return ResponseFuture::pass(&mut self.inner, request);
        };
        // Borrowed where the request has one, so that most requests need no clone.
        let made;
        let context = match RequestContext::of(request.extensions()) {
            Some(context) => context,
            None => {
                made = RequestContext::ensure(request.extensions_mut());
                &made
            }
        };
        let mut permit_requests = PermitRequests::new();
        if let Err(rejection) = limits.permit_requests(&request, context, 1, &mut permit_requests) {
            let responder = self.rejections.for_layer(self.place, &request);
            return ResponseFuture::reject(responder.pending(rejection, context.clone()));
        }
        match limits.store().backend().decide(&permit_requests) {
            StoreDecision::Now(ref decision) => {
                match limits.check(&permit_requests, decision.as_ref(), context) {
                    Ok(decision) => {
                        let on_response = decision.and_then(|decision| {
                            OnResponse::new(limits, &permit_requests, decision, request.method())
                        });
                        context.pass(self.place);
                        match on_response {
                            None => ResponseFuture::pass(&mut self.inner, request),
                            Some(on_response) => {
                                ResponseFuture::acting(self.inner.call(request), on_response)
                            }
                        }
                    }
                    Err(rejection) => {
                        let responder = self.rejections.for_layer(self.place, &request);
                        ResponseFuture::reject(responder.pending(rejection, context.clone()))
                    }
                }
            }
            StoreDecision::Later(decision) => {
                // The instance that is ready must be the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(Waiting {
                    decision,
                    place: self.place,
                    limits: Arc::clone(limits),
                    permit_requests,
                    responder: self.rejections.for_layer(self.place, &request),
                    context: context.clone(),
                    inner,
                    request,
                })
            }
        }
    }
}
