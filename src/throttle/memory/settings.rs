use crate::clock::SharedClock;

/// A store in this process: bounded, and swept a little by each call.
///
/// A key takes 32 bytes, and with the room that its table keeps free at most 54. The keys lie in up
/// to 64 tables with a lock each; a table grows by a quarter, while those who ask for its keys wait
/// (of a million keys in all, it moves some 15,000 of 32 bytes), and does not shrink. What is full
/// again, over, or not in flight is forgotten: ten milliseconds later, or, where there is no room for a
/// new key, at once. A quota's window is remembered for an hour after it, lest a clock set back open it
/// again; a debt for 31 days more, in which it is paid.
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
    /// It is refused, and told to come again in a second.
    Refuse,
}

impl MemoryStore {
    /// Room for a million keys; what comes when it is full shares a counter.
    #[must_use]
    pub fn new() -> Self {
        Self { capacity: 1_000_000, when_full: WhenFull::Share, clock: SharedClock::default() }
    }

    /// Sets how many keys there is room for, of all limits together: exactly so many, and one more
    /// for each limit, that those share who find no room.
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
