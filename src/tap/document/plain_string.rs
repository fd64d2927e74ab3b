use memchr::memchr2;

/// Returns the string at the start of `text` and the bytes after its closing quote.
///
/// Returns `None` for a string that has an escape or a control character and for one that does not end.
pub(super) fn plain_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.split_at_checked(plain_length(text)) {
        Some((string, [b'"', rest @ ..])) => Some((string, rest)),
        _ => None,
    }
}

/// Returns the number of bytes before the first quote, backslash or control character (RFC 8259
/// section 7).
pub(super) fn plain_length(text: &[u8]) -> usize {
    let Some((eight, rest)) = text.split_first_chunk() else { return position_of_end(text) };
    // Most names and words end here.
    match leading_plain(u64::from_le_bytes(*eight)) {
        8 => plain_length_of_rest(rest).saturating_add(8),
        length => length,
    }
}

#[inline(never)]
fn plain_length_of_rest(text: &[u8]) -> usize {
    let mut rest = text;
    // Most other names are shorter than a call of `memchr2` is worth.
    while text.len().saturating_sub(rest.len()) < 24 {
        let Some((eight, tail)) = rest.split_first_chunk() else { break };
        let length = leading_plain(u64::from_le_bytes(*eight));
        if length < 8 {
            return text.len().saturating_sub(rest.len()).saturating_add(length);
        }
        rest = tail;
    }
    let length = if rest.len() < 8 { position_of_end(rest) } else { long_plain_length(rest) };
    text.len().saturating_sub(rest.len()).saturating_add(length)
}

fn long_plain_length(text: &[u8]) -> usize {
    let length = memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let plain = text.get(..length).unwrap_or_default();
    // A fold instead of `any` lets the compiler compare many bytes at once.
    let control = plain.iter().fold(false, |control, byte| control | (*byte < b' '));
    if control { position_of_end(plain) } else { length }
}

fn position_of_end(text: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    text.iter().position(ends).unwrap_or(text.len())
}

/// Returns the number of plain bytes at the start of eight. The lowest byte is the first.
const fn leading_plain(bytes: u64) -> usize {
    const HIGH_BITS: u64 = each(0x80);
    let low_bits = bytes & !HIGH_BITS;
    let quote = (bytes ^ each(b'"')) & !HIGH_BITS;
    let backslash = (bytes ^ each(b'\\')) & !HIGH_BITS;
    // Each sum stays within its byte. Its high bit tells that the byte is none of the three.
    let others = low_bits.wrapping_add(each(0x80 - b' '))
        & quote.wrapping_add(each(0x7f))
        & backslash.wrapping_add(each(0x7f));
    ((!(others | bytes) & HIGH_BITS).trailing_zeros() / 8) as usize
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
        for length in [1, 7, 8, 9, 31, 32, 33, 40, 41, 100] {
            for (place, byte) in
                (0..length).flat_map(|place| (0..=u8::MAX).map(move |b| (place, b)))
            {
                let mut text = vec![b'a'; length];
                text[place] = byte;
                let ends = byte < b' ' || byte == b'"' || byte == b'\\';
                assert_eq!(plain_length(&text), if ends { place } else { length }, "{byte}");
                let string = (byte == b'"').then(|| (&text[..place], &text[place + 1..]));
                assert_eq!(plain_string(&text), string);
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
