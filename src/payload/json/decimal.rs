/// A number as `digits × 10^exponent` without leading and trailing zeros among the digits. Equal
/// numbers are equal in this form.
#[derive(Clone, Copy)]
pub(crate) struct Decimal<'a> {
    pub(crate) negative: bool,
    /// The digits before and after the decimal point.
    pub(crate) digits: (&'a [u8], &'a [u8]),
    /// An exponent beyond `i128` is saturated.
    pub(crate) exponent: i128,
}

impl<'a> Decimal<'a> {
    /// Converts a JSON number.
    pub(crate) fn new(text: &'a str) -> Self {
        let negative = text.starts_with('-');
        let text = text.trim_start_matches('-');
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

        let fraction = fraction.trim_end_matches('0');
        let mut scale = -(fraction.len() as i128);
        let whole = whole.trim_start_matches('0');
        let (whole, fraction) = if fraction.is_empty() {
            let trimmed = whole.trim_end_matches('0');
            scale = (whole.len() - trimmed.len()) as i128;
            (trimmed, fraction)
        } else if whole.is_empty() {
            (whole, fraction.trim_start_matches('0'))
        } else {
            (whole, fraction)
        };
        if whole.is_empty() && fraction.is_empty() {
            // Zero has no sign and no exponent.
            return Self { negative: false, digits: (b"", b""), exponent: 0 };
        }
        let limit = if exponent.starts_with('-') { i128::MIN } else { i128::MAX };
        let exponent = exponent.parse().unwrap_or(limit).saturating_add(scale);
        Self { negative, digits: (whole.as_bytes(), fraction.as_bytes()), exponent }
    }

    pub(crate) fn digits(self) -> impl Iterator<Item = u8> + use<'a> {
        self.digits.0.iter().chain(self.digits.1).copied()
    }

    #[cfg(feature = "schema")]
    pub(crate) const fn is_integer(self) -> bool {
        self.exponent >= 0
    }

    /// Returns the integer if it fits. Reads at most 39 digits for any exponent.
    pub(crate) fn to_i128(self) -> Option<i128> {
        let ten = |sum: i128, digit: i128| sum.checked_mul(10)?.checked_add(digit);
        let mut digits = self.digits().map(|digit| i128::from(digit - b'0'));
        let digits = digits.try_fold(0, ten)?;
        // Zero has no exponent. The largest power of ten that fits is 10^38.
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 39)?;
        let size = std::iter::repeat_n(0, zeros).try_fold(digits, ten)?;
        Some(if self.negative { -size } else { size })
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        let length = |decimal: &Self| decimal.digits.0.len() + decimal.digits.1.len();
        (self.negative, self.exponent, length(self))
            == (other.negative, other.exponent, length(other))
            && self.digits().eq(other.digits())
    }
}

impl std::hash::Hash for Decimal<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.negative, self.exponent).hash(state);
        // 64 bits hold 19 digits.
        let (mut group, mut count) = (0_u64, 0_u32);
        for digit in self.digits() {
            group = group * 10 + u64::from(digit - b'0');
            count += 1;
            if count == 19 {
                state.write_u64(group);
                (group, count) = (0, 0);
            }
        }
        state.write_u64(group);
        state.write_u32(count);
    }
}

/// Reads a whole number outside of a document, such as a query parameter. Accepts the forms of JSON
/// and of Rust (`007`, `+7`).
#[cfg(any(feature = "throttle", feature = "transform"))]
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let written = || {
        // Checks the grammar only.
        let _number: serde_json::Number = text.parse().ok()?;
        u64::try_from(Decimal::new(text).to_i128()?).ok()
    };
    text.parse().ok().or_else(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_any_spelling() {
        let read = |text| Decimal::new(text).to_i128();
        for one in ["1", "1.0", "1e0", "1E+0", "1.000", "10e-1", "0.1e1", "100.00e-2", "0.001E3"] {
            assert_eq!(read(one), Some(1), "{one}");
        }
        for zero in ["0", "-0", "0.0", "0e9999999999999999999999999999999999999999", "-0.0e-5"] {
            assert_eq!(read(zero), Some(0), "{zero}");
        }
        assert_eq!(read("-2.56e2"), Some(-256));
        assert_eq!(read("18446744073709551615.0"), Some(u64::MAX.into()));
        let most = i128::MAX.to_string();
        assert_eq!(read(&most), Some(i128::MAX));
        for none in ["1.5", "1e-1", "1e39", "1e400", "1e99999999999999999999", "9e38"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
    #[test]
    fn whole_numbers_follow_rust_or_json() {
        for (text, number) in
            [("7", 7), ("+7", 7), ("007", 7), ("7.0", 7), ("7e0", 7), ("0.7E1", 7), ("70e-1", 7)]
        {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for other in
            ["", " 7", "7 ", "7.5", "-7", "-7.0", "7.", ".7e1", "07.0", "0x7", "1e20", "\u{ff17}"]
        {
            assert_eq!(whole_number(other), None, "{other}");
        }
    }
}
