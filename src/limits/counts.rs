use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// How many requests a limit has allowed and rejected in this process. Returned by the `counts` of a
/// layer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitCounts {
    /// The limit's name.
    pub name: Arc<str>,
    /// Requests that the limit allowed and that passed all other limits.
    pub allowed: u64,
    /// Requests that the limit rejected, alone or together with others.
    pub rejected: u64,
    /// Requests that the limit would have rejected outside of shadow.
    pub shadow_rejected: u64,
    /// Requests with an `authorization` header and without the identity that the limit needs. The
    /// layer then stands outside of authentication. The first one is logged.
    pub without_identity: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LimitCounters {
    allowed: AtomicU64,
    rejected: AtomicU64,
    shadow_rejected: AtomicU64,
    without_identity: AtomicU64,
}

impl LimitCounters {
    pub(crate) fn count(&self, allows: bool, enforced: bool, passes: bool) {
        let counter = match (allows, enforced) {
            (true, _) if passes => &self.allowed,
            // Another limit rejects the request.
            (true, _) => return,
            (false, true) => &self.rejected,
            (false, false) => &self.shadow_rejected,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a request with credentials that no layer has verified.
    #[cold]
    pub(crate) fn count_without_identity(&self, limit: &str) {
        if self.without_identity.fetch_add(1, Relaxed) > 0 {
            return;
        }
        // Without this feature there is no layer to name.
        #[cfg(feature = "auth")]
        tracing::warn!(
            limit,
            "a limit needs an identity and received a request with `authorization` that no layer \
             has verified; put AuthLayer outside of the layer with this limit: before it in a \
             ServiceBuilder, after it with Router::layer"
        );
        #[cfg(not(feature = "auth"))]
        let _ = limit;
    }

    pub(crate) fn read(&self, name: &Arc<str>) -> LimitCounts {
        LimitCounts {
            name: Arc::clone(name),
            allowed: self.allowed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            shadow_rejected: self.shadow_rejected.load(Relaxed),
            without_identity: self.without_identity.load(Relaxed),
        }
    }
}
