//! The layers that limit what callers take.

use tower_inference::throttle::{Limit, ThrottleLayer, TokenBudgetLayer};

use crate::args::Serve;

pub(crate) struct Limits {
    pub(crate) throttle: Option<ThrottleLayer>,
    pub(crate) budget: Option<TokenBudgetLayer>,
}

impl Limits {
    pub(crate) fn new(settings: &Serve) -> Self {
        let limits = &settings.limits;
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
        Self { throttle, budget }
    }
}
