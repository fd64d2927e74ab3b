//! The header `retry-after`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Returns the time that the upstream asks to wait, at most `max`.
///
/// A number may have a fraction, as some servers send it. A date is not read and counts as no time.
pub(super) fn retry_after(headers: &HeaderMap, max: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
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
    use super::*;

    #[test]
    fn seconds_are_read_and_clamped() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, Duration::from_secs(60))
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("1.5"), Some(Duration::from_millis(1_500)));
        for huge in ["61", "1e", "99999999999999999999999999"] {
            assert_eq!(read(huge), (huge != "1e").then_some(Duration::from_secs(60)), "{huge}");
        }
        for other in ["", "-1", "inf", "NaN", "+3", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "."] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Duration::MAX), None);
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
