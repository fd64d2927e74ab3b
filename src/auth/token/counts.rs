use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counts of requests that [`AuthLayer`](crate::auth::AuthLayer) rejected for a reason that may be a
/// wrong setting. Returned by [`AuthLayer::counts`](crate::auth::AuthLayer::counts).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuthCounts {
    /// Requests whose token has a valid signature and another issuer.
    pub other_issuer: u64,
    /// Requests whose token has a valid signature and no accepted audience.
    pub other_audience: u64,
    /// Requests whose token no key verifies. Forged tokens are among them, and tokens whose `iss`
    /// belongs to no issuer of several.
    pub unverified: u64,
}

impl AuthCounts {
    /// Returns the sums.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            other_issuer: self.other_issuer + other.other_issuer,
            other_audience: self.other_audience + other.other_audience,
            unverified: self.unverified + other.unverified,
        }
    }
}

/// Whether the settings of an issuer fit its tokens.
#[derive(Debug, Default)]
pub(super) struct SettingsFit {
    proven: AtomicBool,
    pub(super) other_issuer: AtomicU64,
    pub(super) other_audience: AtomicU64,
    pub(super) unverified: AtomicU64,
}

impl SettingsFit {
    /// Notes that the settings fit the issuer and the audience of a token.
    pub(super) fn prove(&self) {
        self.proven.store(true, Relaxed);
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Relaxed)
    }

    pub(super) fn counts(&self) -> AuthCounts {
        AuthCounts {
            other_issuer: self.other_issuer.load(Relaxed),
            other_audience: self.other_audience.load(Relaxed),
            unverified: self.unverified.load(Relaxed),
        }
    }
}
