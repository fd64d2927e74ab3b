use std::{cmp::Ordering, ops::RangeInclusive};

use super::violation;
use crate::{
    payload::{EditError, Edits, Literal, Node, Pointer},
    rejection::Rejection,
};

/// Holds a number within a range.
#[derive(Clone, Debug)]
pub(in crate::transform) struct Clamp {
    pointer: Pointer,
    range: RangeInclusive<i64>,
    least: Literal,
    greatest: Literal,
}

impl Clamp {
    pub(super) fn new(pointer: Pointer, range: RangeInclusive<i64>) -> Self {
        let (least, greatest) = (Literal::from(*range.start()), Literal::from(*range.end()));
        Self { pointer, range, least, greatest }
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        let Some(node) = edits.get(&self.pointer).map_err(EditError::rejection)? else {
            return Ok(());
        };
        let bound = match compare(node, &self.range) {
            None => return Err(violation(&self.pointer, "type", "must be a number")),
            Some(Ordering::Equal) => return Ok(()),
            Some(Ordering::Less) => &self.least,
            Some(Ordering::Greater) => &self.greatest,
        };
        edits.set(&self.pointer, bound).map_err(EditError::rejection)
    }
}

/// Where a number lies: below, within or above a range. `None` for other kinds.
///
/// An integer is compared exactly, whatever its size; another number by the nearest `f64`, which
/// is infinite for `1e400`.
pub(super) fn compare(node: Node<'_>, range: &RangeInclusive<i64>) -> Option<Ordering> {
    let digits = node.number()?;
    if let Some(integer) = node.as_i64() {
        return Some(outside(integer, *range.start(), *range.end()));
    }
    if digits.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) {
        // Beyond 64 bits.
        return Some(if digits.starts_with('-') { Ordering::Less } else { Ordering::Greater });
    }
    let number: f64 = digits.parse().ok()?;
    Some(outside(number, *range.start() as f64, *range.end() as f64))
}

fn outside<N: PartialOrd>(number: N, least: N, greatest: N) -> Ordering {
    if number > greatest {
        Ordering::Greater
    } else if number < least {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}
