use std::time::SystemTime;

/// So many in a calendar day, week or month of UTC, as API Gateway's usage plans have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    limit: u64,
    period: Period,
    // (offset, seconds since 1970 of the first period)
    first: Option<(u64, u64)>,
}

/// A time of the calendar, in UTC.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// From the first of a month to its last.
    Month,
}

/// One period of the calendar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    /// Its number: grows by one from each period to the next.
    pub(super) number: u32,
    /// Seconds since 1970.
    pub(super) start: u64,
    /// Seconds since 1970, the first that is not in it.
    pub(super) end: u64,
}

impl Quota {
    /// So many a day.
    #[must_use]
    pub const fn per_day(limit: u64) -> Self {
        Self::new(limit, Period::Day)
    }

    /// So many a week.
    #[must_use]
    pub const fn per_week(limit: u64) -> Self {
        Self::new(limit, Period::Week)
    }

    /// So many a month.
    #[must_use]
    pub const fn per_month(limit: u64) -> Self {
        Self::new(limit, Period::Month)
    }

    /// Subtracts `offset` from the limit in the one period that `first` lies in: whoever joins on the
    /// 20th need not get the whole month's share.
    #[must_use]
    pub fn first_period_offset(mut self, offset: u64, first: SystemTime) -> Self {
        let since = first.duration_since(SystemTime::UNIX_EPOCH);
        self.first = Some((offset, since.map_or(0, |since| since.as_secs())));
        self
    }

    const fn new(limit: u64, period: Period) -> Self {
        Self { limit, period, first: None }
    }

    pub(super) const fn period(self) -> Period {
        self.period
    }

    /// How many there are in this window.
    pub(super) fn limit_in(self, window: Window) -> u64 {
        match self.first {
            Some((offset, first)) if (window.start..window.end).contains(&first) => {
                self.limit.saturating_sub(offset)
            }
            _ => self.limit,
        }
    }
}

impl Period {
    /// The one that this second lies in.
    pub(super) const fn window(self, unix_seconds: u64) -> Window {
        const DAY: u64 = 86_400;
        // Weeks and months: to come.
        let number = unix_seconds / DAY;
        Window { number: number as u32, start: number * DAY, end: (number + 1) * DAY }
    }
}
