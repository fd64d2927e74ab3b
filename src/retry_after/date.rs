//! Dates in the two forms that headers have them in.

use crate::calendar::days;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns the seconds since 1970-01-01 of an IMF-fixdate (RFC 9110 section 5.6.7), such as
/// `Sun, 30 Aug 2015 12:36:00 GMT`.
pub(crate) fn http_date(text: &str) -> Option<f64> {
    let (_day_of_week, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    if words.next().is_some() || zone != "GMT" {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    seconds_of(number(year, 4)?, month, number(day, 2)?, time)
}

/// Returns the seconds since 1970-01-01 of a time of RFC 3339, such as `2026-08-10T12:03:00.5Z` or
/// `2026-08-10T14:03:00+02:00`.
pub(crate) fn rfc3339(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let offset = match zone {
        "Z" | "z" => 0.0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = (number(hours, 2)? * 3_600 + number(minutes, 2)? * 60) as f64;
            if zone.starts_with('-') { -offset } else { offset }
        }
    };
    Some(seconds_of(number(year, 4)?, number(month, 2)?, number(day, 2)?, time)? - offset)
}

fn seconds_of(year: u64, month: u64, day: u64, time: &str) -> Option<f64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !is_digits(fraction) {
        return None;
    }
    let mut parts = whole.split(':');
    let mut part = || number(parts.next()?, 2);
    let (hour, minute, second) = (part()?, part()?, part()?);
    // RFC 3339 and RFC 9110 allow a leap second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = ((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds as f64 + format!("0.{fraction}").parse::<f64>().ok()?)
}

fn number(text: &str, length: usize) -> Option<u64> {
    (text.len() == length && is_digits(text)).then(|| text.parse().ok())?
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_both_forms() {
        assert_eq!(http_date("Sun, 30 Aug 2015 12:36:00 GMT"), Some(1_440_938_160.0));
        for text in [
            "2015-08-30T12:36:00Z",
            "2015-08-30t12:36:00z",
            "2015-08-30T14:36:00+02:00",
            "2015-08-30T06:06:00-06:30",
        ] {
            assert_eq!(rfc3339(text), Some(1_440_938_160.0), "{text}");
        }
        assert_eq!(rfc3339("2015-08-30T12:36:00.25Z"), Some(1_440_938_160.25));
    }

    #[test]
    fn other_texts_are_no_date() {
        for text in [
            "",
            "30 Aug 2015 12:36:00 GMT",
            "Sun, 30 Aug 2015 12:36:00 CET",
            "Sun, 31 Feb 2015 12:36:00 GMT",
            "Sun, 30 Aug 2015 24:36:00 GMT",
            "Sun, 30 Aug 2015 12:36 GMT",
            "Sunday, 30-Aug-15 12:36:00 GMT",
            "Sun, 30 Aug 2015 12:36:00 GMT GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
        for text in [
            "",
            "T",
            "2015-08-30",
            "2015-08-30T12:36:00",
            "2015-13-30T12:36:00Z",
            "2015-08-30T12:36:00.Z",
            "2015-08-30T12:36:00+0200",
            "2015-08-30T12:36:00+\u{e9}",
            "20150-8-30T12:36:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
