//! Writes JSON objects for lines that are made for each request. Written by hand because the names are
//! fixed and a line is one copy of few bytes.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{calendar, printable::is_unprintable};

/// The name of a member with the comma before it. An array, so that its copy is a move.
macro_rules! member_name {
    ($name:literal) => {{
        const NAME: &str = concat!(",\"", $name, "\":");
        const BYTES: &[u8; NAME.len()] = match NAME.as_bytes().first_chunk() {
            Some(name) => name,
            None => &[b' '; NAME.len()],
        };
        BYTES
    }};
}
pub(crate) use member_name;

/// An object that is being written. It moves from the stack to the heap when it is too long.
pub(crate) struct JsonObject {
    few: [u8; 1_024],
    // Of `few`, which has no room left once the object is in `many`.
    length: usize,
    many: Vec<u8>,
}

impl Default for JsonObject {
    fn default() -> Self {
        Self { few: [0; 1_024], length: 0, many: Vec::new() }
    }
}

impl JsonObject {
    pub(crate) fn written(&self) -> &[u8] {
        if self.many.is_empty() {
            self.few.get(..self.length).unwrap_or_default()
        } else {
            &self.many
        }
    }

    /// Opens an object. Returns its start, where the comma of its first member becomes a brace.
    pub(crate) fn open(&self) -> usize {
        self.written().len()
    }

    pub(crate) fn close(&mut self, start: usize) {
        let written = if self.many.is_empty() { &mut self.few[..] } else { &mut self.many[..] };
        match written.get_mut(start) {
            Some(comma) if *comma == b',' => *comma = b'{',
            // It has no members.
            _ => self.push(b"{"),
        }
        self.push(b"}");
    }

    /// Writes a string.
    pub(crate) fn text<const N: usize>(&mut self, name: &[u8; N], value: Option<&str>) {
        match value {
            Some(value) if !is_plain(value) => self.escaped(name, value),
            plain => self.plain(name, plain),
        }
    }

    /// Writes a string that needs no escaping.
    pub(crate) fn plain<const N: usize>(
        &mut self,
        name: &[u8; N],
        value: Option<impl AsRef<[u8]>>,
    ) {
        let Some(value) = &value else { return };
        let value = value.as_ref();
        // A line has some twenty members, so each has one check of the room.
        let end = self.length + N + value.len() + 2;
        if let Some(room) = self.few.get_mut(self.length..end)
            && let Some((to_name, [open, to_value @ .., close])) = room.split_first_chunk_mut()
        {
            *to_name = *name;
            (*open, *close) = (b'"', b'"');
            to_value.copy_from_slice(value);
            self.length = end;
        } else {
            self.spill(name);
            self.spill(b"\"");
            self.spill(value);
            self.spill(b"\"");
        }
    }

    #[cold]
    fn escaped(&mut self, name: &[u8], value: &str) {
        self.push(name);
        self.push(b"\"");
        for character in value.chars() {
            match character {
                '"' => self.push(b"\\\""),
                '\\' => self.push(b"\\\\"),
                character if is_unprintable(character) => {
                    // RFC 8259 section 7: beyond the first plane, two escapes.
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.push(b"\\u");
                        for shift in [12, 8, 4, 0] {
                            let digit = char::from_digit(u32::from(*unit) >> shift & 0xf, 16);
                            self.push(&[digit.map_or(b'0', |digit| digit as u8)]);
                        }
                    }
                }
                _ => self.push(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.push(b"\"");
    }

    pub(crate) fn number<const N: usize>(&mut self, name: &[u8; N], value: Option<impl Into<u64>>) {
        let Some(value) = value else { return };
        let value = value.into();
        let count = value.checked_ilog10().unwrap_or(0) as usize + 1;
        let end = self.length + N + count;
        if let Some(room) = self.few.get_mut(self.length..end)
            && let Some((to_name, digits)) = room.split_first_chunk_mut()
        {
            *to_name = *name;
            write_digits(digits, value);
            self.length = end;
        } else {
            // The digits of the largest `u64`.
            let mut digits = [0; 20];
            let digits = digits.get_mut(..count).unwrap_or_default();
            write_digits(digits, value);
            self.spill(name);
            self.spill(digits);
        }
    }

    /// Writes a name that is not known when the program is built.
    pub(crate) fn name(&mut self, name: &str) {
        self.escaped(b",", name);
        self.push(b":");
    }

    /// Writes a string after its name.
    pub(crate) fn string(&mut self, value: &str) {
        if is_plain(value) {
            self.push(b"\"");
            self.push(value.as_bytes());
            self.push(b"\"");
        } else {
            self.escaped(b"", value);
        }
    }

    /// Writes what needs no quotes and no escapes, such as a number, after its name.
    pub(crate) fn display(&mut self, value: impl fmt::Display) {
        // It never fails.
        let _written = write!(Writer(self), "{value}");
    }

    /// Writes an address as a string.
    pub(crate) fn address(&mut self, address: IpAddr) {
        self.push(b"\"");
        match address {
            // The usual one, without the machinery of formatting.
            IpAddr::V4(address) => {
                let [first, others @ ..] = address.octets();
                self.number(b"", Some(first));
                others.into_iter().for_each(|octet| self.number(b".", Some(octet)));
            }
            IpAddr::V6(_) => self.display(address),
        }
        self.push(b"\"");
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.few.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.many.is_empty() {
            self.many.reserve(4 * self.few.len());
            self.many.extend(self.few.iter().take(self.length));
            self.length = self.few.len();
        }
        self.many.extend_from_slice(bytes);
    }
}

/// Lets numbers write themselves.
struct Writer<'a>(&'a mut JsonObject);

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text.as_bytes());
        Ok(())
    }
}

pub(crate) fn microseconds(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

/// `2026-11-23T09:08:07.006Z` (RFC 3339 section 5.6). Its years have four digits. A time outside 1970
/// to 9999 is written as the nearest time inside.
pub(crate) fn rfc3339(time: SystemTime) -> [u8; 24] {
    const LAST: u64 = 253_402_300_799;

    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().min(LAST);
    let (year, month, day) = calendar::date(seconds / 86_400);
    let of_day = seconds % 86_400;
    let [y0, y1, y2, y3] = digits(year);
    let [m0, m1] = digits(month);
    let [d0, d1] = digits(day);
    let [h0, h1] = digits(of_day / 3_600);
    let [i0, i1] = digits(of_day / 60 % 60);
    let [s0, s1] = digits(of_day % 60);
    let [f0, f1, f2] = digits(since.subsec_millis().into());
    [
        y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', i0, i1, b':', s0, s1, b'.',
        f0, f1, f2, b'Z',
    ]
}

/// The last digits of `value`.
fn digits<const N: usize>(value: u64) -> [u8; N] {
    let mut digits = [0; N];
    write_digits(&mut digits, value);
    digits
}

/// Fills `digits` with the last ones of `value`.
#[inline]
fn write_digits(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Whether the text needs no escapes: printable ASCII without quote and backslash.
fn is_plain(text: &str) -> bool {
    let text = text.as_bytes();
    let chunks = is_plain_by::<16>(text).or_else(|| is_plain_by::<8>(text));
    chunks.unwrap_or_else(|| text.iter().all(|byte| escapes(*byte) == 0))
}

/// Looks at chunks of `N` bytes. Returns `None` for a shorter text.
#[inline]
fn is_plain_by<const N: usize>(text: &[u8]) -> Option<bool> {
    // The last bytes may overlap the chunks before them.
    let last = text.last_chunk::<N>()?;
    let (chunks, _) = text.as_chunks::<N>();
    Some(chunks.iter().chain([last]).all(|chunk| {
        // Without an early exit, which the compiler vectorises.
        chunk.iter().fold(0, |any, byte| any | escapes(*byte)) == 0
    }))
}

/// Returns 1 for a byte that is escaped or belongs to a character that may be, else 0.
const fn escapes(byte: u8) -> u8 {
    // One comparison for both ends of printable ASCII.
    (byte.wrapping_sub(b' ') > b'~' - b' ') as u8 | (byte == b'"') as u8 | (byte == b'\\') as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn object(write: impl FnOnce(&mut JsonObject)) -> String {
        let mut object = JsonObject::default();
        let start = object.open();
        write(&mut object);
        object.close(start);
        String::from_utf8(object.written().to_vec()).unwrap()
    }

    #[test]
    fn members_are_separated_by_commas_at_each_level() {
        let written = object(|object| {
            object.push(member_name!("a"));
            let start = object.open();
            object.text(member_name!("b"), None);
            object.number(member_name!("c"), Some(1_u64));
            object.number(member_name!("d"), None::<u64>);
            object.text(member_name!("e"), Some(""));
            object.close(start);
            object.push(member_name!("f"));
            let start = object.open();
            object.close(start);
            object.plain(member_name!("g"), Some("h"));
        });
        assert_eq!(written, r#"{"a":{"c":1,"e":""},"f":{},"g":"h"}"#);
    }

    #[test]
    fn what_is_unprintable_is_never_raw() {
        let hostile = "\u{202e}\u{2066}\u{feff}\u{e0041}";
        assert_eq!(
            object(|object| object.text(member_name!("a"), Some(hostile))),
            r#"{"a":"\u202e\u2066\ufeff\udb40\udc41"}"#
        );
        let hostile = "\u{0}\u{8}\t\n\r\u{1b}[2J\u{7f}\u{85}\u{9b}\u{9f}\u{2028}\u{2029}\"\\é😀";
        assert_eq!(
            object(|object| object.text(member_name!("a"), Some(hostile))),
            r#"{"a":"\u0000\u0008\u0009\u000a\u000d\u001b[2J\u007f\u0085\u009b\u009f\u2028\u2029\"\\é😀"}"#
        );
    }

    #[test]
    fn a_byte_that_needs_an_escape_is_found_at_each_place() {
        for length in 0..70 {
            let plain = "x".repeat(length);
            assert!(is_plain(&plain));
            for at in 0..length {
                for odd in ["\"", "\\", "\u{1f}", "\u{7f}", "\u{80}", "\u{ff}"] {
                    let text = format!("{}{odd}{}", &plain[..at], &plain[at + 1..]);
                    assert!(!is_plain(&text), "{text:?}");
                }
            }
        }
        assert!((b' '..=b'~').all(|byte| (escapes(byte) == 1) == matches!(byte, b'"' | b'\\')));
    }

    #[test]
    fn numbers_of_any_size_are_written() {
        for number in [0, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            let written = object(|object| object.number(member_name!("a"), Some(number)));
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

    proptest! {
        #[test]
        fn any_string_is_read_back(
            // As long as the stack's part, and longer.
            value in prop_oneof![any::<String>(), "\\PC{300}", "[a\n]{1000,1100}"],
            number in any::<u64>(),
        ) {
            let written = object(|object| {
                object.text(member_name!("text"), Some(&value));
                object.number(member_name!("number"), Some(number));
            });
            prop_assert!(!written.chars().any(is_unprintable));
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, json!({ "text": value, "number": number }));
        }
    }
}
