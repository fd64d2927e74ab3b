/// Returns the character for an escape such as `\n` (RFC 8259 section 7).
pub(crate) const fn unescaped(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' | b'f' => b' ',
        other => other,
    }
}

/// Returns the UTF-16 code unit of the digits that follow `\u`.
pub(crate) fn code_unit(digits: &[u8]) -> u32 {
    digits.get(..4).unwrap_or_default().iter().fold(0, |code: u32, digit| {
        (code << 4) | char::from(*digit).to_digit(16).unwrap_or_default()
    })
}

/// Returns `number` with one more decimal digit, at most `u64::MAX`.
pub(crate) fn append_digit(number: u64, digit: u8) -> u64 {
    number.saturating_mul(10).saturating_add(u64::from(digit & 0x0f))
}
