//! Percent-encoding (RFC 3986 section 2.1).

use std::{borrow::Cow, fmt::Write as _};

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
pub(super) fn decode(text: &str) -> Cow<'_, [u8]> {
    let Some((plain, _)) = text.split_once('%') else { return Cow::Borrowed(text.as_bytes()) };
    let mut decoded = plain.as_bytes().to_vec();
    let mut rest = text.as_bytes().get(plain.len()..).unwrap_or_default();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, tail @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = tail;
                }
                _ => {
                    decoded.push(first);
                    rest = after;
                }
            },
            _ => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
