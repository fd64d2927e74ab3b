use std::borrow::Cow;

use jsonschema::json::JsonNumber;
use serde_json::Number;

use crate::payload::{Decimal, Node};

/// A number as it was written.
///
/// What `serde_json` holds exactly is judged as it would be there. What it would round is judged as
/// written where digits decide (`type: integer`, `multipleOf` a whole number, `uniqueItems`), and
/// by the nearest `f64` where sizes are compared. What is beyond any `f64`, such as `1e400`, is
/// larger, or smaller, than every bound.
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

    /// `multipleOf` alone reads it, for numbers of 2^53 and more, and understands no exponents.
    fn as_str(&self) -> Cow<'_, str> {
        if self.whole || !self.text.contains(['e', 'E']) {
            return Cow::Borrowed(self.text);
        }
        let decimal = self.decimal();
        if decimal.exponent < 0 {
            return Cow::Borrowed(self.text);
        }
        // A divisor of at most 2^53 has at most 53 factors of two or of five. From as many zeros on,
        // more change nothing in what it divides.
        let zeros = std::iter::repeat_n('0', decimal.exponent.min(53) as usize);
        let sign = decimal.negative.then_some('-').into_iter();
        Cow::Owned(sign.chain(decimal.digits().map(char::from)).chain(zeros).collect())
    }

    /// Nobody asks for it, as there are no annotations of numbers.
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
        // 2^63. Where a writer of JSON goes over to exponents, they are integers all the same.
        const LARGE: f64 = 9_223_372_036_854_775_808.0;
        self.whole
            || (self.as_f64().is_none_or(|number| number.abs() >= LARGE) && self.is_integer())
    }
}

/// A number of at most 15 digits and no exponent, as most are.
///
/// Its digits, as an integer, and the power of ten that they are divided by are whole in an `f64`,
/// so that the division rounds once, as reading all at once would: Clinger, "How to read floating
/// point numbers accurately".
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
    // Sixteen digits and no point may be more than an `f64` holds.
    let is_whole = is_fraction || digits.len() <= LONGEST;
    is_whole.then_some(if digits.len() == text.len() { number } else { -number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn short_numbers_are_read_as_all_are(text in "-?(0|[1-9][0-9]{0,16})([.][0-9]{1,16})?") {
            if let Some(number) = short(&text) {
                prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits());
            } else {
                prop_assert!(text.len() > 15);
            }
        }
    }
}
