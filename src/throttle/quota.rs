use std::time::SystemTime;

/// So many in a calendar day, week or month of UTC, as API Gateway's usage plans have it.
///
/// A store in memory counts to 2^44 in a window, and no further.
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

    /// How many there are in a window, but for the first.
    pub(super) const fn limit(self) -> u64 {
        self.limit
    }

    /// The number of the first window, and what is subtracted in it.
    #[cfg(feature = "redis")]
    pub(super) fn first_window(self) -> Option<(u32, u64)> {
        self.first.map(|(offset, first)| (self.period.window(first).number, offset))
    }

    /// One replica's share of it, at least one.
    #[cfg(feature = "redis")]
    pub(super) fn share(self, replicas: u32) -> Self {
        let share = |whole: u64| whole / u64::from(replicas);
        let limit = if self.limit == 0 { 0 } else { share(self.limit).max(1) };
        let first = self.first.map(|(offset, first)| (share(offset), first));
        Self { limit, period: self.period, first }
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

const DAY: u64 = 86_400;

impl Quota {
    /// How many there are in the window of this number.
    pub(super) fn limit_of(self, number: u32) -> u64 {
        // Where no window differs, when they are is not computed.
        if self.first.is_none() {
            return self.limit;
        }
        self.limit_in(self.period.nth(u64::from(number)))
    }

    /// What the windows from `old` to before `new` held together.
    pub(super) fn held_between(self, old: u32, new: u32) -> u64 {
        let windows = u64::from(new.saturating_sub(old));
        let held = self.limit.saturating_mul(windows);
        match self.first {
            Some((offset, first)) if (old..new).contains(&self.period.window(first).number) => {
                held.saturating_sub(offset.min(self.limit))
            }
            _ => held,
        }
    }
}

impl Period {
    /// The one that this second lies in.
    pub(super) const fn window(self, unix_seconds: u64) -> Window {
        let day = unix_seconds / DAY;
        self.nth(match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3) / 7,
            Self::Month => month_of(day),
        })
    }

    /// The one of this number.
    pub(super) const fn nth(self, number: u64) -> Window {
        // 2^20 days are 2870 years.
        let number = if number < Window::MOST as u64 { number } else { Window::MOST as u64 };
        let (start, end) = match self {
            Self::Day => (number, number + 1),
            Self::Week => ((number * 7).saturating_sub(3), number * 7 + 4),
            Self::Month => (first_of(number), first_of(number + 1)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        Window { number: number as u32, start: start * DAY, end: end * DAY }
    }
}

impl Window {
    /// The largest number.
    pub(super) const MOST: u32 = (1 << 20) - 1;
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the
// leap day is the last, and 400 of them have 146,097 days.

/// Months since January 1970, of a day since then.
const fn month_of(day: u64) -> u64 {
    // Beyond every calendar: no sum overflows.
    let days = (if day < 1 << 40 { day } else { 1 << 40 }) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    // Of March of the year 0: so many months to January 1970.
    (era * 400 + year) * 12 + month - (1_970 * 12 - 2)
}

/// The first day of a month, since 1970.
const fn first_of(month: u64) -> u64 {
    let months = month + 1_970 * 12 - 2;
    let (years, month) = (months / 12, months % 12);
    let (era, year) = (years / 400, years % 400);
    let of_year = (153 * month + 2) / 5;
    era * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_the_calendars_day_by_day() {
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
