//! The layers that limit what callers take.

use tower_inference::throttle::{
    ForwardedField, Limit, PeerAddress, ThrottleLayer, TokenBudgetLayer,
};

use crate::{Error, args::Serve, shared};

pub(crate) struct Limits {
    /// Outside authentication.
    pub(crate) peer: Option<ThrottleLayer>,
    pub(crate) throttle: Option<ThrottleLayer>,
    pub(crate) budget: Option<TokenBudgetLayer>,
}

impl Limits {
    pub(crate) fn new(settings: &Serve) -> Result<Self, Error> {
        let limits = &settings.limits;
        let peer = match limits.auth_failures {
            Some(failures) => {
                let address = PeerAddress::connection()
                    .behind(ForwardedField::XForwardedFor, &limits.trusted_proxies)
                    .map_err(|error| format!("--trusted-proxy: {error}"))?;
                let limit = Limit::per_peer(address, failures).failed_authentications();
                Some(ThrottleLayer::new(limit.name("auth-failures")))
            }
            None => None,
        };
        let rate = limits.rate.map(|rate| Limit::per_identity(rate).name("rate"));
        let quota = limits.quota.map(|quota| Limit::per_identity(quota).name("quota"));
        let throttle = match (rate, quota) {
            (Some(rate), Some(quota)) => Some(ThrottleLayer::new(rate).limit(quota)),
            (Some(one), None) | (None, Some(one)) => Some(ThrottleLayer::new(one)),
            (None, None) => None,
        };
        let budget = limits.token_budget.map(|budget| {
            let layer = TokenBudgetLayer::new(Limit::per_identity(budget).name("tokens"));
            match settings.max_tokens {
                Some(most) => layer.output_limit(most.get()),
                None => layer,
            }
        });
        // One for all: what they count has names of its own.
        let Some(store) = settings.redis.as_ref().map(shared::counters).transpose()? else {
            return Ok(Self { peer, throttle, budget });
        };
        Ok(Self {
            peer: peer.map(|layer| layer.store(store.clone())),
            throttle: throttle.map(|layer| layer.store(store.clone())),
            budget: budget.map(|layer| layer.store(store)),
        })
    }
}
