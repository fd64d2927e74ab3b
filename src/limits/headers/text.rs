//! Writes the values of headers.

use std::{
    fmt::{self, Write as _},
    ops::Deref,
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use smallvec::SmallVec;

use crate::limits::kind::{Allowance, AllowanceKind, Period, Unit};

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// A header value that is being written.
#[derive(Default)]
pub(super) struct HeaderText(Vec<u8>);

impl HeaderText {
    /// Writes one member of `ratelimit-policy`.
    pub(super) fn policy(
        &mut self,
        label: &str,
        allowance: Allowance,
        quota_limit: Option<u64>,
        unit: Unit,
    ) {
        let (permits, window) = match allowance.0 {
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
                let (permits, window) = rate.quota_and_window();
                (u64::from(permits), Some(window))
            }
            AllowanceKind::Quota(quota) => {
                let window = match quota.period() {
                    Period::Day => Some(86_400),
                    Period::Week => Some(7 * 86_400),
                    Period::Month => None,
                };
                (quota_limit.unwrap_or_default(), window)
            }
            AllowanceKind::Concurrency(_) => return,
        };
        self.member(label);
        self.parameter("q", permits);
        // Requests are the draft's default unit.
        if unit == Unit::Tokens {
            self.0.extend_from_slice(b";qu=\"tokens\"");
        }
        if let Some(window) = window {
            self.parameter("w", window);
        }
    }

    /// Writes `ratelimit` in one allocation. A member is a label, the permits left and the seconds
    /// until the reset.
    pub(super) fn limits<'a>(
        described: impl Iterator<Item = (&'a str, u64, u64)>,
    ) -> Option<HeaderValue> {
        let mut members = SmallVec::<[_; 4]>::new();
        let mut length = 0;
        for (label, remaining, seconds) in described {
            let (remaining, seconds) = (DecimalDigits::of(remaining), DecimalDigits::of(seconds));
            length += label.len() + ", ;r=;t=".len() + remaining.len() + seconds.len();
            members.push((label, remaining, seconds));
        }
        // The first member has no separator.
        let mut text = Self(Vec::with_capacity(length.saturating_sub(", ".len())));
        for (label, remaining, seconds) in &members {
            text.member(label);
            text.0.extend_from_slice(b";r=");
            text.0.extend_from_slice(remaining);
            text.0.extend_from_slice(b";t=");
            text.0.extend_from_slice(seconds);
        }
        text.value()
    }

    fn member(&mut self, label: &str) {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b", ");
        }
        self.0.extend_from_slice(label.as_bytes());
    }

    fn parameter(&mut self, name: &str, value: u64) {
        self.0.push(b';');
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0.extend_from_slice(&DecimalDigits::of(value));
    }

    /// Writes a duration as Go does, which OpenAI's headers use: `12ms`, `1s`, `6m0s`, `1h0m0s`.
    pub(super) fn open_ai_duration(&mut self, duration: Duration) {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        let (seconds, rest) = (millis / 1_000, millis % 1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let _ = if millis < 1_000 && millis > 0 {
            write!(self, "{millis}ms")
        } else {
            if hours > 0 {
                let _ = write!(self, "{hours}h");
            }
            if seconds >= 60 {
                let _ = write!(self, "{minutes}m");
            }
            let _ = write!(self, "{}", seconds % 60);
            if rest > 0 {
                let digits = format_args!("{rest:03}").to_string();
                let _ = write!(self, ".{}", digits.trim_end_matches('0'));
            }
            write!(self, "s")
        };
    }

    /// Returns `None` where nothing was written.
    pub(super) fn value(self) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(Bytes::from(self.0)).ok()
    }
}

impl fmt::Write for HeaderText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Returns the seconds of a duration, rounded up.
pub(super) const fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64)
}

/// Writes a name as a string of a structured field (RFC 9651 section 3.3.3). A character that such a
/// string cannot hold becomes `_`.
pub(crate) fn quoted_name(name: &str) -> String {
    let mut quoted = String::from('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('_'),
        }
    }
    quoted.push('"');
    quoted
}

/// The digits of an integer of a structured field.
struct DecimalDigits {
    bytes: [u8; 15],
    first: u8,
}

impl DecimalDigits {
    /// Writes the largest integer instead of a larger number.
    fn of(number: u64) -> Self {
        let mut left = number.min(MAX_INTEGER);
        let mut digits = Self { bytes: [b'0'; 15], first: 15 };
        for byte in digits.bytes.iter_mut().rev() {
            *byte = b'0' + (left % 10) as u8;
            left /= 10;
            digits.first -= 1;
            if left == 0 {
                break;
            }
        }
        digits
    }
}

impl Deref for DecimalDigits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(usize::from(self.first)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut HeaderText)) -> String {
        let mut text = HeaderText::default();
        write(&mut text);
        String::from_utf8(text.0).unwrap()
    }

    #[test]
    fn durations_are_written_like_those_of_open_ai() {
        for (micros, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (12_000, "12ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (59_999_001, "1m0s"),
            (360_000_000, "6m0s"),
            (3_600_000_000, "1h0m0s"),
            (3_661_050_000, "1h1m1.05s"),
        ] {
            let duration = Duration::from_micros(micros);
            assert_eq!(written(|text| text.open_ai_duration(duration)), expected);
        }
    }

    #[test]
    fn names_are_escaped_and_numbers_bounded() {
        assert_eq!(quoted_name("a\"b\\c\u{e9}\n"), r#""a\"b\\c__""#);
        assert_eq!(written(|text| text.parameter("r", u64::MAX)), ";r=999999999999999");
    }
}
