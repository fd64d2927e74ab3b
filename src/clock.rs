//! Monotonic and wall time behind one small trait.
//!
//! Whatever expires reads its time here, so that a test can say what time it is. Deadlines that
//! *wait* (of a payload, of an upstream) use tokio's timer instead, which tests pause and advance.
//!
//! ```
//! use std::time::Duration;
//! use tower_inference::clock::{Clock, SystemClock};
//!
//! let clock = SystemClock::new();
//! let earlier = clock.monotonic();
//! assert!(clock.monotonic() >= earlier);
//! assert!(clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap() > Duration::ZERO);
//! ```
//!
//! # Limits
//!
//! The readings of [`Clock::monotonic`] of two clocks cannot be compared: each counts from an
//! origin of its own.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "test-util")]
use crate::lock::Lock;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Time since an origin of the clock's own choice. Never goes back.
    fn monotonic(&self) -> Duration;

    /// The time of day. May be set back or ahead at any moment.
    fn wall(&self) -> SystemTime;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "the one clock that reads the system's")]
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one clock that reads the system's")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that is shared by the clones of a layer. The system's by default.
#[derive(Clone)]
pub struct SharedClock(Arc<dyn Clock>);

impl SharedClock {
    /// Shares `clock`.
    pub fn new(clock: impl Clock) -> Self {
        Self(Arc::new(clock))
    }

    /// Time since the clock's origin.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    /// Whole seconds since 1970-01-01 UTC, as JWTs count them (RFC 7519 section 2, NumericDate).
    /// Zero before that day.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

impl Default for SharedClock {
    fn default() -> Self {
        Self::new(SystemClock::new())
    }
}

impl fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedClock").finish()
    }
}

/// A clock that moves only when told. Clones share the time.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower_inference::clock::{Clock, FakeClock};
///
/// let clock = FakeClock::new(UNIX_EPOCH + Duration::from_secs(1_000));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.monotonic(), Duration::from_secs(5));
/// assert_eq!(clock.wall(), UNIX_EPOCH + Duration::from_secs(1_005));
///
/// clock.set_wall(UNIX_EPOCH);
/// assert_eq!(clock.monotonic(), Duration::from_secs(5));
/// ```
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<Lock<(Duration, SystemTime)>>);

#[cfg(feature = "test-util")]
impl FakeClock {
    /// A clock that stands at `wall`, with a monotonic time of zero.
    #[must_use]
    pub fn new(wall: SystemTime) -> Self {
        Self(Arc::new(Lock::new((Duration::ZERO, wall))))
    }

    /// Moves both times ahead.
    pub fn advance(&self, by: Duration) {
        let mut times = self.0.lock();
        times.0 += by;
        times.1 += by;
    }

    /// Sets the time of day, as an administrator would: the monotonic time does not notice.
    pub fn set_wall(&self, wall: SystemTime) {
        self.0.lock().1 = wall;
    }
}

#[cfg(feature = "test-util")]
impl Clock for FakeClock {
    fn monotonic(&self) -> Duration {
        self.0.lock().0
    }

    fn wall(&self) -> SystemTime {
        self.0.lock().1
    }
}
