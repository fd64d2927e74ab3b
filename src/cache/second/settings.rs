use std::{sync::Arc, time::Duration};

use crate::{cache::Tier, secret::Secret};

/// A second place in which a cache keeps its answers, behind its memory.
///
/// ```
/// # #[cfg(feature = "redis")]
/// # fn main() -> Result<(), tower_inference::cache::RedisError> {
/// use std::time::Duration;
/// use tower_inference::{
///     cache::{RedisCache, SecondTier},
///     secret::Secret,
/// };
///
/// let redis = RedisCache::single(Secret::new("rediss://gateway:password@redis.internal:6379"))?;
/// let secret = Secret::new("the same 32 random bytes for all replicas");
/// let tier = SecondTier::new(redis, secret).encrypted().lease(Duration::from_secs(2));
/// assert!(!format!("{tier:?}").contains("password"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "redis"))]
/// # fn main() {}
/// ```
///
/// # What is there
///
/// Each answer under a keyed hash of its key, and so of its scope; with its fields and the time of
/// day when it was written; authenticated by HMAC-SHA256 over version, purpose, name and all of
/// that, or [encrypted](Self::encrypted) by AES-256-GCM over the same. All keys come from the secret
/// by HKDF (RFC 5869). What was written with another secret, is of another version, was altered, cut
/// short, put in the place of something else, or was written in the future (by more than 5 s, since
/// clocks differ) is not found. Nothing is kept there for more than 30 days.
///
/// # Invalidation
///
/// It is written to the tier, so that no replica finds there what was invalidated. Their memories
/// are their own: what is in them already is served until its time, unless it is invalidated there.
/// While the tier is away the replica remembers what it has to be told, and finds nothing that it
/// concerns; a process that ends before it has told, has not.
///
/// # Limits
///
/// - Without encryption, whoever can read the tier reads the answers, not the questions.
/// - Whoever can write to the tier cannot make an answer, and can bring back what was there before
///   under the same name within its time: an answer that was replaced, or, with the record of its
///   epoch, one that was invalidated.
/// - Another secret is another cache: what is there under the old one is found no more, and ends by
///   its time. While replicas are told one after the other, each side finds what is its own.
/// - A clock of the day that is set back makes what was written before young again, for as long as
///   the tier itself still keeps it.
#[derive(Clone, Debug)]
pub struct SecondTier {
    pub(super) tier: Arc<dyn Tier>,
    pub(super) secret: Secret,
    pub(super) encrypted: bool,
    pub(super) lease: Option<Duration>,
}

impl SecondTier {
    /// Keeps answers in `tier`, too. `secret` authenticates them, and makes their keys: the same for
    /// all replicas that share the tier, and nobody else's. At least 32 random bytes.
    #[must_use]
    pub fn new(tier: impl Tier, secret: Secret) -> Self {
        Self { tier: Arc::new(tier), secret, encrypted: false, lease: None }
    }

    /// Encrypts what is written. What is there already is read either way.
    #[must_use]
    pub const fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Lets one replica at a time ask the upstream for one answer. The others wait until it is
    /// there, and at most so long: then they ask as well. By default, each replica asks.
    ///
    /// What they are given is a finished answer: one that would be streamed does not begin before it
    /// has ended elsewhere, or the time is over. A second or two serves for embeddings and short
    /// answers; for long streams, leave it.
    #[must_use]
    pub const fn lease(mut self, time: Duration) -> Self {
        self.lease = Some(time);
        self
    }
}
