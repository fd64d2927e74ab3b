use std::{fmt, sync::Arc};

#[cfg(feature = "redis")]
use super::redis::{RedisBackend, RedisCounts, RedisStore};
use super::{
    backend::Backend,
    memory::{MemoryBackend, MemoryStore},
};

/// The store of the counters of limits: a [`MemoryStore`] or a `RedisStore` that replicas share.
///
/// Clones are the same store. Two layers that share a store share the counters of limits with the
/// same name, unit and kind of allowance.
#[derive(Clone)]
pub struct Store(Arc<dyn Backend>);

impl Store {
    #[cfg(test)]
    pub(crate) fn new(backend: impl Backend) -> Self {
        Self(Arc::new(backend))
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    /// Returns the counts of a [`RedisStore`], or `None` for a store in memory.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[must_use]
    pub fn redis_counts(&self) -> Option<RedisCounts> {
        self.0.redis_counts()
    }
}

impl From<MemoryStore> for Store {
    fn from(settings: MemoryStore) -> Self {
        Self(Arc::new(MemoryBackend::new(settings)))
    }
}

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
impl From<RedisStore> for Store {
    fn from(settings: RedisStore) -> Self {
        Self(Arc::new(RedisBackend::new(settings)))
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
