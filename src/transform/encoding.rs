//! Percent-encoding (RFC 3986 section 2.1).

use std::{borrow::Cow, fmt::Write as _};

use memchr::memchr;

/// Encodes all but the unreserved characters (section 2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _infallible = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// What a text says once each `%XX` is a byte. What is no such triplet stands for itself.
pub(super) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(at) = memchr(b'%', text) else { return Cow::Borrowed(text) };
    let (plain, mut rest) = text.split_at_checked(at).unwrap_or((text, &[]));
    let mut decoded = plain.to_vec();
    while let Some((&first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
        decoded.push(byte.map_or(first, |(high, low)| high << 4 | low));
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
