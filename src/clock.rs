//! Monotonic and wall time behind one small trait.
//!
//! Expiry reads its time from a [`Clock`], so that a test can set it. Deadlines of a payload or of
//! an upstream wait on tokio's timer instead, which a test can pause and advance.
//!
//! ```
//! use std::time::Duration;
//! use tower_inference::clock::SharedClock;
//!
//! let clock = SharedClock::default(); // the system's
//! let earlier = clock.monotonic();
//! assert!(clock.monotonic() >= earlier);
//! assert!(clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap() > Duration::ZERO);
//! ```
//!
//! # Caveats
//!
//! Readings of [`Clock::monotonic`] from two clocks cannot be compared, because each clock has an
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
    /// Returns the time since the clock's origin. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns the time of day, which an administrator may set back or ahead.
    fn wall(&self) -> SystemTime;
}

/// The operating system's clocks. Their monotonic time starts when this value is made.
struct SystemClock {
    origin: Instant,
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

/// A clock that the clones of a layer share. Defaults to the operating system's clocks.
#[derive(Clone)]
pub struct SharedClock(Arc<dyn Clock>);

impl SharedClock {
    /// Creates a handle to `clock`.
    pub fn new(clock: impl Clock) -> Self {
        Self(Arc::new(clock))
    }

    /// Returns the time since the clock's origin.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    /// Returns the time of day.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    /// Returns whole seconds since 1970-01-01 UTC, or 0 before that day.
    ///
    /// JWTs count time in this way (RFC 7519 section 2, NumericDate).
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

impl Default for SharedClock {
    #[expect(clippy::disallowed_methods, reason = "the one clock that reads the system's")]
    fn default() -> Self {
        Self::new(SystemClock { origin: Instant::now() })
    }
}

impl fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedClock").finish()
    }
}

/// A clock that a test moves. Clones share the time.
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
    /// Creates a clock that shows `wall`, with a monotonic time of zero.
    #[must_use]
    pub fn new(wall: SystemTime) -> Self {
        Self(Arc::new(Lock::new((Duration::ZERO, wall))))
    }

    /// Returns a handle for the `clock` setter of a layer. It shows this clock's time.
    #[must_use]
    pub fn shared(&self) -> SharedClock {
        SharedClock::new(self.clone())
    }

    /// Advances both times.
    pub fn advance(&self, by: Duration) {
        let mut times = self.0.lock();
        times.0 += by;
        times.1 += by;
    }

    /// Sets the time of day and leaves the monotonic time as it is.
    pub fn set_wall(&self, wall: SystemTime) {
        self.0.lock().1 = wall;
    }
}

/// Shows 2027-01-15 08:00 UTC, which is 1,800,000,000 seconds since 1970.
#[cfg(feature = "test-util")]
impl Default for FakeClock {
    fn default() -> Self {
        Self::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
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
