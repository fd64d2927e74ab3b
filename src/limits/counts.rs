use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{kind::Unit, subject::CountBy};
use crate::unverified::UnverifiedCredentials;

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
    /// Requests of callers without the tenant or the claim that the limit counts by, and requests
    /// without a route. Callers of one issuer without it share a counter. So do requests without a
    /// route. The first one is logged.
    pub without_value: u64,
    /// The tokens of a budget. `None` for a limit of requests.
    pub tokens: Option<BudgetTokens>,
}

/// How many tokens a budget has reserved and settled in this process, each times its weight.
///
/// The tokens of requests in flight are reserved, and neither charged nor refunded yet.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct BudgetTokens {
    /// Tokens that requests reserved when they passed: the estimate of the prompt and the output limit.
    pub reserved: u64,
    /// Tokens that ended requests have used. They may be more than those that were reserved.
    pub charged: u64,
    /// Reserved tokens that ended requests have not used.
    pub refunded: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LimitCounters {
    allowed: AtomicU64,
    rejected: AtomicU64,
    shadow_rejected: AtomicU64,
    without_identity: UnverifiedCredentials,
    without_value: AtomicU64,
    reserved: AtomicU64,
    charged: AtomicU64,
    refunded: AtomicU64,
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

    /// Counts the tokens that a request has reserved.
    pub(crate) fn count_reserved(&self, tokens: u64) {
        self.reserved.fetch_add(tokens, Relaxed);
    }

    /// Counts the tokens of a request that has ended.
    pub(crate) fn count_settled(&self, reserved: u64, used: u64) {
        self.charged.fetch_add(used, Relaxed);
        self.refunded.fetch_add(reserved.saturating_sub(used), Relaxed);
    }

    /// Counts a request with credentials that no layer has verified.
    #[cold]
    pub(crate) fn count_without_identity(&self, limit: &str) {
        let problem = "a limit needs an identity and received";
        self.without_identity.count("the layer with this limit", Some(limit), problem);
    }

    /// Counts a request of a verified caller without the tenant or the claim, or one without a route.
    #[cold]
    pub(crate) fn count_without_value(&self, limit: &str, by: &CountBy) {
        if self.without_value.fetch_add(1, Relaxed) > 0 {
            return;
        }
        // Without this feature the remedies have other names.
        #[cfg(feature = "auth")]
        match by {
            CountBy::Claim(claim) => tracing::warn!(
                limit,
                %claim,
                "callers without this claim share one counter; its value must be a string"
            ),
            CountBy::Route => tracing::warn!(
                limit,
                "requests without a route share one counter; put RouteLayer outside of the layer with \
                 this limit: before it in a ServiceBuilder, after it with Router::layer"
            ),
            _ => tracing::warn!(
                limit,
                "callers without a tenant share one counter; name the claim of the tenant in \
                 ClaimMapping::tenant, or use Limit::per_identity"
            ),
        }
        #[cfg(not(feature = "auth"))]
        let _ = (limit, by);
    }

    pub(crate) fn read(&self, name: &Arc<str>, unit: Unit) -> LimitCounts {
        let tokens = (unit == Unit::Tokens).then(|| BudgetTokens {
            reserved: self.reserved.load(Relaxed),
            charged: self.charged.load(Relaxed),
            refunded: self.refunded.load(Relaxed),
        });
        LimitCounts {
            name: Arc::clone(name),
            allowed: self.allowed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            shadow_rejected: self.shadow_rejected.load(Relaxed),
            without_identity: self.without_identity.requests(),
            without_value: self.without_value.load(Relaxed),
            tokens,
        }
    }
}
