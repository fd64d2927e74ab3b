//! The checksum of generated keys: CRC-32 in base 62, as GitHub's tokens have it.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digits of a checksum. 62 to the power of 6 is above 2 to the power of 32.
pub(super) const CHECKSUM_DIGITS: usize = 6;

/// Returns the digit of a random byte. `None` for the bytes that would make some digits more likely.
pub(super) fn random_digit(byte: u8) -> Option<char> {
    let digit = usize::from(byte) % DIGITS.len();
    let unbiased = usize::from(byte) < 256 / DIGITS.len() * DIGITS.len();
    DIGITS.get(digit).filter(|_| unbiased).map(|digit| char::from(*digit))
}

/// Returns the checksum of `text`, the most significant digit first.
pub(super) fn checksum(text: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut rest = crc32(text) as usize;
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get(rest % DIGITS.len()).copied().unwrap_or(b'0');
        rest /= DIGITS.len();
    }
    digits
}

/// The CRC of zip, gzip and Ethernet (ITU-T V.42): reflected, with the polynomial 0x04C11DB7.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn checksum_has_leading_zeros() {
        assert_eq!(&checksum(b""), b"000000");
        // 0xcbf43926 in base 62.
        let value = checksum(b"123456789").iter().fold(0, |value, digit| {
            value * 62 + DIGITS.iter().position(|one| one == digit).unwrap() as u64
        });
        assert_eq!(value, 0xcbf4_3926);
    }

    #[test]
    fn each_digit_is_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for digit in (0..=u8::MAX).filter_map(random_digit) {
            *counts.entry(digit).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| *count == 4));
    }
}
