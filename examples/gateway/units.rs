//! Parses sizes, times and counts with units.

use std::time::Duration;

const SIZES: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
const COUNTS: [(&str, u64); 3] = [("k", 1_000), ("M", 1_000_000), ("", 1)];
// The first suffix that fits is taken, so `ms` precedes `s`.
const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Parses `10MiB`, `512KiB`, `1GiB` or plain bytes. Rejects zero.
pub(crate) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES).filter(|bytes| *bytes > 0)
}

/// Parses `500ms`, `30s`, `5m` or `1h`. Accepts zero.
pub(crate) fn time(text: &str) -> Option<Duration> {
    scaled(text, &TIMES).map(Duration::from_millis)
}

/// Parses `250`, `100k` or `2M`. Rejects zero.
pub(crate) fn count(text: &str) -> Option<u32> {
    scaled(text, &COUNTS).filter(|count| *count > 0)?.try_into().ok()
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)))?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_carry_a_binary_unit() {
        assert_eq!(size("10MiB"), Some(10 * 1024 * 1024));
        assert_eq!(size("512KiB"), Some(512 * 1024));
        assert_eq!(size("1GiB"), Some(1 << 30));
        assert_eq!(size("4096"), Some(4096));
        for wrong in ["", "0", "MiB", "10MB", "-1", "+1", "1.5MiB", "10 MiB", "99999999999GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_carry_a_unit() {
        assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(time("30s"), Some(Duration::from_secs(30)));
        assert_eq!(time("5m"), Some(Duration::from_secs(300)));
        assert_eq!(time("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(time("0s"), Some(Duration::ZERO));
        for wrong in ["", "30", "s", "1d", "-1s", "1.5s", "30 s", "99999999999999999h"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn counts_may_carry_a_decimal_unit() {
        assert_eq!(count("250"), Some(250));
        assert_eq!(count("100k"), Some(100_000));
        assert_eq!(count("2M"), Some(2_000_000));
        for wrong in ["", "0", "k", "1K", "-1", "+1", "1.5k", "5000M"] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }
}
