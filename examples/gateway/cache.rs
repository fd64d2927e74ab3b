//! The cache layer.

use tower_inference::{
    cache::{CacheLayer, Freshness, MemoryTier, Scope, SharedCalls},
    memory_limit::MemoryLimit,
};

use crate::{
    Error,
    args::{Cache, CacheScope, Redis},
    shared,
};

/// Returns the cache for the upstreams at these addresses.
pub(crate) fn layer(
    settings: &Cache,
    redis: Option<&Redis>,
    addresses: &str,
) -> Result<CacheLayer, Error> {
    let Cache { ttl, scope, max_bytes, max_shared } = settings;
    let scope = match scope {
        CacheScope::Identity => Scope::Identity,
        CacheScope::Tenant => Scope::Tenant,
        CacheScope::Shared => Scope::Shared,
    };
    // The addresses are the namespace because several gateways may share one Redis server.
    let mut layer = CacheLayer::new(addresses, scope).freshness(Freshness::new().ttl(*ttl));
    if let Some(bytes) = max_bytes {
        layer = layer.memory(MemoryTier::new().max_bytes(*bytes));
    }
    if let Some(bytes) = max_shared {
        layer = layer.shared_calls(SharedCalls::new().memory_limit(MemoryLimit::new(*bytes)));
    }
    if let Some(tier) = redis.map(shared::responses).transpose()?.flatten() {
        layer = layer.second_tier(tier);
    }
    Ok(layer)
}
