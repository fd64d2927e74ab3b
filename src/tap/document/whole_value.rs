//! Reads numbers and literals that lie whole in one chunk.

/// Returns the digits at the start of `text` that are a whole number, and the bytes after them.
///
/// Returns `None` for any other number, one with a leading zero, and one that may go on in the next
/// chunk.
#[inline]
pub(super) fn whole_number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    let whole = match digits {
        [] | [b'0', _, ..] => false,
        _ => !matches!(rest, [b'.' | b'e' | b'E', ..]),
    };
    whole.then_some((digits, rest))
}

/// Returns the bytes after the `true`, `false` or `null` at the start of `text`.
pub(super) const fn after_literal(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'n', b'u', b'l', b'l', rest @ ..]
        | [b't', b'r', b'u', b'e', rest @ ..]
        | [b'f', b'a', b'l', b's', b'e', rest @ ..] => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_read() {
        assert_eq!(whole_number(b"0,"), Some((&b"0"[..], &b","[..])));
        assert_eq!(whole_number(b"104}"), Some((&b"104"[..], &b"}"[..])));
        for other in ["", "1", "01,", "-1,", "1.0,", "1e3,", "1E3,", ",", "\""] {
            assert_eq!(whole_number(other.as_bytes()), None, "{other}");
        }
    }
}
