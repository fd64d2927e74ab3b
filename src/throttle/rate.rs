use std::time::Duration;

/// Ten years in ns.
const MOST_HELD: u64 = 3_650 * 86_400 * 1_000_000_000;

/// So many in a time, and a burst: a token bucket, as API Gateway's `rateLimit` and `burstLimit`.
///
/// It holds [`burst`](Self::burst) permits, fills evenly, and starts full. A rate of zero lets
/// nothing pass. It holds no more than what grows in ten years, however large the burst.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    permits: u32,
    period: Duration,
    // Computed beforehand: the time that one permit takes, or zero, and what the bucket holds.
    interval: u64,
    capacity: u32,
}

impl Rate {
    /// So many a second. The burst is the same number.
    #[must_use]
    pub const fn per_second(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(1))
    }

    /// So many a minute. The burst is the same number.
    #[must_use]
    pub const fn per_minute(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(60))
    }

    /// So many an hour. The burst is the same number.
    #[must_use]
    pub const fn per_hour(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(3_600))
    }

    /// So many in any 24 hours, at the long run. The burst is the same number. For a calendar day
    /// there is [`Quota::per_day`](super::Quota::per_day).
    #[must_use]
    pub const fn per_day(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(86_400))
    }

    /// Sets how many may come at once, and how many the bucket holds.
    #[must_use]
    pub const fn burst(self, permits: u32) -> Self {
        Self::new(self.permits, self.period, permits)
    }

    const fn per(permits: u32, period: Duration) -> Self {
        Self::new(permits, period, permits)
    }

    const fn new(permits: u32, period: Duration, burst: u32) -> Self {
        if permits == 0 || burst == 0 {
            return Self { permits, period, interval: 0, capacity: 0 };
        }
        #[expect(clippy::cast_possible_truncation, reason = "a day of 10^5 replicas has 8.6e18 ns")]
        let interval = (period.as_nanos() as u64).div_ceil(permits as u64);
        let most = MOST_HELD / interval;
        #[expect(clippy::cast_possible_truncation, reason = "smaller than the burst")]
        let capacity = if most < burst as u64 { most as u32 } else { burst };
        Self { permits, period, interval, capacity }
    }

    /// The time that one permit takes to grow, rounded up: a rate is never exceeded by rounding.
    /// `None` where nothing passes.
    pub(super) const fn interval(self) -> Option<u64> {
        if self.interval == 0 { None } else { Some(self.interval) }
    }

    /// What the bucket holds.
    pub(super) const fn capacity(self) -> u32 {
        self.capacity
    }

    /// The time that the whole bucket takes to grow, in ns.
    pub(super) const fn fill(self) -> u64 {
        self.interval.saturating_mul(self.capacity as u64)
    }

    /// One replica's share of it, at least one permit at once.
    #[cfg(feature = "redis")]
    pub(super) fn share(self, replicas: u32) -> Self {
        let burst = if self.capacity == 0 { 0 } else { (self.capacity / replicas).max(1) };
        Self::new(self.permits, self.period.saturating_mul(replicas), burst)
    }

    /// So many in this time.
    pub(super) const fn permits(self) -> (u32, Duration) {
        (self.permits, self.period)
    }
}
