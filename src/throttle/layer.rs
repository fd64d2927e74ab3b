use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Limit, ResponseBody, ResponseFuture, Store,
    ask::{Ask, Asks, Decision},
    key::Key,
    limit::By,
    store::Reply,
};
use crate::{
    context::RequestContext,
    rejection::{Refusal, RefusalFormat, Rejection},
};

/// Lets pass what its limits allow. See the [module](super).
#[derive(Clone, Debug)]
pub struct ThrottleLayer {
    limits: Arc<Vec<Limit>>,
    store: Store,
    refusals: RefusalFormat,
}

impl ThrottleLayer {
    /// Holds requests to one limit, counted in memory.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limits: Arc::new(vec![limit]),
            store: Store::default(),
            refusals: RefusalFormat::default(),
        }
    }

    /// Holds requests to one more limit. A request that one refuses takes nothing from the others.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        Arc::make_mut(&mut self.limits).push(limit);
        self
    }

    /// Where the counters are kept: a [`MemoryStore`](super::MemoryStore) of its own by default.
    #[must_use]
    pub fn store(mut self, store: impl Into<Store>) -> Self {
        self.store = store.into();
        self
    }

    /// How refusals look. [`RefusalFormat::Problem`] by default.
    #[must_use]
    pub const fn refusals(mut self, format: RefusalFormat) -> Self {
        self.refusals = format;
        self
    }

    fn asks<B>(&self, request: &Request<B>, context: &RequestContext) -> Result<Asks, Rejection> {
        let keys = self.store.backend().keys();
        let mut asks = Asks::new();
        for limit in self.limits.iter() {
            let subject = match &limit.by {
                By::Identity => {
                    let identity = context
                        .identity()
                        .ok_or_else(|| Rejection::new(Refusal::MissingCredentials))?;
                    let principal = identity.principal();
                    keys.key([principal.issuer.as_bytes(), principal.subject.as_bytes()])
                }
                By::Peer(peer) => {
                    let address = peer.of(request.extensions(), request.headers());
                    keys.key([&address.unwrap_or_default()[..]])
                }
                By::Tenant | By::Global => Key(0),
            };
            let of_limit = keys.key([limit.name.as_bytes()]);
            asks.push(Ask {
                key: subject.of_limit(of_limit),
                overflow: of_limit,
                allowance: limit.allowance,
                cost: 1,
                enforced: limit.enforced,
            });
        }
        Ok(asks)
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = Throttle<S>;

    fn layer(&self, inner: S) -> Throttle<S> {
        Throttle { inner, layer: self.clone() }
    }
}

/// The service of [`ThrottleLayer`].
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    layer: ThrottleLayer,
}

impl<S, B, R> Service<Request<B>> for Throttle<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = RequestContext::ensure(request.extensions_mut());
        let asks = match self.layer.asks(&request, &context) {
            Ok(asks) => asks,
            Err(rejection) => {
                let responder = self.layer.refusals.for_request(&request);
                return ResponseFuture::refused(rejection, responder, context);
            }
        };
        let decision = match self.layer.store.backend().decide(asks) {
            Reply::Now(decision) => decision.unwrap_or_default(),
            Reply::Later(_) => Decision::default(),
        };
        if decision.passes {
            return ResponseFuture::passing(self.inner.call(request));
        }
        let responder = self.layer.refusals.for_request(&request);
        let wait = decision.standings.iter().map(|standing| standing.wait).max();
        let rejection =
            Rejection::new(Refusal::Throttled).with_retry_after(wait.unwrap_or_default());
        ResponseFuture::refused(rejection, responder, context)
    }
}
