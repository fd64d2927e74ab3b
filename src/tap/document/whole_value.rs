//! Reads numbers and literals that lie whole in one chunk.

use super::literals::append_digit;

/// Returns the whole number at the start of `text`, at most `u64::MAX`, and the bytes after it.
///
/// Returns `None` for any other number, one with a leading zero, and one that may go on in the next
/// chunk.
#[inline]
pub(super) fn whole_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = match text {
        [b'0', rest @ ..] if !matches!(rest, [b'0'..=b'9', ..]) => (0, rest),
        [digit @ b'1'..=b'9', rest @ ..] => (u64::from(digit & 0x0f), rest),
        _ => return None,
    };
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        number = append_digit(number, *digit);
        rest = tail;
    }
    let whole = !matches!(rest, [] | [b'.' | b'e' | b'E', ..]);
    whole.then_some((number, rest))
}

/// Returns the bytes after the number at the start of `text` (RFC 8259 section 6).
///
/// Returns `None` for an invalid number and for one that may go on in the next chunk.
pub(super) fn after_number(text: &[u8]) -> Option<&[u8]> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match unsigned {
        [b'0', rest @ ..] => rest,
        _ => after_digits(unsigned)?,
    };
    if let [b'.', fraction @ ..] = rest {
        rest = after_digits(fraction)?;
    }
    if let [b'e' | b'E', power @ ..] = rest {
        rest = match power {
            [b'+' | b'-', digits @ ..] => after_digits(digits)?,
            _ => after_digits(power)?,
        };
    }
    // A digit or a point here would be a leading zero or a second point.
    let ends = !matches!(rest, [] | [b'0'..=b'9' | b'.' | b'e' | b'E', ..]);
    ends.then_some(rest)
}

/// Returns the bytes after at least one digit.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(digits..).filter(|_| digits > 0)
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
        assert_eq!(whole_number(b"0,"), Some((0, &b","[..])));
        assert_eq!(whole_number(b"104}"), Some((104, &b"}"[..])));
        assert_eq!(whole_number(b"18446744073709551616}"), Some((u64::MAX, &b"}"[..])));
        for other in ["", "1", "01,", "-1,", "1.0,", "1e3,", "1E3,", ",", "\""] {
            assert_eq!(whole_number(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn any_valid_number_is_passed() {
        for number in ["0", "-0", "7", "-12", "0.5", "-10.25", "1e3", "1E+3", "0e-9", "1.5e10"] {
            assert_eq!(after_number(format!("{number}]").as_bytes()), Some(&b"]"[..]), "{number}");
            // The number may go on.
            assert_eq!(after_number(number.as_bytes()), None, "{number}");
        }
        for other in ["", "-", "+1", "01", "-01", "1.", ".5", "1.e3", "1e", "1e+", "1.2.3", "1e5e"]
        {
            assert_eq!(after_number(format!("{other}]").as_bytes()), None, "{other}");
        }
    }
}
