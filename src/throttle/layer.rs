use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Limit, LimitCounts, LimitError, LimitFields, LimitStanding, ResponseBody, ResponseFuture,
    Store, Subject,
    ask::Asks,
    due::Due,
    future::Waiting,
    limits::{Limits, Unit},
    store::Reply,
};
use crate::{context::RequestContext, rejection::RejectionFormat};

/// Lets pass what its limits allow. See the [module](super).
///
/// Clones, and the services it makes, share the counters.
#[derive(Clone, Debug)]
pub struct ThrottleLayer {
    limits: Arc<Limits>,
    rejections: RejectionFormat,
}

impl ThrottleLayer {
    /// Holds requests to one limit, counted in memory.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limits: Arc::new(Limits::new(limit, Unit::Requests)),
            rejections: RejectionFormat::default(),
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
        Arc::make_mut(&mut self.limits).set_store(store.into());
        self
    }

    /// Takes over from a layer whose settings were changed: its store, and the counts of each limit
    /// that both have by name. Who was refused a moment ago is refused still, by the new numbers.
    /// To be called last: what is added later begins anew.
    ///
    /// A limit that now counts in another way (a quota instead of a rate, a month instead of a day)
    /// begins anew as well. Requests in flight stay counted until they end.
    #[must_use]
    pub fn inherit_state(mut self, old: &Self) -> Self {
        Arc::make_mut(&mut self.limits).succeed(&old.limits);
        self
    }

    /// Which fields tell callers of their limits. [`LimitFields::RateLimit`] by default.
    #[must_use]
    pub fn fields(mut self, fields: LimitFields) -> Self {
        Arc::make_mut(&mut self.limits).set_fields(fields);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    /// What each limit has allowed and refused, in the order of the limits. Counted by this process,
    /// whatever the store.
    #[must_use]
    pub fn counts(&self) -> Vec<LimitCounts> {
        self.limits.counts()
    }

    /// How `subject` stands with the limit of this name. Takes nothing.
    ///
    /// # Errors
    ///
    /// When there is no such limit or tier, it counts by something else, or the store cannot be
    /// reached.
    pub fn standing(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitStanding, LimitError>> + Send + use<> {
        self.limits.standing(limit, subject)
    }

    /// Forgets what the limit of this name has counted of `subject`, in each of its tiers. Done with
    /// the call where the store is in memory, and else with the future.
    ///
    /// # Errors
    ///
    /// When there is no such limit, it counts by something else, or the store cannot be reached.
    pub fn reset(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<(), LimitError>> + Send + use<> {
        self.limits.reset(limit, subject)
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = Throttle<S>;

    fn layer(&self, inner: S) -> Throttle<S> {
        Throttle { inner, layer: self.clone() }
    }
}

/// Lets pass what its limits allow. Made by [`ThrottleLayer`].
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    layer: ThrottleLayer,
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Lent by the request, where it has one: it goes along only where it is needed.
        let made;
        let context = match RequestContext::of(request.extensions()) {
            Some(context) => context,
            None => {
                made = RequestContext::ensure(request.extensions_mut());
                &made
            }
        };
        let limits = &self.layer.limits;
        let mut asks = Asks::new();
        if let Err(rejection) = limits.asks(&request, context, 1, &mut asks) {
            let responder = self.layer.rejections.for_request(&request);
            return ResponseFuture::refuse(rejection, responder, context.clone());
        }
        match limits.store().backend().decide(&asks) {
            Reply::Now(ref decision) => match limits.judge(&asks, decision.as_ref(), context) {
                Ok(decision) => {
                    let due = decision
                        .and_then(|decision| Due::new(limits, &asks, decision, request.method()));
                    ResponseFuture::pass(self.inner.call(request), due)
                }
                Err(rejection) => {
                    let responder = self.layer.rejections.for_request(&request);
                    ResponseFuture::refuse(rejection, responder, context.clone())
                }
            },
            Reply::Later(later) => {
                // The readied instance is the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::wait(Waiting {
                    later,
                    limits: Arc::clone(limits),
                    asks,
                    responder: self.layer.rejections.for_request(&request),
                    context: context.clone(),
                    inner,
                    request,
                })
            }
        }
    }
}
