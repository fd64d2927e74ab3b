use std::time::Duration;

/// How many requests may be retried, as a share of all requests.
///
/// Retries multiply the load of an upstream that fails under load. Each request that may be repeated
/// adds its share to the budget and each retry takes one. The shares are exact: 60 % allow three
/// retries for five requests. A request and a retry count for the [window](Self::window).
///
/// ```
/// use std::time::Duration;
/// use tower_inference::fallback::RetryBudget;
///
/// // One retry for ten requests, and two a second in any case.
/// let budget = RetryBudget::new().percent(10).min_per_second(2).window(Duration::from_secs(5));
/// # let _ = budget;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    pub(super) percent: u16,
    pub(super) min_per_second: u32,
    pub(super) window: Duration,
}

impl RetryBudget {
    /// Creates a budget of 20 % and ten retries a second, over the last 10 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self { percent: 20, min_per_second: 10, window: Duration::from_secs(10) }
    }

    /// Sets how many retries there may be for one hundred requests. Defaults to 20.
    ///
    /// More than 100 allow several retries of one request.
    #[must_use]
    pub const fn percent(mut self, percent: u16) -> Self {
        self.percent = percent;
        self
    }

    /// Sets how many retries a second there may be in any case. Defaults to 10.
    #[must_use]
    pub const fn min_per_second(mut self, retries: u32) -> Self {
        self.min_per_second = retries;
        self
    }

    /// Sets the time over which requests and retries are counted.
    ///
    /// Defaults to 10 seconds. Less than 1 second means 1 second and more than 60 seconds means 60. The
    /// window moves on in ten steps.
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}
