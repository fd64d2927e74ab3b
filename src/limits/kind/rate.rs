use std::time::Duration;

/// Ten years in ns.
const MAX_FILL: u64 = 3_650 * 86_400 * 1_000_000_000;

/// A number of permits in a time, and a burst.
///
/// A rate is a token bucket, like the `rateLimit` and `burstLimit` of API Gateway. The bucket holds
/// [`burst`](Self::burst) permits, fills evenly and starts full. It holds at most the permits that
/// grow in ten years. A rate or a burst of zero rejects every request with 429. Its `retry-after` is the period,
/// although a retry never passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    permits: u32,
    period: Duration,
    // Computed beforehand: the time that one permit takes, or zero, and the size of the bucket.
    interval: u64,
    capacity: u32,
}

impl Rate {
    /// Allows `permits` a second. The burst defaults to the same number.
    #[must_use]
    pub const fn per_second(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(1))
    }

    /// Allows `permits` a minute. The burst defaults to the same number.
    #[must_use]
    pub const fn per_minute(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(60))
    }

    /// Allows `permits` an hour. The burst defaults to the same number.
    #[must_use]
    pub const fn per_hour(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(3_600))
    }

    /// Allows `permits` in any 24 hours. The burst defaults to the same number. See
    /// [`Quota::per_day`](super::Quota::per_day) for a calendar day.
    #[must_use]
    pub const fn per_day(permits: u32) -> Self {
        Self::per(permits, Duration::from_secs(86_400))
    }

    /// Sets the number of permits that the bucket holds. All of them may be taken at once.
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
        let max = MAX_FILL / interval;
        #[expect(clippy::cast_possible_truncation, reason = "smaller than the burst")]
        let capacity = if max < burst as u64 { max as u32 } else { burst };
        Self { permits, period, interval, capacity }
    }

    /// Returns the time in ns that one permit takes to grow, or `None` where nothing passes. It is
    /// rounded up, so that rounding never exceeds a rate.
    pub(crate) const fn interval(self) -> Option<u64> {
        if self.interval == 0 { None } else { Some(self.interval) }
    }

    /// Returns the size of the bucket.
    pub(crate) const fn capacity(self) -> u32 {
        self.capacity
    }

    /// Returns the time in ns that the whole bucket takes to fill.
    pub(crate) const fn fill(self) -> u64 {
        self.interval.saturating_mul(self.capacity as u64)
    }

    /// Returns the share of one replica, whose bucket holds at least one permit.
    #[cfg(feature = "redis")]
    pub(crate) fn share(self, replicas: u32) -> Self {
        let burst = if self.capacity == 0 { 0 } else { (self.capacity / replicas).max(1) };
        Self::new(self.permits, self.period.saturating_mul(replicas), burst)
    }

    /// Returns a quota and its window in seconds, at the same rate.
    ///
    /// The remaining quota never exceeds the quota (draft-ietf-httpapi-ratelimit-headers-10 section 2),
    /// so a bucket larger than the permits of a period is the quota of the time in which it fills.
    pub(crate) const fn quota_and_window(self) -> (u32, u64) {
        if self.capacity > self.permits {
            let fill = self.period.as_secs().saturating_mul(self.capacity as u64);
            (self.capacity, fill.div_ceil(self.permits as u64))
        } else {
            (self.permits, self.period.as_secs())
        }
    }

    /// Returns the permits and the time in which they grow.
    pub(crate) const fn permits(self) -> (u32, Duration) {
        (self.permits, self.period)
    }
}
