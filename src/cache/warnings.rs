//! Warnings about the place and the scope of the layer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The warnings that a layer has not logged yet.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    without_identity: AtomicBool,
    without_tenant: AtomicBool,
}

impl Warnings {
    /// Logs once that a request with credentials has no identity.
    pub(crate) fn without_identity(&self) {
        if self.without_identity.swap(true, Relaxed) {
            return;
        }
        // Without this feature there is no layer to name.
        #[cfg(feature = "auth")]
        tracing::warn!(
            "the cache is bypassed by requests with `authorization` that no layer has verified; put \
             AuthLayer outside of CacheLayer: before it in a ServiceBuilder, after it with \
             Router::layer"
        );
    }

    /// Logs once that a caller has no tenant, which the scope needs.
    pub(crate) fn without_tenant(&self) {
        if self.without_tenant.swap(true, Relaxed) {
            return;
        }
        #[cfg(feature = "auth")]
        tracing::warn!(
            "the cache is bypassed by callers without a tenant; name the claim of the tenant in \
             Jwt::tenant_claim, or use Scope::Identity"
        );
    }
}
