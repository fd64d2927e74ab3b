use crate::clock::SharedClock;

/// A store in this process: bounded, and swept a little by each call.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
    pub(super) clock: SharedClock,
}

/// What becomes of a new key when a [`MemoryStore`] is full of keys that are in use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhenFull {
    /// All new keys of a limit share one counter.
    #[default]
    Share,
    /// It is refused.
    Refuse,
}

impl MemoryStore {
    /// Room for a million keys; what comes when it is full shares a counter.
    #[must_use]
    pub fn new() -> Self {
        Self { capacity: 1_000_000, when_full: WhenFull::Share, clock: SharedClock::default() }
    }

    /// Sets how many keys there is room for, of all limits together.
    #[must_use]
    pub const fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys;
        self
    }

    /// Sets what becomes of new keys when it is full.
    #[must_use]
    pub const fn when_full(mut self, choice: WhenFull) -> Self {
        self.when_full = choice;
        self
    }

    /// Sets the clock: the system's by default.
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
