//! The hexadecimal digits of W3C Trace Context.

/// Returns whether all bytes are lowercase hexadecimal digits (section 3.2.1).
pub(super) fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'0')
}

/// Returns the value of two digits.
pub(super) fn byte(digits: &[u8]) -> Option<u8> {
    let &[high, low] = digits else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Writes each byte as two digits. Bytes without room are left out.
#[cfg(feature = "request-id")]
pub(super) fn write(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        for (place, value) in pair.iter_mut().zip([byte >> 4, byte & 0x0f]) {
            *place = DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
        }
    }
}
