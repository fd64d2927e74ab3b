use std::{fmt, future::Future, pin::Pin, sync::Arc};

#[cfg(feature = "redis")]
use super::RedisCounts;
use super::{
    ask::{Asks, Decision, Settlement},
    key::{Key, Keys},
    memory::{Memory, MemoryStore},
};

/// Where the counters of limits are kept: a [`MemoryStore`], or `RedisStore` where replicas share
/// them. Clones are the same store, so layers can share one; two layers that name their limits alike
/// then share the counters.
#[derive(Clone)]
pub struct Store(Arc<dyn Backend>);

/// What a store does.
pub(super) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What makes the keys of this store's counters.
    fn keys(&self) -> &Keys;

    /// Takes what the asks say of all of them, or of none. An answer that is to come later and is
    /// dropped before it has come gives back the places in flight that it took.
    fn decide(&self, asks: &Asks) -> Reply;

    /// Puts right what was taken before. At once, or as soon as the shared store can be told.
    fn settle(&self, settlements: &[Settlement]);

    /// What an ask of nothing would be told, and nothing is taken.
    fn look(&self, asks: &Asks) -> Reply;

    /// Forgets what was counted. `false` where the store could not be told.
    fn reset(&self, keys: &[Key]) -> Later<bool>;

    /// How often replicas that share counters asked for them; `None` where nothing is shared.
    #[cfg(feature = "redis")]
    fn redis_counts(&self) -> Option<RedisCounts> {
        None
    }
}

/// The store's answer, at once or later.
#[expect(clippy::large_enum_variant, reason = "moved once, and a box would cost an allocation")]
#[cfg_attr(not(any(feature = "redis", test)), expect(dead_code, reason = "memory answers at once"))]
pub(super) enum Reply {
    Now(Result<Decision, Unavailable>),
    Later(Later<Result<Decision, Unavailable>>),
}

pub(super) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The shared store is away, and the choice was to refuse then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unavailable;

impl Store {
    #[cfg(any(feature = "redis", test))]
    pub(super) fn new(backend: impl Backend) -> Self {
        Self(Arc::new(backend))
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    /// What a [`RedisStore`](super::RedisStore) has asked its server for, and what it has not; `None`
    /// of a store in memory.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[must_use]
    pub fn redis_counts(&self) -> Option<RedisCounts> {
        self.0.redis_counts()
    }
}

impl From<MemoryStore> for Store {
    fn from(settings: MemoryStore) -> Self {
        Self(Arc::new(Memory::new(settings)))
    }
}

impl Default for Store {
    fn default() -> Self {
        MemoryStore::new().into()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
