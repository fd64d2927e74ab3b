use std::{cmp::Ordering, ops::RangeInclusive};

use crate::{
    generation::{compare, violation},
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Moves a number into a range.
#[derive(Clone, Debug)]
pub(crate) struct Clamp {
    pointer: Pointer,
    range: RangeInclusive<i64>,
    min: Literal,
    max: Literal,
}

impl Clamp {
    pub(crate) fn new(pointer: Pointer, range: RangeInclusive<i64>) -> Self {
        let (min, max) = (Literal::from(*range.start()), Literal::from(*range.end()));
        Self { pointer, range, min, max }
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        let Some(node) = edits.get(&self.pointer).map_err(EditError::rejection)? else {
            return Ok(());
        };
        let bound = match compare(node, &self.range) {
            None => return Err(violation(&self.pointer, "type", "must be a number")),
            Some(Ordering::Equal) => return Ok(()),
            Some(Ordering::Less) => &self.min,
            Some(Ordering::Greater) => &self.max,
        };
        edits.set(&self.pointer, bound).map_err(EditError::rejection)
    }
}
