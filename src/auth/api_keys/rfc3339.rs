//! Times as RFC 3339 writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calendar;

/// Reads a time such as `2027-01-31T12:00:00Z` or `2027-01-31T12:00:00.5+01:00`. `None` if the text is
/// anything else or a time before 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let days = calendar::days(year, month, day)?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    // 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let since = Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second);
    let since = since + nanoseconds(fraction)?;
    let since = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => since,
        (sign, offset) => {
            let [hour, minute] = numbers(offset, ':', [2, 2])?;
            let offset = Duration::from_secs(hour * 3_600 + minute * 60);
            match sign {
                _ if hour > 23 || minute > 59 => return None,
                "+" => since.checked_sub(offset)?,
                "-" => since + offset,
                _ => return None,
            }
        }
    };
    UNIX_EPOCH.checked_add(since)
}

/// Reads numbers of fixed widths with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Reads the digits after the point. Digits beyond nanoseconds are dropped.
fn nanoseconds(digits: &str) -> Option<Duration> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.get(..9).unwrap_or(digits);
    Some(Duration::from_nanos(format!("{digits:0<9}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_rfc_are_read() {
        let seconds = |text: &str| {
            let since = parse(text)?.duration_since(UNIX_EPOCH).unwrap();
            Some((since.as_secs(), since.subsec_nanos()))
        };
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", (0, 0)),
            ("1985-04-12T23:20:50.52Z", (482_196_050, 520_000_000)),
            ("1996-12-19T16:39:57-08:00", (851_042_397, 0)),
            ("1990-12-31T23:59:60Z", (662_688_000, 0)),
            ("1990-12-31T15:59:60-08:00", (662_688_000, 0)),
            ("2027-01-15t08:00:00z", (1_800_000_000, 0)),
            ("2027-01-15 09:30:00.1234567899+01:30", (1_800_000_000, 123_456_789)),
            ("9999-12-31T23:59:59Z", (253_402_300_799, 0)),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-01-15T08:00Z",
            "2027-1-15T08:00:00Z",
            "2027-02-29T08:00:00Z",
            "2027-13-01T08:00:00Z",
            "2027-00-01T08:00:00Z",
            "2027-01-00T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:60:00Z",
            "2027-01-15T08:00:61Z",
            "2027-01-15T08:00:00.Z",
            "2027-01-15T08:00:00Z ",
            "2027-01-15T08:00:00ZZ",
            "2027-01-15T08:00:00+1:00",
            "2027-01-15T08:00:00+24:00",
            "2027-01-15T08:00:00+0100",
            "+027-01-15T08:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "1800000000",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
