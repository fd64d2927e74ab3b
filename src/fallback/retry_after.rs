//! The header `retry-after`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::{
    clock::SharedClock,
    retry_after::{sent_at, stated_wait},
};

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Returns the time that the upstream asks to wait, at most `max`. A date is relative to the clock that
/// wrote it, or else to `clock`.
pub(super) fn retry_after(
    headers: &HeaderMap,
    max: Duration,
    clock: &SharedClock,
) -> Option<Duration> {
    let now = sent_at(headers).unwrap_or_else(|| clock.unix_seconds() as f64);
    let seconds = stated_wait(headers, now)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(max))
}

/// Returns whether OpenAI says that the same request fails again: `x-should-retry: false`.
pub(super) fn says_no_retry(headers: &HeaderMap) -> bool {
    headers.get(X_SHOULD_RETRY).is_some_and(|value| value == "false")
}

/// Sets the header to whole seconds, rounded up and at least 1.
pub(super) fn set_retry_after(headers: &mut HeaderMap, after: Duration) {
    let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

#[cfg(test)]
mod tests {
    use http::header::DATE;

    use super::*;

    fn read(text: &'static str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        retry_after(&headers, Duration::from_secs(60), &SharedClock::default())
    }

    #[test]
    fn seconds_are_read_and_clamped() {
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("1.5"), Some(Duration::from_millis(1_500)));
        for huge in ["61", "1e300", "99999999999999999999999999"] {
            assert_eq!(read(huge), Some(Duration::from_secs(60)), "{huge}");
        }
        for other in ["", "-1", "inf", "NaN", "+3", "soon", "1e", "."] {
            assert_eq!(read(other), None, "{other}");
        }
        let clock = SharedClock::default();
        assert_eq!(retry_after(&HeaderMap::new(), Duration::MAX, &clock), None);
    }

    #[test]
    fn a_date_is_relative_to_the_response_or_else_to_the_clock() {
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("Wed, 21 Oct 2999 07:28:00 GMT"), Some(Duration::from_secs(60)));
        let value = HeaderValue::from_static;
        let headers = HeaderMap::from_iter([
            (DATE, value("Wed, 21 Oct 2015 07:28:00 GMT")),
            (RETRY_AFTER, value("Wed, 21 Oct 2015 07:28:30 GMT")),
        ]);
        let read = retry_after(&headers, Duration::from_secs(60), &SharedClock::default());
        assert_eq!(read, Some(Duration::from_secs(30)));
    }

    #[test]
    fn only_false_says_that_no_retry_helps() {
        for (text, expected) in [("false", true), ("true", false), ("", false)] {
            let value = HeaderValue::from_static(text);
            assert_eq!(says_no_retry(&HeaderMap::from_iter([(X_SHOULD_RETRY, value)])), expected);
        }
        assert!(!says_no_retry(&HeaderMap::new()));
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")] {
            let mut headers = HeaderMap::new();
            set_retry_after(&mut headers, Duration::from_millis(millis));
            assert_eq!(headers[RETRY_AFTER], seconds);
        }
    }
}
