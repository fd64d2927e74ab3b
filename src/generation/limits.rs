use std::{cmp::Ordering, ops::RangeInclusive, sync::Arc};

use super::violation;
use crate::{
    payload::{EditError, Edits, Literal, Node, Pointer},
    rejection::Rejection,
};

/// Limits the tokens that are generated.
#[derive(Clone, Debug)]
pub(crate) struct OutputTokens {
    range: RangeInclusive<i64>,
    most: Literal,
    tokens: u64,
    names: Arc<Names>,
}

#[derive(Debug)]
struct Names {
    forms: [Form; 3],
    /// Limited where they are there, and no more: a form whose own name is missing gets it beside.
    others: Vec<Group>,
}

/// A form that bodies have.
#[derive(Debug)]
struct Form {
    /// What its bodies hold one of.
    marks: Vec<Pointer>,
    /// What limits it. The first is put where all are missing.
    limits: Vec<Pointer>,
}

/// Names inside an object.
#[derive(Debug)]
struct Group {
    around: Pointer,
    limits: Vec<Pointer>,
}

impl OutputTokens {
    pub(crate) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            range: 1..=i64::from(most),
            most: Literal::from(most),
            tokens: u64::from(most),
            names: Arc::new(Names::new()),
        }
    }

    /// The same names, held to nothing: what is said stands, and `otherwise` is put where nothing is.
    #[cfg(feature = "throttle")]
    pub(crate) fn missing(otherwise: u32) -> Self {
        Self { range: 1..=i64::MAX, ..Self::new(otherwise) }
    }

    /// Gives the greatest number of tokens that any of the names now lets the upstream generate.
    /// Where all are missing, ours is put if `put` says so.
    pub(crate) fn apply<'a>(&'a self, edits: &mut Edits<'a>, put: bool) -> Result<u64, Rejection> {
        let mut greatest = 0;
        for group in &self.names.others {
            if is_there(edits, &group.around)? {
                for limit in &group.limits {
                    greatest = self.limit(limit, edits)?.max(Some(greatest)).unwrap_or_default();
                }
            }
        }
        let mut marked = false;
        // The last is what a body without any mark is taken for.
        for (left, form) in (0..self.names.forms.len()).rev().zip(&self.names.forms) {
            let mut limited = false;
            for limit in &form.limits {
                let said = self.limit(limit, edits)?;
                limited |= said.is_some();
                greatest = said.max(Some(greatest)).unwrap_or_default();
            }
            let mut meant = false;
            for mark in &form.marks {
                meant |= is_there(edits, mark)?;
            }
            marked |= meant;
            meant |= left == 0 && !marked;
            if let Some(first) = form.limits.first().filter(|_| meant && !limited) {
                if put {
                    edits.set(first, &self.most).map_err(EditError::rejection)?;
                }
                greatest = greatest.max(self.tokens);
            }
        }
        Ok(greatest)
    }

    /// The limit where there is one, held to ours.
    fn limit<'a>(
        &'a self,
        at: &'a Pointer,
        edits: &mut Edits<'a>,
    ) -> Result<Option<u64>, Rejection> {
        let Some(node) = edits.get(at).map_err(EditError::rejection)? else { return Ok(None) };
        match compare(node, &self.range) {
            Some(Ordering::Equal) => Ok(Some(whole(node))),
            Some(Ordering::Greater) => {
                edits.set(at, &self.most).map_err(EditError::rejection)?;
                Ok(Some(self.tokens))
            }
            Some(Ordering::Less) => Err(violation(at, "minimum", "must be at least 1")),
            None => Err(violation(at, "type", "must be a number")),
        }
    }
}

/// A number within a range, rounded up: `1e3` is one too.
fn whole(number: Node<'_>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 stops at the bounds"
    )]
    let rounded = || number.as_f64().map_or(u64::MAX, |number| number.ceil() as u64);
    number.as_u64().unwrap_or_else(rounded)
}

fn is_there(edits: &mut Edits<'_>, pointer: &Pointer) -> Result<bool, Rejection> {
    edits.get(pointer).map(|node| node.is_some()).map_err(EditError::rejection)
}

impl Names {
    fn new() -> Self {
        let form = |marks: &[&str], limits: &[&[&str]]| Form {
            marks: marks.iter().map(|mark| Pointer::new([mark])).collect(),
            limits: limits.iter().map(|limit| Pointer::new(*limit)).collect(),
        };
        let group = |around: &[&str], limits: &[&str]| Group {
            around: Pointer::new(around),
            limits: limits.iter().map(|last| Pointer::new(around.iter().chain([last]))).collect(),
        };
        let lengths = ["max_new_tokens", "max_length"];
        Self {
            forms: [
                form(&["inputs"], &[&["parameters", "max_new_tokens"]]),
                form(&["input"], &[&["max_output_tokens"]]),
                form(&["messages", "prompt"], &[&["max_tokens"], &["max_completion_tokens"]]),
            ],
            others: vec![
                group(&[], &["max_new_tokens", "n_predict"]),
                group(&["sampling_params"], &["max_new_tokens"]),
                group(&["parameters"], &["max_tokens", "max_length"]),
                group(&["parameters", "generation_parameters"], &lengths),
                group(&["parameters", "generate_parameters"], &lengths),
            ],
        }
    }
}

/// Where a number lies: below, within or above a range. `None` for other kinds.
///
/// An integer is compared exactly, whatever its size; another number by the nearest `f64`, which
/// is infinite for `1e400`.
pub(crate) fn compare(node: Node<'_>, range: &RangeInclusive<i64>) -> Option<Ordering> {
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
