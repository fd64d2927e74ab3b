use std::{future::Future, sync::Arc};

use tower_layer::Layer;

use super::service::Throttle;
use crate::{
    context,
    limits::{
        Limit, LimitCounts, LimitError, LimitHeaders, LimitSet, LimitState, Store, Subject, Unit,
    },
    rejection::RejectionFormat,
    skip::Skip,
};

/// A layer that rejects requests beyond their limits.
///
/// Clones and their services share the counters. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct ThrottleLayer {
    limits: Arc<LimitSet>,
    rejections: RejectionFormat,
    place: context::Layer,
}

impl ThrottleLayer {
    /// Creates a layer with one limit. Its counters are in memory.
    #[must_use]
    pub fn new(limit: Limit) -> Self {
        Self {
            limits: Arc::new(LimitSet::new(limit, Unit::Requests)),
            rejections: RejectionFormat::default(),
            place: context::Layer::Throttle,
        }
    }

    /// Adds a limit. A request must pass all limits of the layer.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        Arc::make_mut(&mut self.limits).push(limit);
        self
    }

    /// Sets the store of the counters. Defaults to a [`MemoryStore`](crate::limits::MemoryStore) of
    /// the layer's own.
    #[must_use]
    pub fn store(mut self, store: impl Into<Store>) -> Self {
        Arc::make_mut(&mut self.limits).set_store(store.into());
        self
    }

    /// Takes over the store and the counts of the layer that this one replaces.
    ///
    /// Limits are matched by name. The permits that callers have taken stay taken and the new numbers
    /// apply to them. Requests in flight stay counted until they end. A limit whose kind changed, such
    /// as a quota that was a rate, starts from zero. Call this setter last: a limit that is added later
    /// starts from zero.
    ///
    /// ```
    /// use tower_inference::{
    ///     limits::{Limit, Rate},
    ///     throttle::ThrottleLayer,
    /// };
    ///
    /// let layer = ThrottleLayer::new(Limit::global(Rate::per_second(10)));
    /// let reloaded = ThrottleLayer::new(Limit::global(Rate::per_second(20))).inherit_state(&layer);
    /// # let _ = reloaded;
    /// ```
    #[must_use]
    pub fn inherit_state(mut self, old: &Self) -> Self {
        Arc::make_mut(&mut self.limits).inherit_state(&old.limits);
        self
    }

    /// Sets the response headers that describe the limits. Defaults to [`LimitHeaders::RateLimit`].
    #[must_use]
    pub fn headers(mut self, headers: LimitHeaders) -> Self {
        Arc::make_mut(&mut self.limits).set_headers(headers);
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub const fn rejections(mut self, format: RejectionFormat) -> Self {
        self.rejections = format;
        self
    }

    /// Sets the name of this layer among the decisions about a request.
    pub(crate) const fn place(mut self, place: context::Layer) -> Self {
        self.place = place;
        self
    }

    /// Returns the counts of each limit in the order of the limits. They count this process alone, also
    /// with a shared store.
    #[must_use]
    pub fn counts(&self) -> Vec<LimitCounts> {
        self.limits.counts()
    }

    /// Returns the state of a limit for a subject. Takes no permits.
    ///
    /// # Errors
    ///
    /// Returned when the layer has no such limit or tier, when the limit counts another kind of
    /// subject and when the store cannot be reached.
    pub fn limit_state(
        &self,
        limit: &str,
        subject: &Subject,
    ) -> impl Future<Output = Result<LimitState, LimitError>> + Send + use<> {
        self.limits.limit_state(limit, subject)
    }

    /// Resets the counters of a limit for a subject in each tier.
    ///
    /// A store in memory resets them before the future is polled.
    ///
    /// # Errors
    ///
    /// Returned when the layer has no such limit, when the limit counts another kind of subject and
    /// when the store cannot be reached.
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
        Throttle::from_parts(inner, Some(Arc::clone(&self.limits)), self.rejections, self.place)
    }
}

impl<S> Skip<S> for ThrottleLayer {
    fn skip(inner: S) -> Throttle<S> {
        Throttle::from_parts(inner, None, RejectionFormat::Problem, context::Layer::Throttle)
    }
}
