use std::{cmp::Ordering, ops::RangeInclusive, sync::Arc};

use super::{clamp::compare, violation};
use crate::{
    payload::{EditError, Edits, Literal, Pointer},
    rejection::Rejection,
};

/// Limits the tokens that are generated.
#[derive(Clone, Debug)]
pub(in crate::transform) struct OutputTokens {
    range: RangeInclusive<i64>,
    most: Literal,
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
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            range: 1..=i64::from(most),
            most: Literal::from(most),
            names: Arc::new(Names::new()),
        }
    }

    pub(super) fn apply<'a>(&'a self, edits: &mut Edits<'a>) -> Result<(), Rejection> {
        for group in &self.names.others {
            if is_there(edits, &group.around)? {
                for limit in &group.limits {
                    self.limit(limit, edits)?;
                }
            }
        }
        let mut marked = false;
        // The last is what a body without any mark is taken for.
        for (left, form) in (0..self.names.forms.len()).rev().zip(&self.names.forms) {
            let mut limited = false;
            for limit in &form.limits {
                limited |= self.limit(limit, edits)?;
            }
            let mut meant = false;
            for mark in &form.marks {
                meant |= is_there(edits, mark)?;
            }
            marked |= meant;
            meant |= left == 0 && !marked;
            if let Some(first) = form.limits.first().filter(|_| meant && !limited) {
                edits.set(first, &self.most).map_err(EditError::rejection)?;
            }
        }
        Ok(())
    }

    /// True where there is a limit, which is held to ours.
    fn limit<'a>(&'a self, at: &'a Pointer, edits: &mut Edits<'a>) -> Result<bool, Rejection> {
        let Some(node) = edits.get(at).map_err(EditError::rejection)? else { return Ok(false) };
        match compare(node, &self.range) {
            Some(Ordering::Equal) => Ok(true),
            Some(Ordering::Greater) => {
                edits.set(at, &self.most).map(|()| true).map_err(EditError::rejection)
            }
            Some(Ordering::Less) => Err(violation(at, "minimum", "must be at least 1")),
            None => Err(violation(at, "type", "must be a number")),
        }
    }
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
