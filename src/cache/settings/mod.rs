//! The settings of a cache.

mod cache_key;
mod client_control;
mod freshness;
mod function;
mod memory_tier;
mod shared_calls;

pub(crate) use self::function::Function;
pub use self::{
    cache_key::CacheKey,
    client_control::{ClientControl, Unauthorized},
    freshness::Freshness,
    memory_tier::MemoryTier,
    shared_calls::SharedCalls,
};
use super::{
    Cacheable, Scope,
    key::{KeySecret, SpellingSecret},
    tier::TierClient,
};
use crate::{clock::SharedClock, rejection::RejectionFormat};

/// All settings of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: Box<str>,
    pub(crate) scope: Scope,
    pub(crate) key_secret: KeySecret,
    /// Replaced with each change of the settings, which may change the key of a spelling.
    pub(crate) spelling_secret: SpellingSecret,
    pub(crate) cacheable: Cacheable,
    pub(crate) key: CacheKey,
    pub(crate) freshness: Freshness,
    pub(crate) shared_calls: SharedCalls,
    pub(crate) client_control: Option<ClientControl>,
    pub(crate) memory: MemoryTier,
    pub(crate) second_tier: Option<TierClient>,
    pub(crate) cache_status: bool,
    pub(crate) rejections: RejectionFormat,
    pub(crate) clock: SharedClock,
}

impl Settings {
    pub(crate) fn new(namespace: Box<str>, scope: Scope, key_secret: KeySecret) -> Self {
        Self {
            namespace,
            scope,
            key_secret,
            spelling_secret: SpellingSecret::random(),
            cacheable: Cacheable::deterministic(),
            key: CacheKey::new(),
            freshness: Freshness::new(),
            shared_calls: SharedCalls::new(),
            client_control: None,
            memory: MemoryTier::new(),
            second_tier: None,
            cache_status: false,
            rejections: RejectionFormat::default(),
            clock: SharedClock::default(),
        }
    }

    /// Returns whether responses have `cache-status` and `age`.
    pub(crate) const fn shows_status(&self) -> bool {
        self.cache_status || !self.scope.is_wide()
    }
}
