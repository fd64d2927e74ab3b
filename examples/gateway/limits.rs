//! The layers that limit what callers take.

use std::{env, fs};

use tower_inference::{
    secret::Secret,
    throttle::{Limit, RedisStore, Store, ThrottleLayer, TokenBudgetLayer, WhenAway},
};

use crate::{
    Error,
    args::{Redis, SecretPlace, Serve},
};

pub(crate) struct Limits {
    pub(crate) throttle: Option<ThrottleLayer>,
    pub(crate) budget: Option<TokenBudgetLayer>,
}

impl Limits {
    pub(crate) fn new(settings: &Serve) -> Result<Self, Error> {
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
        // One for both: what they count has names of its own.
        let Some(store) = settings.redis.as_ref().map(shared).transpose()? else {
            return Ok(Self { throttle, budget });
        };
        Ok(Self {
            throttle: throttle.map(|layer| layer.store(store.clone())),
            budget: budget.map(|layer| layer.store(store)),
        })
    }
}

/// The counters that replicas share.
fn shared(redis: &Redis) -> Result<Store, Error> {
    let secret = match &redis.secret {
        SecretPlace::Env(name) => {
            env::var(name).map_err(|error| format!("--redis-secret-env {name}: {error}"))?
        }
        SecretPlace::File(file) => fs::read_to_string(file)
            .map_err(|error| format!("--redis-secret-file {}: {error}", file.display()))?,
    };
    if secret.trim().len() < 16 {
        return Err("the secret of --redis has fewer than 16 characters".into());
    }
    let secret = Secret::new(secret.trim());
    let mut store = RedisStore::single(Secret::new(redis.url.as_str()), secret)
        .map_err(|error| format!("--redis: {error}"))?;
    if let Some(replicas) = redis.replicas {
        store = store.when_away(WhenAway::Local { replicas: replicas.get() });
    }
    if let Some(permits) = redis.lease {
        store = store.lease(permits.get());
    }
    if let Some(wait) = redis.wait {
        store = store.wait(wait);
    }
    Ok(store.into())
}
