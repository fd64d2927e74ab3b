//! The layers that limit callers.

use tower_inference::{
    limits::{Concurrency, Limit},
    model::Profile,
    peer::{ForwardedHeader, PeerAddress},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    upstream::UpstreamLayer,
};

use crate::{
    Error,
    args::{self, Serve},
    shared, upstream,
};

/// Returns how the address of a client is found.
pub(crate) fn peer_address(limits: &args::Limits) -> Result<PeerAddress, Error> {
    PeerAddress::connection()
        .behind(ForwardedHeader::XForwardedFor, &limits.trusted_proxies)
        .map_err(|error| format!("--trusted-proxy: {error}").into())
}

pub(crate) struct Limits {
    /// Counts failed authentications, outside of authentication.
    pub(crate) peer: Option<ThrottleLayer>,
    pub(crate) throttle: Option<ThrottleLayer>,
    pub(crate) budget: Option<TokenBudgetLayer>,
    pub(crate) upstream: UpstreamLayer,
}

impl Limits {
    /// Makes the layers. `peer` finds the addresses that failures are counted by.
    pub(crate) fn new(
        settings: &Serve,
        profile: &Profile,
        peer: PeerAddress,
    ) -> Result<Self, Error> {
        let limits = &settings.limits;
        let peer = limits.auth_failures.map(|failures| {
            let limit = Limit::per_peer(peer, failures).failed_authentications();
            ThrottleLayer::new(limit.name("auth-failures"))
        });
        let rate = limits.rate.map(|rate| Limit::per_identity(rate).name("rate"));
        let quota = limits.quota.map(|quota| Limit::per_identity(quota).name("quota"));
        let in_flight = settings.slots.max_in_flight.map(Concurrency::new);
        let in_flight = in_flight.map(|most| Limit::per_identity(most).name("in-flight"));
        let all = [rate, quota, in_flight].into_iter().flatten();
        let throttle = all.fold(None, |layer: Option<ThrottleLayer>, limit| {
            Some(match layer {
                Some(layer) => layer.limit(limit),
                None => ThrottleLayer::new(limit),
            })
        });
        let slots = &settings.slots;
        let upstream = upstream::layer(settings.client.deadlines)
            .max_in_flight(slots.upstream_slots)
            .max_queued(slots.upstream_queue)
            .caller_share(slots.caller_share);
        let upstream = match slots.queue_timeout {
            Some(timeout) => upstream.queue_timeout(timeout),
            None => upstream,
        };
        let budget = limits.token_budget.map(|budget| {
            let layer = TokenBudgetLayer::new(Limit::per_identity(budget).name("tokens"))
                .profile(profile.clone())
                .flat_cost(limits.binary_cost.into());
            match settings.max_tokens {
                Some(most) => layer.default_output_limit(most.get()),
                None => layer,
            }
        });
        // All layers share one store because their limits have different names.
        let store = settings.redis.as_ref().map(shared::counters).transpose()?.flatten();
        let Some(store) = store else {
            return Ok(Self { peer, throttle, budget, upstream });
        };
        Ok(Self {
            peer: peer.map(|layer| layer.store(store.clone())),
            throttle: throttle.map(|layer| layer.store(store.clone())),
            budget: budget.map(|layer| layer.store(store)),
            upstream,
        })
    }
}
