//! A wait in seconds, in the forms in which upstreams write it.

use super::date::{http_date, rfc3339};

/// Longer texts are no time in any form.
const MAX_LENGTH: usize = 64;

/// A plain number beyond this is a time since 1970-01-01 in seconds, and a wait otherwise.
const EPOCH_SECONDS: f64 = 1e9;
/// A plain number beyond this is a time since 1970-01-01 in milliseconds.
const EPOCH_MILLISECONDS: f64 = 1e12;
/// A plain number beyond this is neither.
const BEYOND_EPOCH: f64 = 1e13;

/// Reads a number without a sign. Infinity, NaN and negative numbers are no wait.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim_ascii();
    if text.len() > MAX_LENGTH || !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    // `1e999` becomes infinity.
    text.parse().ok().filter(|number| f64::is_finite(*number))
}

/// Reads the value of `retry-after`: seconds (RFC 9110 section 10.2.3), with a fraction as some
/// servers write them, or a date.
pub(crate) fn retry_after(text: &str, now: f64) -> Option<f64> {
    number(text).or_else(|| Some((http_date(text.trim_ascii())? - now).max(0.0)))
}

/// Reads the time until a rate limit resets: seconds, a duration as Go writes it, a date of RFC 3339
/// or a time since 1970-01-01.
pub(crate) fn reset(text: &str, now: f64) -> Option<f64> {
    if let Some(number) = number(text) {
        return Some(match number {
            _ if !(EPOCH_SECONDS..=BEYOND_EPOCH).contains(&number) => number,
            _ if number < EPOCH_MILLISECONDS => (number - now).max(0.0),
            _ => (number / 1_000.0 - now).max(0.0),
        });
    }
    let text = text.trim_ascii();
    go_duration(text).or_else(|| Some((rfc3339(text)? - now).max(0.0)))
}

/// Reads a duration such as `6m0s`, `2m59.56s`, `1h2m` or `12ms`.
fn go_duration(text: &str) -> Option<f64> {
    if text.is_empty() || text.len() > MAX_LENGTH {
        return None;
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let unit = rest.find(|byte: char| !byte.is_ascii_digit() && byte != '.')?;
        let (digits, after) = rest.split_at_checked(unit)?;
        let end = after.find(|byte: char| byte.is_ascii_digit() || byte == '.');
        let (unit, after) = after.split_at_checked(end.unwrap_or(after.len()))?;
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum += number(digits)? * factor;
        rest = after;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_440_938_160.0;

    #[test]
    fn each_form_of_a_reset_is_read() {
        for (text, seconds) in [
            ("12", 12.0),
            (" 7.66 ", 7.66),
            ("0", 0.0),
            ("6m0s", 360.0),
            ("2m59.56s", 179.56),
            ("1h2m3.5s", 3_723.5),
            ("1s", 1.0),
            ("12ms", 0.012),
            ("1d", 86_400.0),
            ("1m30s500ms", 90.5),
            ("2015-08-30T12:37:00Z", 60.0),
            ("2015-08-30T12:35:00Z", 0.0),
            ("1440938170", 10.0),
            ("1440938170500", 10.5),
            ("1e300", 1e300),
        ] {
            let read = reset(text, NOW).unwrap();
            assert!((read - seconds).abs() <= 1e-6 * seconds, "{text}: {read}");
        }
    }

    #[test]
    fn each_form_of_retry_after_is_read() {
        for (text, seconds) in [
            ("120", 120.0),
            ("0.5", 0.5),
            ("1e300", 1e300),
            ("Sun, 30 Aug 2015 12:36:30 GMT", 30.0),
            ("Sun, 30 Aug 2015 12:35:30 GMT", 0.0),
        ] {
            assert_eq!(retry_after(text, NOW), Some(seconds), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_wait_is_ignored() {
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "1e999",
            "soon",
            "1x",
            "ms",
            "1.2.3",
            ".5",
            "5s-",
            "0x10",
            &"9".repeat(400),
        ] {
            assert_eq!((reset(text, NOW), retry_after(text, NOW)), (None, None), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_a_finite_wait_or_not_at_all(text in "\\PC{0,40}|[0-9smhd.e+-]{0,40}") {
            for read in [reset(&text, NOW), retry_after(&text, NOW)].into_iter().flatten() {
                proptest::prop_assert!(read.is_finite() && read >= 0.0, "{read}");
            }
        }
    }
}
