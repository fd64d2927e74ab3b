pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// Decodes the first character of `text` and returns its length there. Returns `None` if more bytes
/// may belong to it, and at the end of the text.
///
/// The escapes are those of percent-encoding (RFC 3986 section 2.1) and of JSON (RFC 8259 section 7).
pub(super) fn first_character(text: &[u8], escape: u8, is_end: bool) -> Option<(u8, usize)> {
    let (first, rest) = text.split_first()?;
    if *first != escape {
        return Some((*first, 1));
    }
    let hex = |digits: &[u8], prefix: usize, length: usize| {
        let digits = digits.get(..length.min(digits.len())).unwrap_or_default();
        if !digits.iter().all(u8::is_ascii_hexdigit) || is_end && digits.len() < length {
            return Some((escape, 1));
        }
        // A secret is ASCII. Any byte beyond ASCII serves for other characters.
        let byte = || u8::try_from(number(digits)).unwrap_or(u8::MAX);
        (digits.len() == length).then(|| (byte(), prefix + length))
    };
    match (escape, rest) {
        (b'%', digits) => hex(digits, 1, 2),
        (_, []) => is_end.then_some((escape, 1)),
        (_, [b'x', digits @ ..]) => hex(digits, 2, 2),
        (_, [b'u', digits @ ..]) => hex(digits, 2, 4),
        // An escaped letter is a control character.
        (_, [byte, ..]) if !byte.is_ascii_alphanumeric() => Some((*byte, 2)),
        _ => Some((escape, 1)),
    }
}

fn number(digits: &[u8]) -> u32 {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or_default();
    digits.iter().fold(0, |number, next| number << 4 | digit(next))
}
