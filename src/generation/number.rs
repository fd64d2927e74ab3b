use std::{cmp::Ordering, ops::RangeInclusive};

use crate::payload::Node;

/// Returns a number within the range of a limit, rounded up. `1e3` is such a number too.
pub(super) fn rounded_up(number: Node<'_>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 stops at the bounds"
    )]
    let rounded = || number.as_f64().map_or(u64::MAX, |number| number.ceil() as u64);
    number.as_u64().unwrap_or_else(rounded)
}

/// Compares a number with a range: less, within (equal) or greater. `None` for another kind of value.
///
/// An integer of any size is compared exactly. Another number is compared as the nearest `f64`, which
/// is infinite for `1e400`.
pub(crate) fn compare(node: Node<'_>, range: &RangeInclusive<i64>) -> Option<Ordering> {
    let digits = node.number()?;
    if let Some(integer) = node.as_i64() {
        return Some(position(integer, *range.start(), *range.end()));
    }
    if digits.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) {
        // Beyond 64 bits.
        return Some(if digits.starts_with('-') { Ordering::Less } else { Ordering::Greater });
    }
    let number: f64 = digits.parse().ok()?;
    Some(position(number, *range.start() as f64, *range.end() as f64))
}

fn position<N: PartialOrd>(number: N, min: N, max: N) -> Ordering {
    if number > max {
        Ordering::Greater
    } else if number < min {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}
