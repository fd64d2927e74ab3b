use std::{cmp::Ordering, ops::RangeInclusive};

use crate::{
    generation::{compare, violation},
    payload::{EditError, Edits, Literal, Pointer},
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
