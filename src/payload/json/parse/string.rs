use std::{borrow::Cow, iter};

use super::slot::ValueSlot;

/// Returns the original text between the quotes of a string.
pub(crate) fn contents<'a>(text: &'a str, string: &ValueSlot) -> &'a str {
    let (start, end) = (string.start as usize + 1, (string.end as usize).saturating_sub(1));
    text.get(start..end).unwrap_or_default()
}

/// Returns the bytes of [`contents`] without a look at the borders of characters.
pub(crate) fn between_quotes<'a>(text: &'a str, string: &ValueSlot) -> &'a [u8] {
    let (start, end) = (string.start as usize + 1, (string.end as usize).saturating_sub(1));
    text.as_bytes().get(start..end).unwrap_or_default()
}

/// Decodes a string. The parser has checked its escapes.
pub(crate) fn unescape(written: &str) -> Cow<'_, str> {
    let Some(first) = written.find('\\') else { return Cow::Borrowed(written) };
    let (plain, mut rest) = written.split_at(first);
    count_work(written.len());
    let mut text = String::with_capacity(written.len());
    text.push_str(plain);
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (char, length) = decode(escape).unwrap_or((char::REPLACEMENT_CHARACTER, escape.len()));
        text.push(char);
        rest = escape.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns the decoded characters of a string. Allocates nothing.
pub(crate) fn characters(written: &str) -> impl Iterator<Item = char> {
    let mut rest = written.chars();
    iter::from_fn(move || {
        let char = rest.next()?;
        if char != '\\' {
            return Some(char);
        }
        let escape = rest.as_str();
        let (char, length) = decode(escape).unwrap_or((char::REPLACEMENT_CHARACTER, escape.len()));
        rest = escape.get(length..).unwrap_or_default().chars();
        Some(char)
    })
}

#[cfg(test)]
thread_local! {
    static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts the bytes of names that are decoded, hashed or compared. Tests limit this count.
#[cfg(test)]
pub(crate) fn count_work(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

#[cfg(not(test))]
pub(crate) const fn count_work(_bytes: usize) {}

/// Returns the bytes counted on this thread.
#[cfg(test)]
pub(crate) fn work() -> usize {
    WORK.get()
}

/// Returns the character of an escape and the length of the escape without its backslash.
fn decode(escape: &str) -> Option<(char, usize)> {
    let char = match escape.bytes().next()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let unit = |from| u32::from_str_radix(escape.get(from..from + 4)?, 16).ok();
            let high = unit(1)?;
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, 5));
            }
            // `uXXXX\uXXXX` (RFC 8259 section 7).
            let low = unit(7)?;
            let code = 0x1_0000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?;
            return Some((char::from_u32(code)?, 11));
        }
        other => char::from(other),
    };
    Some((char, 1))
}
