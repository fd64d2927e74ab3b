//! The line of JSON, written by hand: it is on the path of each request, and its names are fixed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::record::Record;
use crate::{body::BodyEnd, context::StreamEnd};

/// Bytes of a line without its long values: enough for one allocation.
const ROOM: usize = 640;

/// The line, without its end.
pub(super) fn line(record: &Record<'_>) -> Vec<u8> {
    let principal = record.principal();
    let longer = principal.map_or(0, |principal| principal.issuer.len() + principal.subject.len());
    let mut object = Object(Vec::with_capacity(ROOM + record.path().len() + longer));

    object.open();
    object.raw("time", &rfc3339(record.time()));
    object.text("request_id", record.request_id());
    object.text("trace_id", record.trace_id());
    if let Some(principal) = principal {
        object.name("principal");
        object.open();
        object.text("proof", Some(principal.proof.name()));
        object.text("issuer", Some(principal.issuer));
        object.text("subject", Some(principal.subject));
        object.close();
    }
    object.text("tenant", record.tenant());
    object.text("method", Some(record.method().as_str()));
    object.text("path", Some(record.path()));
    object.text("http_version", record.http_version());
    object.text("user_agent", record.user_agent());
    object.text("route", record.route());
    object.text("stage", record.stage());
    object.number("status", record.status().map(|status| status.as_u16()));
    object.number("grpc_status", record.grpc_status());
    object.text("refusal", record.refusal());
    object.text("outcome", Some(outcome(record.outcome())));
    object.number("bytes_in", Some(record.bytes_in()));
    object.number("bytes_out", Some(record.bytes_out()));
    object.number("head_us", record.head_after().map(microseconds));
    object.number("first_byte_us", record.first_byte_after().map(microseconds));
    object.number("total_us", Some(microseconds(record.total())));
    object.text("upstream", record.upstream());
    object.number("upstream_status", record.upstream_status().map(|status| status.as_u16()));
    object.number("attempts", Some(record.attempts()).filter(|attempts| *attempts > 0));
    object.text("model", record.model());
    if let Some(usage) = record.usage() {
        object.name("usage");
        object.open();
        object.number("prompt_tokens", usage.prompt_tokens);
        object.number("completion_tokens", usage.completion_tokens);
        object.number("total_tokens", usage.total_tokens);
        object.close();
    }
    object.text("stream_end", record.stream_end().map(stream_end));
    object.close();
    object.0
}

/// The line that says how many others are missing.
pub(super) fn loss(lines: u64) -> Vec<u8> {
    let mut object = Object(Vec::new());
    object.open();
    object.number("dropped", Some(lines));
    object.close();
    object.0
}

pub(super) const fn outcome(end: BodyEnd) -> &'static str {
    match end {
        BodyEnd::Complete => "complete",
        BodyEnd::Trailers => "trailers",
        BodyEnd::Error => "error",
        BodyEnd::Cancelled => "cancelled",
    }
}

pub(super) const fn stream_end(end: StreamEnd) -> &'static str {
    match end {
        StreamEnd::Done => "done",
        StreamEnd::Failed => "failed",
        StreamEnd::Cut => "cut",
    }
}

pub(super) fn microseconds(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

/// `2026-11-23T09:08:07.006Z` (RFC 3339 section 5.6). Years have four digits there, so what lies
/// outside of 1970 to 9999 is written as the nearest moment inside.
pub(super) fn rfc3339(time: SystemTime) -> [u8; 24] {
    const LAST: u64 = 253_402_300_799;

    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().min(LAST);
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let parts = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, seconds / 3_600 % 24),
        (14, 2, seconds / 60 % 60),
        (17, 2, seconds % 60),
        (20, 3, u64::from(since.subsec_millis())),
    ];
    for (start, digits, mut value) in parts {
        for digit in text.iter_mut().skip(start).take(digits).rev() {
            *digit = decimal(value);
            value /= 10;
        }
    }
    text
}

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian calendar).
///
/// Counts from a first of March, so that the day a leap year adds is the last of its year: 400
/// such years are 146,097 days, and five months from March or August on are 153.
const fn civil(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 lies 719,468 days before 1970-01-01.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    // Take out the leap days, each at the end of 4, 100 and 400 years.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * cycle + year + next, month, day)
}

/// The last digit of `value`.
const fn decimal(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

// === impl Object ===

/// An object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn open(&mut self) {
        self.0.push(b'{');
    }

    fn close(&mut self) {
        self.0.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A string that needs no escaping.
    fn raw(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(value);
        self.0.push(b'"');
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        let Some(value) = value else { return };
        if value.bytes().all(is_plain) {
            return self.raw(name, value.as_bytes());
        }
        self.name(name);
        self.0.push(b'"');
        for character in value.chars() {
            match character {
                '"' => self.0.extend_from_slice(b"\\\""),
                '\\' => self.0.extend_from_slice(b"\\\\"),
                // Controls, those beyond ASCII included, and what some readers take for the end of
                // a line: none is ever written as it is.
                '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                    self.0.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        let digit = char::from_digit(u32::from(character) >> shift & 0xf, 16);
                        self.0.extend(digit.map(|digit| digit as u8));
                    }
                }
                _ => {
                    let mut bytes = [0; 4];
                    self.0.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                }
            }
        }
        self.0.push(b'"');
    }

    fn number(&mut self, name: &'static str, value: Option<impl Into<u64>>) {
        let Some(value) = value else { return };
        self.name(name);
        let mut value = value.into();
        // The digits of the largest `u64`.
        let mut digits = [0; 20];
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = decimal(value);
            count += 1;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.0.extend(digits.iter().skip(digits.len() - count));
    }
}

/// Whether a byte stands for itself in a string: printable ASCII without quote and backslash.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn object(write: impl FnOnce(&mut Object)) -> String {
        let mut object = Object(Vec::new());
        object.open();
        write(&mut object);
        object.close();
        String::from_utf8(object.0).unwrap()
    }

    #[test]
    fn members_are_separated_by_commas_at_each_level() {
        let written = object(|object| {
            object.name("a");
            object.open();
            object.number("b", Some(1_u64));
            object.text("c", None);
            object.number("d", None::<u64>);
            object.text("e", Some(""));
            object.close();
            object.raw("f", b"g");
        });
        assert_eq!(written, r#"{"a":{"b":1,"e":""},"f":"g"}"#);
        assert_eq!(loss(12), br#"{"dropped":12}"#);
    }

    #[test]
    fn controls_are_never_raw() {
        let hostile = "\u{0}\u{8}\t\n\r\u{1b}[2J\u{7f}\u{85}\u{9b}\u{9f}\u{2028}\u{2029}\"\\é😀";
        assert_eq!(
            object(|object| object.text("a", Some(hostile))),
            r#"{"a":"\u0000\u0008\u0009\u000a\u000d\u001b[2J\u007f\u0085\u009b\u009f\u2028\u2029\"\\é😀"}"#
        );
    }

    #[test]
    fn numbers_of_any_size_are_written() {
        for number in [0, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            let written = object(|object| object.number("a", Some(number)));
            assert_eq!(written, format!("{{\"a\":{number}}}"));
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400, 1_000_000, "2000-02-29T00:00:00.001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000Z"),
            (1_709_208_000, 0, "2024-02-29T12:00:00.000Z"),
            (1_735_689_599, 0, "2024-12-31T23:59:59.000Z"),
            (1_795_424_887, 6_999_999, "2026-11-23T09:08:07.006Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800, 0, "9999-12-31T23:59:59.000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(str::from_utf8(&rfc3339(time)).unwrap(), expected);
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(&rfc3339(before), b"1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_of_a_cycle_follows_the_one_before() {
        let leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1970, 1, 1);
        for day in 0..146_097 * 2 {
            assert_eq!(civil(day), expected);
            let (year, month, date) = expected;
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, date) {
                (12, 31) => (year + 1, 1, 1),
                (_, date) if date == length => (year, month + 1, 1),
                (month, date) => (year, month, date + 1),
            };
        }
    }

    proptest! {
        #[test]
        fn any_string_is_read_back(value in any::<String>(), number in any::<u64>()) {
            let written = object(|object| {
                object.text("text", Some(&value));
                object.number("number", Some(number));
            });
            prop_assert!(!written.chars().any(char::is_control));
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, json!({ "text": value, "number": number }));
        }
    }
}
