//! The times of AWS signatures.

use crate::calendar::days;

/// Seconds since 1970-01-01 UTC with the text of `x-amz-date`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Timestamp {
    text: Box<str>,
    unix_seconds: u64,
}

impl Timestamp {
    /// Parses the basic format of ISO 8601 in UTC, such as `20150830T123600Z`.
    pub(crate) fn from_amz_date(text: &str) -> Option<Self> {
        let [y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, n1, n2, s1, s2, b'Z'] = text.as_bytes()
        else {
            return None;
        };
        let year = number(&[*y1, *y2, *y3, *y4])?;
        let date = (year, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
        let time = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
        Some(Self { text: text.into(), unix_seconds: seconds(date, time)? })
    }

    /// Parses an IMF-fixdate (RFC 9110 section 5.6.7), such as `Sun, 30 Aug 2015 12:36:00 GMT`.
    pub(crate) fn from_http_date(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (_day_of_week, rest) = text.split_once(", ")?;
        let mut words = rest.split(' ');
        let mut word = || words.next();
        let (day, month, year, time, zone) = (word()?, word()?, word()?, word()?, word()?);
        if word().is_some() || zone != "GMT" || (day.len(), year.len(), time.len()) != (2, 4, 8) {
            return None;
        }
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        let mut parts = time.split(':');
        let mut part = || parts.next().filter(|part| part.len() == 2);
        let (hour, minute, second) = (part()?, part()?, part()?);
        let text = format!("{year}{month:02}{day}T{hour}{minute}{second}Z");
        Self::from_amz_date(&text)
    }

    /// Returns the text, such as `20150830T123600Z`.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the date, such as `20150830`.
    pub(crate) fn date(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }

    pub(crate) const fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0'))
    })
}

/// Returns the seconds from 1970-01-01 to this time. Returns `None` for a time that does not exist.
fn seconds(date: (u64, u64, u64), time: (u64, u64, u64)) -> Option<u64> {
    let ((year, month, day), (hour, minute, second)) = (date, time);
    // AWS has no leap seconds.
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (amz, http, seconds) in [
            ("19700101T000000Z", "Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("20150830T123600Z", "Sun, 30 Aug 2015 12:36:00 GMT", 1_440_938_160),
            ("20000229T235959Z", "Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("20270115T080000Z", "Fri, 15 Jan 2027 08:00:00 GMT", 1_800_000_000),
        ] {
            let time = Timestamp::from_amz_date(amz).unwrap();
            assert_eq!((time.as_str(), time.unix_seconds()), (amz, seconds));
            assert_eq!(Timestamp::from_http_date(http), Some(time));
        }
        assert_eq!(Timestamp::from_amz_date("20150830T123600Z").unwrap().date(), "20150830");
    }

    #[test]
    fn times_that_do_not_exist_are_refused() {
        for text in [
            "",
            "20150830T123600",
            "20150830T123600z",
            "2015-08-30T12:36:00Z",
            "20150229T000000Z",
            "19000101T000000Z",
            "20151301T000000Z",
            "20150800T000000Z",
            "20150830T240000Z",
            "20150830T006000Z",
            "20150830T000060Z",
            "+0150830T123600Z",
        ] {
            assert_eq!(Timestamp::from_amz_date(text), None, "{text}");
        }
        for text in ["", "Sun, 30 Aug 2015 12:36:00 UTC", "Sun, 30 Aug 15 12:36:00 GMT", "Sun, "] {
            assert_eq!(Timestamp::from_http_date(text), None, "{text}");
        }
    }
}
