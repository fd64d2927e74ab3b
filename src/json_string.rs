//! Finds the ends of strings in JSON.

use memchr::memchr2;

/// Splits `text` at the first quote, backslash or control character.
#[inline]
pub(crate) fn split_plain(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at_checked(plain_length(text)).unwrap_or((text, &[]))
}

/// Returns the number of bytes before the first quote, backslash or control character (RFC 8259
/// section 7).
#[inline]
pub(crate) fn plain_length(text: &[u8]) -> usize {
    // Most names and words end here, and no other is worth a call of `memchr2`.
    let mut length = 0_usize;
    let mut rest = text;
    while length < 32
        && let Some((near, tail)) = rest.split_first_chunk()
    {
        let plain = plain_of_sixteen(near);
        length = length.wrapping_add(plain);
        if plain < 16 {
            return length;
        }
        rest = tail;
    }
    length.wrapping_add(long_plain_length(rest))
}

#[inline(never)]
fn long_plain_length(text: &[u8]) -> usize {
    if text.len() < 16 {
        return position_of_end(text);
    }
    let length = memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let plain = text.get(..length).unwrap_or_default();
    // A fold lets the compiler compare many bytes at once.
    let least = plain.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    if least < b' ' { position_of_end(plain) } else { length }
}

fn position_of_end(text: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    text.iter().position(ends).unwrap_or(text.len())
}

/// Returns the number of plain bytes at the start of sixteen.
#[inline(always)]
fn plain_of_sixteen(bytes: &[u8; 16]) -> usize {
    let Some((first, second)) = bytes.split_first_chunk() else { return 0 };
    let plain = leading_plain(u64::from_le_bytes(*first));
    if plain < 8 {
        return plain;
    }
    let second = second.first_chunk().copied().unwrap_or_default();
    leading_plain(u64::from_le_bytes(second)).wrapping_add(8)
}

/// Returns the number of plain bytes at the start of eight. The lowest byte is the first.
#[inline(always)]
const fn leading_plain(bytes: u64) -> usize {
    // With the second bit flipped, a quote is 0x20 and the control characters stay below it.
    let quote_or_control = bytes ^ each(2);
    let backslash = bytes ^ each(b'\\');
    // The high bit of a byte tells that the byte is one of the three. A borrow may set that of a
    // later byte only. A byte beyond ASCII is none of them.
    let ends = quote_or_control.wrapping_sub(each(0x21)) | backslash.wrapping_sub(each(1));
    ((ends & !bytes & each(0x80)).trailing_zeros() / 8) as usize
}

/// Returns eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_at_each_place_is_plain_or_ends_the_string() {
        for length in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100] {
            for (place, byte) in
                (0..length).flat_map(|place| (0..=u8::MAX).map(move |b| (place, b)))
            {
                let mut text = vec![b'a'; length];
                text[place] = byte;
                let ends = byte < b' ' || byte == b'"' || byte == b'\\';
                assert_eq!(plain_length(&text), if ends { place } else { length }, "{byte}");
                assert_eq!(split_plain(&text), text.split_at(if ends { place } else { length }));
            }
        }
    }

    #[test]
    fn first_of_several_ends_counts() {
        let ends = [b'"', b'\\', b'\n'];
        for (first, second) in ends.iter().flat_map(|first| ends.map(|second| (*first, second))) {
            for (at, later) in (0..60).flat_map(|at| (at + 1..60).map(move |later| (at, later))) {
                let mut text = vec![0xe9; 60];
                (text[at], text[later]) = (first, second);
                assert_eq!(plain_length(&text), at);
            }
        }
    }
}
