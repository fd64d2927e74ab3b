/// Returns the number of bytes before the first quote, backslash or control character.
#[inline]
pub(crate) fn ordinary(bytes: &[u8]) -> usize {
    // Most names and many values end in the first words.
    let (near, _) = bytes.as_chunks::<8>();
    for (index, word) in near.iter().take(NEAR / 8).enumerate() {
        if let Some(within) = special(word) {
            return index * 8 + within;
        }
    }
    ordinary_from(bytes, near.len().min(NEAR / 8) * 8)
}

/// Bytes that are searched by words before whole blocks.
const NEAR: usize = 32;

/// Returns the same number for bytes of which the first `at` are ordinary.
fn ordinary_from(bytes: &[u8], mut at: usize) -> usize {
    // The compiler vectorizes whole blocks. Words follow.
    let (blocks, _) = bytes.get(at..).unwrap_or_default().as_chunks::<16>();
    let plain =
        |block: &&[u8; 16]| !block.iter().fold(false, |found, byte| found | is_special(*byte));
    at += 16 * blocks.iter().take_while(plain).count();

    let rest = bytes.get(at..).unwrap_or_default();
    let (words, _) = rest.as_chunks::<8>();
    for word in words {
        if let Some(index) = special(word) {
            return at + index;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Returns the position of the first quote, backslash or control character in a word.
fn special(word: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;

    // Subtraction borrows only out of a byte that is special. The lowest mark is therefore always
    // right and only the lowest is used.
    let word = u64::from_le_bytes(*word);
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let marks = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    let marks = marks & HIGH;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_special_byte_is_found_at_each_position() {
        for length in 0..100 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(ordinary(&bytes), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0x1f, 0] {
                    bytes[at] = special;
                    assert_eq!(ordinary(&bytes), at, "{length}");
                    // Bytes beyond ASCII are ordinary.
                    bytes[at] = 0xff;
                    assert_eq!(ordinary(&bytes), length);
                }
            }
        }
    }
}
