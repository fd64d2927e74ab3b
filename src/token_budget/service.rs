use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    estimate::PreparedRequest,
    future::{ResponseFuture, Waiting},
    reservation::ReservationRequest,
    settings::Settings,
};
use crate::{
    context::{Layer, RequestContext},
    limits::{Limit, PermitRequests, StoreDecision},
    payload::{self, IsBody, Payload},
};

/// Middleware that rejects requests beyond budgets of inference tokens.
///
/// [`TokenBudgetLayer`](super::TokenBudgetLayer) has the settings.
#[derive(Clone, Debug)]
pub struct TokenBudget<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> TokenBudget<S> {
    /// Creates a service with one budget, whose counters are in memory.
    #[must_use]
    pub fn new(inner: S, limit: Limit) -> Self {
        Self::from_parts(inner, Some(Arc::new(Settings::new(limit))))
    }

    pub(super) const fn from_parts(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for TokenBudget<S>
where
    Payload: IsBody<B>,
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Payload::payload_of);
        let Some(settings) = &self.settings else {
            return ResponseFuture::pass(&mut self.inner, request, &mut None, false);
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let responder = settings.rejections.for_layer(Layer::TokenBudget, &request);
        let prepared = match settings.estimator.prepare(&request) {
            Ok(Some(prepared)) => prepared,
            Ok(None) => {
                context.pass(Layer::TokenBudget);
                return ResponseFuture::pass(&mut self.inner, request, &mut None, false);
            }
            Err(rejection) => return ResponseFuture::reject(responder.pending(rejection, context)),
        };
        let weight = settings.weight_of(&request);
        let cost = weight.cost(&prepared.estimate);
        let mut permit_requests = PermitRequests::new();
        if let Err(rejection) =
            settings.limits.permit_requests(&request, &context, cost, &mut permit_requests)
        {
            return ResponseFuture::reject(responder.pending(rejection, context));
        }
        let prepared =
            match settings.fit_default_limit(&request, prepared, weight, &mut permit_requests) {
                Ok(prepared) => prepared,
                Err(rejection) => {
                    return ResponseFuture::reject(responder.pending(rejection, context));
                }
            };
        let PreparedRequest { estimate, body, hide_usage } = prepared;

        let (mut parts, mut payload) = request.into_parts();
        if let Some(body) = body
            && let Err(exhausted) = payload::replace(&mut parts, &mut payload, body)
        {
            return ResponseFuture::reject(responder.pending(exhausted.into(), context));
        }
        context.announce_response_is_read();
        context.announce_generated_tokens_are_read();
        if estimate.bounded {
            context.announce_output_is_limited();
        }
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let request = Request::from_parts(parts, payload);

        let decision = settings.limits.store().backend().decide(&permit_requests);
        let settings = Arc::clone(settings);
        let reservation =
            ReservationRequest { settings, permit_requests, context, estimate, weight };
        match decision {
            StoreDecision::Now(decision) => match reservation.finish(decision) {
                Ok(reservation) => {
                    let mut reservation = Some(reservation);
                    ResponseFuture::pass(&mut self.inner, request, &mut reservation, hide_usage)
                }
                Err((rejection, context)) => {
                    ResponseFuture::reject(responder.pending(rejection, context))
                }
            },
            StoreDecision::Later(decision) => {
                // The instance that is ready must be the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(Waiting {
                    decision,
                    reservation,
                    hide_usage,
                    responder,
                    inner,
                    request,
                })
            }
        }
    }
}
