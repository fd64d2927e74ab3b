//! The layer that gives answers again.

use tower_inference::cache::{CacheLayer, Scope};

use crate::args::{Cache, CacheScope};

/// For the answers of the upstream at `url`.
pub(crate) fn layer(settings: &Cache, url: &str) -> CacheLayer {
    let Cache { ttl, scope, max_bytes } = settings;
    let scope = match scope {
        CacheScope::Identity => Scope::Identity,
        CacheScope::Tenant => Scope::Tenant,
        CacheScope::Shared => Scope::Shared,
    };
    // By its address: other upstreams that share a server have other answers.
    let layer = CacheLayer::new(url, scope).ttl(*ttl);
    match max_bytes {
        Some(bytes) => layer.max_bytes(*bytes),
        None => layer,
    }
}
