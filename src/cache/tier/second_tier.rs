use std::{sync::Arc, time::Duration};

use super::tier::Tier;
use crate::secret::Secret;

/// A second tier behind the memory of a [cache](crate::cache).
///
/// ```
/// # #[cfg(feature = "redis")]
/// # fn main() -> Result<(), tower_inference::cache::RedisError> {
/// use std::time::Duration;
/// use tower_inference::{
///     cache::{CacheLayer, RedisCache, Scope, SecondTier},
///     secret::Secret,
/// };
///
/// let redis = RedisCache::single(Secret::new("rediss://gateway:password@redis.internal:6379"))?;
/// let secret = Secret::new("the same 32 random bytes for all replicas");
/// let tier = SecondTier::new(redis, secret).encrypted().lease_timeout(Duration::from_secs(2));
/// assert!(!format!("{tier:?}").contains("password"));
/// let layer = CacheLayer::new("router", Scope::Tenant).second_tier(tier);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "redis"))]
/// # fn main() {}
/// ```
///
/// # Stored values
///
/// A response is stored under a keyed hash of its key, which includes its scope. The value has the
/// response, its headers and the wall time of the write. HMAC-SHA256 authenticates it with its
/// version, purpose and name. With [`encrypted`](Self::encrypted), AES-256-GCM does. HKDF (RFC 5869)
/// derives all keys from the secret.
///
/// A value is ignored if it has another secret or version, or was altered, shortened or moved to
/// another name. A value from more than 5 seconds in the future is ignored as well. Values expire
/// after 30 days at most.
///
/// # Invalidation
///
/// An invalidation is written to the tier. No replica then finds the invalidated responses there.
/// Each replica still serves the responses in its own memory until they expire or are invalidated
/// there. While the tier is unavailable, the replica remembers the invalidation and finds no
/// response that it concerns. The invalidation is lost if the process ends before the tier is back.
///
/// # Caveats
///
/// - Without encryption, everyone with read access to the tier can read responses. Requests are never
///   stored.
/// - Write access to the tier does not allow to forge a response. It allows to restore an earlier
///   value under the same name until it expires: a replaced response, or an invalidated one together
///   with its epoch.
/// - A new secret starts an empty cache. During its rollout, replicas with the same secret share
///   responses.
/// - Setting the wall clock back makes earlier values young again while the tier still has them.
#[derive(Clone, Debug)]
pub struct SecondTier {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) secret: Secret,
    pub(super) encrypted: bool,
    pub(super) lease_timeout: Option<Duration>,
}

impl SecondTier {
    /// Creates a second tier in `tier`. `secret` authenticates its values and makes its keys.
    ///
    /// Use at least 32 random bytes, the same for all replicas that share the tier and for no other.
    #[must_use]
    pub fn new(tier: impl Tier, secret: Secret) -> Self {
        Self { tier: Arc::new(tier), secret, encrypted: false, lease_timeout: None }
    }

    /// Encrypts new values. Existing values are read in either form.
    #[must_use]
    pub const fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Lets one replica at a time call the upstream for the same request, and sets how long the other
    /// replicas wait for its response. By default each replica calls the upstream.
    ///
    /// The others receive the complete response. A stream therefore begins for them only after it has
    /// ended elsewhere, or after the timeout. One or two seconds suit embeddings and short responses.
    /// Leave it out for long streams.
    #[must_use]
    pub const fn lease_timeout(mut self, timeout: Duration) -> Self {
        self.lease_timeout = Some(timeout);
        self
    }
}
