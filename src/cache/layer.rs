use aws_lc_rs::rand;
use http::Request;
use tower_layer::Layer;

use super::{
    Cache, CacheCounts, CacheKey, Cacheable, ClientControl, Freshness, MemoryTier, Scope,
    SecondTier, SharedCalls,
    key::{KeySecret, model_tag, route_tag, tenant_tag},
    request::Engine,
    settings::Settings,
    tier::TierClient,
};
use crate::{clock::SharedClock, payload::Payload, rejection::RejectionFormat, skip::Skip};

/// Stores responses and shares calls in flight. See the [module docs](super) for an example.
///
/// Clones and the services of a layer share its entries and its calls in flight.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    engine: Engine,
}

impl CacheLayer {
    /// Creates a layer for the upstream `namespace`. Callers share responses within `scope`.
    ///
    /// Give a different name to each upstream that responds differently to the same request.
    #[must_use]
    pub fn new(namespace: impl Into<Box<str>>, scope: Scope) -> Self {
        let mut secret = [0; 32];
        // It does not fail. Keys would be free of collisions even under a known secret.
        let _filled = rand::fill(&mut secret);
        let settings = Settings::new(namespace.into(), scope, KeySecret::new(&secret));
        Self { engine: Engine::new(settings) }
    }

    /// Sets which requests share responses. Defaults to [`Cacheable::deterministic`].
    ///
    /// ```
    /// use tower_inference::cache::{CacheLayer, Cacheable, Scope};
    ///
    /// let layer = CacheLayer::new("router", Scope::Identity).cacheable(Cacheable::always());
    /// ```
    #[must_use]
    pub fn cacheable(mut self, cacheable: Cacheable) -> Self {
        self.engine.settings_mut().cacheable = cacheable;
        self
    }

    /// Sets which parts of a request make its key. Defaults to [`CacheKey::new`].
    #[must_use]
    pub fn key(mut self, key: CacheKey) -> Self {
        self.engine.settings_mut().key = key;
        self
    }

    /// Sets how long responses are stored. Defaults to [`Freshness::new`].
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.engine.settings_mut().freshness = freshness;
        self
    }

    /// Sets the bounds of shared calls in flight. Defaults to [`SharedCalls::new`].
    #[must_use]
    pub fn shared_calls(mut self, calls: SharedCalls) -> Self {
        self.engine.settings_mut().shared_calls = calls;
        self
    }

    /// Sets which callers control the cache by their `cache-control` header. By default the header
    /// is ignored.
    #[must_use]
    pub fn client_control(mut self, control: ClientControl) -> Self {
        self.engine.settings_mut().client_control = Some(control);
        self
    }

    /// Sets the bounds of the entries in memory. Defaults to [`MemoryTier::new`].
    ///
    /// The layer starts empty again.
    #[must_use]
    pub fn memory(mut self, memory: MemoryTier) -> Self {
        self.engine.settings_mut().memory = memory;
        Self { engine: self.engine.emptied() }
    }

    /// Sets a second tier, which stores responses in addition to memory. By default there is none.
    ///
    /// Replicas find each other's responses there, and it can outlive the process. Its secret makes
    /// the keys. The layer looks there if memory has no suitable response, once for all requests
    /// with the same key. Responses from there are stored in memory as well.
    #[must_use]
    pub fn second_tier(mut self, tier: SecondTier) -> Self {
        let settings = self.engine.settings_mut();
        settings.key_secret = TierClient::key_secret(&tier);
        settings.second_tier = Some(TierClient::new(&tier));
        self
    }

    /// Adds `cache-status` (RFC 9211) and `age` to responses under every scope. By default only
    /// [`Scope::Identity`] has them.
    ///
    /// Under a wider scope these headers tell a caller that another one has sent the same request.
    #[must_use]
    pub fn cache_status(mut self) -> Self {
        self.engine.settings_mut().cache_status = true;
        self
    }

    /// Sets the format of rejections. Defaults to [`RejectionFormat::Problem`].
    #[must_use]
    pub fn rejections(mut self, format: RejectionFormat) -> Self {
        self.engine.settings_mut().rejections = format;
        self
    }

    /// Sets the clock for the age of responses. Defaults to the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.engine.settings_mut().clock = clock;
        self
    }

    /// Invalidates the response to a request in all its variants. Calls in flight for it are no
    /// longer shared or stored.
    ///
    /// The request must have everything that its key has, including a
    /// [`RequestContext`](crate::context::RequestContext) with the identity.
    pub fn invalidate(&self, request: &Request<Payload>) {
        self.engine.invalidate(request);
    }

    /// Invalidates all responses of a route. Calls in flight for it are no longer shared or stored.
    pub fn invalidate_route(&self, route: &str) {
        self.engine.invalidate_tag(route_tag(self.key_secret(), route));
    }

    /// Invalidates all responses of a model. The name is the requested one, the one that was sent
    /// upstream, or the [target](crate::context::RequestContext::target).
    pub fn invalidate_model(&self, model: &str) {
        self.engine.invalidate_tag(model_tag(self.key_secret(), model));
    }

    /// Invalidates all responses of a tenant of an issuer.
    pub fn invalidate_tenant(&self, issuer: &str, tenant: &str) {
        self.engine.invalidate_tag(tenant_tag(self.key_secret(), issuer, tenant));
    }

    /// Invalidates all responses.
    pub fn invalidate_all(&self) {
        self.engine.invalidate_all();
    }

    /// Returns the counts by route and model.
    ///
    /// At most 256 pairs have their own counts. All others are counted as `other`.
    #[must_use]
    pub fn counts(&self) -> Vec<CacheCounts> {
        self.engine.counts()
    }

    /// Returns the memory of all entries, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.engine.memory().bytes()
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.engine.settings().memory.max_bytes
    }

    /// Returns the number of entries in memory, including stale ones.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.engine.memory().entries()
    }

    /// Returns the number of shared calls in flight that a request can join.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.engine.in_flight()
    }

    fn key_secret(&self) -> &KeySecret {
        &self.engine.settings().key_secret
    }
}

impl<S> Cache<S> {
    /// Wraps `inner` with entries of its own and the defaults of [`CacheLayer::new`].
    pub fn new(inner: S, namespace: impl Into<Box<str>>, scope: Scope) -> Self {
        CacheLayer::new(namespace, scope).layer(inner)
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache::from_parts(inner, Some(self.engine.clone()))
    }
}

impl<S> Skip<S> for CacheLayer {
    fn skip(inner: S) -> Cache<S> {
        Cache::from_parts(inner, None)
    }
}
