//! Warnings about the place and the scope of the layer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::unverified::UnverifiedCredentials;

/// The warnings that a layer has not logged yet.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    without_identity: UnverifiedCredentials,
    without_tenant: AtomicBool,
}

impl Warnings {
    /// Logs once that a request with credentials has no identity.
    pub(crate) fn without_identity(&self) {
        self.without_identity.count("CacheLayer", None, "the cache is bypassed by");
    }

    /// Logs once that a caller has no tenant, which the scope needs.
    pub(crate) fn without_tenant(&self) {
        if !self.without_tenant.swap(true, Relaxed) {
            #[cfg(feature = "auth")]
            tracing::warn!(
                "the cache is bypassed by callers without a tenant; name the claim of the tenant \
                 in ClaimMapping::tenant, or use Scope::Identity"
            );
        }
    }
}
