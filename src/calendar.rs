//! Dates in UTC of the proleptic Gregorian calendar.
//!
//! The algorithms are Howard Hinnant's ("chrono-Compatible Low-Level Date Algorithms"). Their years
//! begin on March 1 so that a leap day is the last day of its year. 400 such years are 146,097 days.
//! Five months from March or August on are 153 days.

/// 0000-03-01 lies this many days before 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// Returns the date (year, month, day) of a number of days since 1970-01-01.
pub(crate) const fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(DAYS_TO_1970);
    let (cycle, day) = (days / 146_097, days % 146_097);
    // Take out the leap days, each at the end of 4, 100 and 400 years.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * cycle + year + next, month, day)
}

/// Returns the days from 1970-01-01 to a date. `None` for a date before that and for one that does not
/// exist.
#[cfg(any(feature = "auth", feature = "fallback", feature = "upstream"))]
pub(crate) fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // A year that begins in March, its day 1 and its months of 153 days for each five.
    let (years, months) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let start = (153 * months + 2) / 5 + day.checked_sub(1)?;
    let (cycle, years) = (years / 400, years % 400);
    let days = cycle * 146_097 + years * 365 + years / 4 - years / 100 + start;
    let days = days.checked_sub(DAYS_TO_1970)?;
    (date(days) == (year, month, day)).then_some(days)
}

/// Returns the months from January 1970 to the month of this day.
#[cfg(feature = "throttle")]
pub(crate) const fn month_of(days: u64) -> u64 {
    let (year, month, _) = date(days);
    (year - 1_970) * 12 + month - 1
}

/// Returns the first day of a month. The month is a number of months since January 1970.
#[cfg(feature = "throttle")]
pub(crate) const fn first_day_of(month: u64) -> u64 {
    let months = month + 1_970 * 12 - 2;
    let (years, month) = (months / 12, months % 12);
    let (cycle, year) = (years / 400, years % 400);
    let day = (153 * month + 2) / 5;
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + day - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_two_cycles_follows_the_one_before() {
        let leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 * 2 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            #[cfg(any(feature = "auth", feature = "fallback", feature = "upstream"))]
            assert_eq!(super::days(year, month, day), Some(days));
            #[cfg(feature = "throttle")]
            {
                assert_eq!(month_of(days), (year - 1970) * 12 + month - 1);
                assert_eq!(first_day_of(month_of(days)), days + 1 - day);
            }
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == length => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }

    #[cfg(any(feature = "auth", feature = "fallback", feature = "upstream"))]
    #[test]
    fn dates_that_do_not_exist_have_no_day() {
        for (year, month, day) in [
            (1969, 12, 31),
            (0, 1, 1),
            (2027, 0, 1),
            (2027, 13, 1),
            (2027, 1, 0),
            (2027, 1, 32),
            (2027, 2, 29),
            (2100, 2, 29),
        ] {
            assert_eq!(days(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn the_largest_number_of_days_does_not_overflow() {
        date(u64::MAX);
        #[cfg(feature = "throttle")]
        month_of(u64::MAX);
    }
}
