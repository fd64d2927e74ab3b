use std::borrow::Cow;

use jsonschema::json::JsonNumber;
use serde_json::Number;

use crate::payload::{Decimal, Node};

/// A number in its original spelling.
///
/// Numbers that `serde_json` represents exactly are treated as it does. Others use their digits for
/// `type: integer`, `uniqueItems` and `multipleOf` with a whole number. They use the nearest `f64`
/// in comparisons. A number beyond `f64`, such as `1e400`, exceeds every bound.
#[derive(Clone, Copy)]
pub(crate) struct WrittenNumber<'a> {
    text: &'a str,
    whole: bool,
}

impl<'a> WrittenNumber<'a> {
    pub(crate) fn of(node: Node<'a>) -> Option<Self> {
        Some(Self { text: node.number()?, whole: node.is_written_as_integer() })
    }

    pub(crate) fn decimal(self) -> Decimal<'a> {
        Decimal::new(self.text)
    }
}

impl JsonNumber for WrittenNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.whole.then(|| self.text.parse().ok())?
    }

    fn as_i64(&self) -> Option<i64> {
        self.whole.then(|| self.text.parse().ok())?
    }

    fn as_f64(&self) -> Option<f64> {
        short(self.text)
            .or_else(|| self.text.parse().ok())
            .filter(|number: &f64| number.is_finite())
    }

    /// Only `multipleOf` reads this, for numbers of at least 2^53. It does not support exponents.
    fn as_str(&self) -> Cow<'_, str> {
        if self.whole || !self.text.contains(['e', 'E']) {
            return Cow::Borrowed(self.text);
        }
        let decimal = self.decimal();
        if decimal.exponent < 0 {
            return Cow::Borrowed(self.text);
        }
        // A divisor up to 2^53 has at most 53 factors of two or five. More zeros do not change
        // divisibility.
        let zeros = std::iter::repeat_n('0', decimal.exponent.min(53) as usize);
        let sign = decimal.negative.then_some('-').into_iter();
        Cow::Owned(sign.chain(decimal.digits().map(char::from)).chain(zeros).collect())
    }

    /// Never called, because numbers have no annotations.
    fn to_number(&self) -> Cow<'_, Number> {
        let number = self.text.parse::<Number>().ok();
        Cow::Owned(number.unwrap_or_else(|| Number::from(0)))
    }

    fn is_integer(&self) -> bool {
        if self.whole {
            return true;
        }
        if self.text.bytes().any(|byte| byte | 0x20 == b'e') {
            return self.decimal().is_integer();
        }
        self.text.trim_end_matches('0').ends_with('.')
    }

    fn is_written_as_integer(&self) -> bool {
        // 2^63. JSON writers use exponents for larger integers.
        const LARGE: f64 = 9_223_372_036_854_775_808.0;
        self.whole
            || (self.as_f64().is_none_or(|number| number.abs() >= LARGE) && self.is_integer())
    }
}

/// Parses a number with at most 15 digits and no exponent, which is the usual case.
///
/// An `f64` represents the digits and the power of ten exactly, so the division rounds once and the
/// result equals that of a full parser (Clinger, "How to read floating point numbers accurately").
fn short(text: &str) -> Option<f64> {
    const LONGEST: usize = 15;
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() > LONGEST + 1 {
        return None;
    }
    let (mut number, mut divisor, mut is_fraction) = (0_u64, 1_u64, false);
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + u64::from(byte - b'0');
                divisor *= if is_fraction { 10 } else { 1 };
            }
            b'.' => is_fraction = true,
            _ => return None,
        }
    }
    let number = number as f64 / divisor as f64;
    // Sixteen digits without a decimal point may exceed the precision of an `f64`.
    let is_whole = is_fraction || digits.len() <= LONGEST;
    is_whole.then_some(if digits.len() == text.len() { number } else { -number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_numbers_agree_with_the_full_parser(text in "-?(0|[1-9][0-9]{0,16})([.][0-9]{1,16})?") {
            if let Some(number) = short(&text) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits());
            } else {
                prop_assert!(text.len() > 15);
            }
        }
    }
}
