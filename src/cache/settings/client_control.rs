use std::sync::Arc;

use super::function::Function;
use crate::identity::Identity;

/// Lets some callers control the [cache](crate::cache) by their `cache-control` header.
///
/// `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale` and `only-if-cached` are obeyed (RFC
/// 9111 section 5.2.1).
///
/// ```
/// use tower_inference::cache::{CacheLayer, ClientControl, Scope, Unauthorized};
///
/// let control = ClientControl::new(|identity| identity.subject() == "operator")
///     .unauthorized(Unauthorized::Reject);
/// let layer = CacheLayer::new("router", Scope::Identity).client_control(control);
/// ```
#[derive(Clone, Debug)]
pub struct ClientControl {
    is_allowed: Function<IsAllowed>,
    pub(crate) unauthorized: Unauthorized,
}

type IsAllowed = dyn Fn(&Identity) -> bool + Send + Sync;

impl ClientControl {
    /// Obeys the callers that `is_allowed` accepts.
    ///
    /// A caller that can request a new response can cause any number of upstream calls.
    #[must_use]
    pub fn new(is_allowed: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self { is_allowed: Function::new(Arc::new(is_allowed)), unauthorized: Unauthorized::Ignore }
    }

    /// Sets the handling of `cache-control` from all other callers. Defaults to
    /// [`Unauthorized::Ignore`].
    #[must_use]
    pub const fn unauthorized(mut self, unauthorized: Unauthorized) -> Self {
        self.unauthorized = unauthorized;
        self
    }

    pub(crate) fn allows(&self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|identity| (self.is_allowed)(identity))
    }
}

/// The handling of `cache-control` from a caller that may not control the cache: the three modes of
/// API Gateway.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unauthorized {
    /// Ignores the header (`SUCCEED_WITHOUT_RESPONSE_HEADER`).
    #[default]
    Ignore,
    /// Ignores the header and adds a `warning` header to the response
    /// (`SUCCEED_WITH_RESPONSE_HEADER`).
    Warn,
    /// Rejects the request with 403 `forbidden` (`FAIL_WITH_403`).
    Reject,
}
