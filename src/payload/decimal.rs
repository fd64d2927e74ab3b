/// A number as `digits × 10^exponent`, with neither leading nor trailing zeros among the digits.
/// Equal numbers are equal here, however they were written.
#[derive(Clone, Copy)]
pub(crate) struct Decimal<'a> {
    pub(crate) negative: bool,
    /// The digits before the point, and those after it.
    pub(crate) digits: (&'a [u8], &'a [u8]),
    /// An exponent beyond the range of `i128` is taken for its end.
    pub(crate) exponent: i128,
}

impl<'a> Decimal<'a> {
    /// The number that this text of JSON is.
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
            // Zero has no sign and no size.
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
        // By groups of 19, which 64 bits hold.
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
