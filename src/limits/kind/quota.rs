use std::time::SystemTime;

use crate::calendar;

/// A number of permits in a calendar day, week or month of UTC, like API Gateway's usage plans.
///
/// A store in memory counts up to 2^44 in one period. A store in Redis counts up to 2^40.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    limit: u64,
    period: Period,
    // The offset, and a second of the first period (since 1970).
    first: Option<(u64, u64)>,
}

/// A period of the calendar, in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// From the first of a month to its last.
    Month,
}

/// One day, week or month.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct QuotaWindow {
    /// Grows by one from each period to the next.
    pub(crate) number: u32,
    /// Seconds since 1970.
    pub(crate) start: u64,
    /// Seconds since 1970: the first one after the window.
    pub(crate) end: u64,
}

impl Quota {
    /// Allows `limit` a day.
    #[must_use]
    pub const fn per_day(limit: u64) -> Self {
        Self::new(limit, Period::Day)
    }

    /// Allows `limit` a week.
    #[must_use]
    pub const fn per_week(limit: u64) -> Self {
        Self::new(limit, Period::Week)
    }

    /// Allows `limit` a month.
    #[must_use]
    pub const fn per_month(limit: u64) -> Self {
        Self::new(limit, Period::Month)
    }

    /// Subtracts `offset` from the limit in the one period that contains `first`.
    ///
    /// A caller that joins on the 20th then gets less than the whole month's quota.
    #[must_use]
    pub fn first_period_offset(mut self, offset: u64, first: SystemTime) -> Self {
        let since = first.duration_since(SystemTime::UNIX_EPOCH);
        self.first = Some((offset, since.map_or(0, |since| since.as_secs())));
        self
    }

    const fn new(limit: u64, period: Period) -> Self {
        Self { limit, period, first: None }
    }

    pub(crate) const fn period(self) -> Period {
        self.period
    }

    /// Returns the limit of every window but the first.
    pub(crate) const fn limit(self) -> u64 {
        self.limit
    }

    /// Returns the number of the first window and its offset.
    #[cfg(feature = "redis")]
    pub(crate) fn first_window(self) -> Option<(u32, u64)> {
        self.first.map(|(offset, first)| (self.period.window(first).number, offset))
    }

    /// Returns the share of one replica, at least one.
    #[cfg(feature = "redis")]
    pub(crate) fn share(self, replicas: u32) -> Self {
        let share = |whole: u64| whole / u64::from(replicas);
        let limit = if self.limit == 0 { 0 } else { share(self.limit).max(1) };
        let first = self.first.map(|(offset, first)| (share(offset), first));
        Self { limit, period: self.period, first }
    }

    /// Returns the limit of the window of this number.
    pub(crate) fn limit_of(self, number: u32) -> u64 {
        // Most quotas have no first window, and need no calendar.
        if self.first.is_none() {
            return self.limit;
        }
        self.limit_in(self.period.nth(u64::from(number)))
    }

    fn limit_in(self, window: QuotaWindow) -> u64 {
        match self.first {
            Some((offset, first)) if (window.start..window.end).contains(&first) => {
                self.limit.saturating_sub(offset)
            }
            _ => self.limit,
        }
    }

    /// Returns the sum of the limits of the windows from `old` to before `new`.
    pub(crate) fn limit_between(self, old: u32, new: u32) -> u64 {
        let windows = u64::from(new.saturating_sub(old));
        let sum = self.limit.saturating_mul(windows);
        match self.first {
            Some((offset, first)) if (old..new).contains(&self.period.window(first).number) => {
                sum.saturating_sub(offset.min(self.limit))
            }
            _ => sum,
        }
    }
}

const DAY: u64 = 86_400;

impl Period {
    /// Returns the window that contains this second.
    pub(crate) const fn window(self, unix_seconds: u64) -> QuotaWindow {
        let day = unix_seconds / DAY;
        self.nth(match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3) / 7,
            Self::Month => calendar::month_of(day),
        })
    }

    /// Returns the window of this number.
    pub(crate) const fn nth(self, number: u64) -> QuotaWindow {
        let max = QuotaWindow::MAX_NUMBER as u64;
        let number = if number < max { number } else { max };
        let (start, end) = match self {
            Self::Day => (number, number + 1),
            Self::Week => ((number * 7).saturating_sub(3), number * 7 + 4),
            Self::Month => (calendar::first_day_of(number), calendar::first_day_of(number + 1)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        QuotaWindow { number: number as u32, start: start * DAY, end: end * DAY }
    }
}

impl QuotaWindow {
    /// The largest number: 2^20 days are 2,870 years.
    pub(crate) const MAX_NUMBER: u32 = (1 << 20) - 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_calendar() {
        let (mut year, mut month, mut of_month, mut weekday) = (1970_u64, 1_u64, 1_u64, 3_u64);
        let mut week = 0;
        for day in 0..84_006 {
            let at = day * DAY + 86_399;
            let is = Period::Day.window(at);
            assert_eq!((is.start, is.end), (day * DAY, (day + 1) * DAY));
            let is = Period::Month.window(at);
            assert_eq!(u64::from(is.number), (year - 1970) * 12 + month - 1);
            assert_eq!(is.start, (day + 1 - of_month) * DAY);
            assert!(is.end > at);
            let is = Period::Week.window(at);
            assert_eq!(u64::from(is.number), week);
            assert_eq!(is.start, day.saturating_sub(weekday) * DAY);
            assert_eq!(is.end, (day + 7 - weekday) * DAY);

            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if of_month == last {
                assert_eq!(Period::Month.window(at).end, (day + 1) * DAY);
                (of_month, month) = (1, month + 1);
            } else {
                of_month += 1;
            }
            if month == 13 {
                (month, year) = (1, year + 1);
            }
            weekday = (weekday + 1) % 7;
            week += u64::from(weekday == 0);
        }
        assert_eq!((year, month, of_month), (2200, 1, 1));
    }
}
