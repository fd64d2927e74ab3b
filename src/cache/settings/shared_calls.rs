use std::time::Duration;

use tokio::time::Instant;

use crate::{cache::flight::FlightBounds, memory_limit::MemoryLimit};

/// The bounds of calls that several requests share while they are in flight.
///
/// ```
/// use tower_inference::{
///     cache::{CacheLayer, Scope, SharedCalls},
///     memory_limit::MemoryLimit,
/// };
///
/// let calls = SharedCalls::new().max_in_flight(4_096).memory_limit(MemoryLimit::new(1 << 30));
/// let layer = CacheLayer::new("router", Scope::Identity).shared_calls(calls);
/// ```
///
/// At most 4,097 requests read one call at the same time. Further requests call the upstream
/// themselves.
#[derive(Clone, Debug)]
pub struct SharedCalls {
    pub(crate) share_all: bool,
    pub(crate) max_in_flight: usize,
    max_gap_bytes: usize,
    slow_reader_timeout: Duration,
    pub(crate) memory: MemoryLimit,
}

const MAX_READERS: usize = 4_097;
const MEMORY: usize = 128 << 20;

impl SharedCalls {
    /// Creates the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            share_all: false,
            max_in_flight: 1_024,
            max_gap_bytes: 256 << 10,
            slow_reader_timeout: Duration::from_secs(5),
            memory: MemoryLimit::new(MEMORY),
        }
    }

    /// Shares calls whose responses are not stored, too. By default only [cacheable](super::Cacheable)
    /// requests share a call.
    #[must_use]
    pub const fn share_all(mut self) -> Self {
        self.share_all = true;
        self
    }

    /// Sets the maximum number of shared calls in flight. Defaults to 1,024, the default of
    /// `UpstreamLayer`.
    ///
    /// Further requests call the upstream themselves. Their responses are not stored.
    #[must_use]
    pub const fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// Sets the maximum number of bytes between the fastest and the slowest reader of a response
    /// that is too large to be stored. Defaults to 256 KiB.
    ///
    /// A larger gap helps readers of audio and images on uneven links. It takes more memory.
    #[must_use]
    pub const fn max_gap_bytes(mut self, bytes: usize) -> Self {
        self.max_gap_bytes = bytes;
        self
    }

    /// Sets the sum of all delays that slow readers may cause to the other readers of such a
    /// response. Defaults to 5 seconds.
    ///
    /// Each time the others wait for a reader that is a whole [gap](Self::max_gap_bytes) behind, a
    /// quarter of the remaining time may pass. Then the reader is cut: its body ends with
    /// [`BodyError::TooSlow`](crate::cache::BodyError::TooSlow). A request that has no response yet
    /// calls the upstream itself.
    #[must_use]
    pub const fn slow_reader_timeout(mut self, timeout: Duration) -> Self {
        self.slow_reader_timeout = timeout;
        self
    }

    /// Sets the limit on the memory of all shared calls in flight. Defaults to a limit of 128 MiB.
    ///
    /// A shared call takes 8 KiB and the memory of its response: the recording, or the bytes that
    /// wait for slow readers. Beyond the limit, a request calls the upstream itself and its response
    /// is not stored. A call that is already shared is no longer stored and admits no more readers.
    /// Its readers then advance together.
    #[must_use]
    pub fn memory_limit(mut self, limit: MemoryLimit) -> Self {
        self.memory = limit;
        self
    }

    pub(crate) fn bounds(&self, max_entry_bytes: u64) -> FlightBounds {
        FlightBounds {
            max_readers: MAX_READERS,
            max_recorded_bytes: usize::try_from(max_entry_bytes).unwrap_or(usize::MAX),
            max_gap_bytes: self.max_gap_bytes,
            slow_reader_timeout: self.slow_reader_timeout,
            now: || Instant::now().into_std(),
        }
    }
}

impl Default for SharedCalls {
    fn default() -> Self {
        Self::new()
    }
}
