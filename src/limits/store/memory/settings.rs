use crate::clock::SharedClock;

/// A store in this process. It is bounded, and each request sweeps a few of its keys.
///
/// A key takes 32 bytes, and at most 54 with the free room of its table. The keys lie in up to 64
/// tables with a lock each. A table never shrinks. It grows by a quarter while its requests wait:
/// at a million keys in all, it moves some 15,000 keys of 32 bytes.
///
/// A key is idle when its bucket is full, its window has ended or nothing is in flight. A full store
/// evicts idle keys for new ones at once. Otherwise they leave after this time:
///
/// | idle key | evicted after |
/// |---|---|
/// | rate, in flight | 10 ms |
/// | quota | an hour, so that a clock that is set back does not reopen the window |
/// | quota with debt | 31 days, in which the debt is paid |
///
/// Counters are lost with the process.
///
/// A `MemoryStore` is the settings of a store and a clone copies them alone. Layers that share counters
/// need clones of one [`Store`](crate::limits::Store), which `Store::from` makes of these settings.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    pub(super) max_keys: usize,
    pub(super) overflow: OverflowPolicy,
    pub(super) clock: SharedClock,
}

/// How a [`MemoryStore`] treats a new key when it is full of keys in use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// All new keys of a limit share one counter.
    #[default]
    Share,
    /// The request is rejected with 429 and `retry-after: 1`.
    Reject,
}

impl MemoryStore {
    /// Creates a store with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self { max_keys: 1_000_000, overflow: OverflowPolicy::Share, clock: SharedClock::default() }
    }

    /// Sets the maximum number of keys of all limits together. Defaults to 1,000,000. Each limit has
    /// one key more, which [`OverflowPolicy::Share`] uses.
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets what happens to new keys when the store is full. Defaults to [`OverflowPolicy::Share`].
    #[must_use]
    pub const fn overflow_policy(mut self, policy: OverflowPolicy) -> Self {
        self.overflow = policy;
        self
    }

    /// Sets the clock. Defaults to the system's.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}
