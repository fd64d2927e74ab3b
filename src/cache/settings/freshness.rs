use std::{collections::BTreeMap, time::Duration};

use crate::{cache::policy::ResponseFreshness, context::RequestContext};

/// How long a [cache](crate::cache) stores responses.
///
/// ```
/// use std::time::Duration;
/// use tower_inference::cache::{CacheLayer, Freshness, Scope};
///
/// let freshness = Freshness::new()
///     .ttl(Duration::from_secs(60))
///     .route_ttl("embeddings", Duration::from_secs(86_400))
///     .stale_if_error(Duration::from_secs(600));
/// let layer = CacheLayer::new("router", Scope::Identity).freshness(freshness);
/// ```
#[derive(Clone, Debug)]
pub struct Freshness {
    ttl: Duration,
    route_ttls: BTreeMap<Box<str>, Duration>,
    model_ttls: BTreeMap<Box<str>, Duration>,
    obey_responses: bool,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

impl Freshness {
    /// Stores each response for five minutes and serves no stale response.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            route_ttls: BTreeMap::new(),
            model_ttls: BTreeMap::new(),
            obey_responses: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    /// Sets how long responses are fresh. Defaults to 5 minutes.
    ///
    /// With zero, responses are neither stored nor shared in flight. They are stored nevertheless if
    /// [`obey_responses`](Self::obey_responses) is set and the response has a `max-age`. See also
    /// [`SharedCalls::share_all`](super::SharedCalls::share_all).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long responses of a route are fresh. Defaults to [`ttl`](Self::ttl).
    ///
    /// The [`RequestContext`](RequestContext::route) names the route of a request.
    #[must_use]
    pub fn route_ttl(mut self, route: impl Into<Box<str>>, ttl: Duration) -> Self {
        self.route_ttls.insert(route.into(), ttl);
        self
    }

    /// Sets how long responses of a requested model are fresh. Defaults to the time of the route.
    ///
    /// The [`RequestContext`](RequestContext::model) names the model of a request.
    #[must_use]
    pub fn model_ttl(mut self, model: impl Into<Box<str>>, ttl: Duration) -> Self {
        self.model_ttls.insert(model.into(), ttl);
        self
    }

    /// Lets the `cache-control` of a response override these settings.
    ///
    /// `s-maxage`, `max-age`, `stale-while-revalidate` and `stale-if-error` are read. By default a
    /// response can only forbid that it is stored, or that it is served stale (`must-revalidate`,
    /// `proxy-revalidate`, `s-maxage`).
    #[must_use]
    pub const fn obey_responses(mut self) -> Self {
        self.obey_responses = true;
        self
    }

    /// Sets how long a stale response is served while a new one is fetched. Defaults to zero.
    ///
    /// There is no background task. The first request for a stale response fetches the new one and
    /// waits for it. The other requests get the stale one.
    #[must_use]
    pub const fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = time;
        self
    }

    /// Sets how long a stale response is served instead of an error. Defaults to zero.
    ///
    /// Errors are those of the inner service and the statuses 500, 502, 503 and 504 (RFC 5861
    /// section 4), including rejections of this crate.
    #[must_use]
    pub const fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = time;
        self
    }

    /// Returns how long the response to a request is fresh. Returns `None` if it is not stored.
    pub(crate) fn of_request(&self, context: &RequestContext) -> Option<Duration> {
        let of = |ttls: &BTreeMap<Box<str>, Duration>, name: Option<&str>| {
            name.and_then(|name| ttls.get(name)).copied()
        };
        let ttl = of(&self.model_ttls, context.model())
            .or_else(|| of(&self.route_ttls, context.route()))
            .unwrap_or(self.ttl);
        (!ttl.is_zero() || self.obey_responses).then_some(ttl)
    }

    /// Returns how long a response is fresh, given the time for its request.
    pub(crate) fn of_response(&self, ttl: Duration, response: &ResponseFreshness) -> Duration {
        response.fresh_for.filter(|_| self.obey_responses).unwrap_or(ttl)
    }

    /// Returns how long a stale response is served while it is fetched, and instead of an error.
    pub(crate) fn stale(&self, response: &ResponseFreshness) -> (Duration, Duration) {
        if response.must_revalidate {
            return (Duration::ZERO, Duration::ZERO);
        }
        let choose = |theirs: Option<Duration>, ours: Duration| {
            theirs.filter(|_| self.obey_responses).unwrap_or(ours)
        };
        (
            choose(response.stale_while_revalidate, self.stale_while_revalidate),
            choose(response.stale_if_error, self.stale_if_error),
        )
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self::new()
    }
}
