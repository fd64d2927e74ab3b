//! One pass over the members of a request that say how much is generated.

use std::{cmp::Ordering, ops::RangeInclusive};

use smallvec::SmallVec;

use super::{
    names::{Known, Own, Role, known, own_limit},
    violation_at,
};
use crate::{
    model::{Form, Forms},
    payload::{Kind, Node},
    rejection::Rejection,
};

/// Where a member is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    around: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl<'a> Place<'a> {
    pub(super) const ROOT: Place<'static> = Place { around: None, step: Step::Root };

    pub(super) const fn member(&'a self, name: &'a str) -> Self {
        Self { around: Some(self), step: Step::Member(name) }
    }

    pub(super) const fn element(&'a self, index: usize) -> Self {
        Self { around: Some(self), step: Step::Element(index) }
    }

    /// The object of a request: the document's own, or that of an instance.
    const fn is_request(&self) -> bool {
        matches!(self.step, Step::Root | Step::Element(_))
    }

    /// How many names lead here from the object of the request.
    pub(super) fn depth(&self) -> usize {
        match self.around {
            Some(around) if !self.is_request() => 1 + around.depth(),
            _ => 0,
        }
    }

    pub(super) const fn name(&self) -> &'a str {
        match self.step {
            Step::Member(name) => name,
            Step::Root | Step::Element(_) => "",
        }
    }

    /// As a JSON pointer. The names are those of the table, which need no escapes.
    pub(super) fn pointer(&self) -> String {
        let around = self.around.map(Self::pointer).unwrap_or_default();
        match self.step {
            Step::Root => around,
            Step::Member(name) => format!("{around}/{name}"),
            Step::Element(index) => format!("{around}/{index}"),
        }
    }
}

/// What a request says of its output.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) marks: Forms,
    pub(super) has_parameters: bool,
    /// The limits that there are of those that forms have of their own.
    pub(super) own: Own,
    /// The greatest limit within the range.
    pub(super) greatest: Option<u64>,
    /// The numbers beyond the range.
    pub(super) excess: SmallVec<[u32; 4]>,
    /// How many answers for each prompt.
    pub(super) answers: u64,
    /// Where a number of answers is not one.
    pub(super) miscounted: Option<String>,
    pub(super) prompts: u64,
    pub(super) instances: Option<u32>,
    /// `parameters`, where it is no object.
    misshapen_parameters: bool,
    /// `sampling_params`, where it is no object.
    misshapen_sampling: bool,
}

impl Said {
    /// Reads the object of a request. Limits below the range, and those that are no numbers, are
    /// refused; so are names that differ from a known one in case only.
    pub(super) fn of(
        object: Node<'_>,
        at: &Place<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<Self, Rejection> {
        let mut said = Self {
            marks: Forms::NONE,
            has_parameters: false,
            own: Own::NONE,
            greatest: None,
            excess: SmallVec::new(),
            answers: 1,
            miscounted: None,
            prompts: 1,
            instances: None,
            misshapen_parameters: false,
            misshapen_sampling: false,
        };
        said.read(object, at, range)?;
        Ok(said)
    }

    fn read(
        &mut self,
        object: Node<'_>,
        at: &Place<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Rejection> {
        for (name, value) in object.members() {
            let Some(Known { name: own, role }) = known(&name) else { continue };
            let here = at.member(own);
            let matters = match role {
                Role::Limit | Role::Count | Role::Container => true,
                Role::Mark(_) | Role::Inputs => at.is_request(),
                Role::Holder => false,
            };
            if !matters {
                continue;
            }
            if *name != **own {
                return Err(twin(&here));
            }
            // `null` is a member that is not there.
            if value.is_null() {
                continue;
            }
            match role {
                Role::Limit => {
                    self.own.insert(own_limit(at, own));
                    match limit(value, &here, range)? {
                        Some(tokens) => self.greatest = self.greatest.max(Some(tokens)),
                        None => self.excess.push(value.index()),
                    }
                }
                Role::Count => match count(value) {
                    Some(count) => self.answers = self.answers.max(count),
                    None => self.miscounted = Some(here.pointer()),
                },
                Role::Container => {
                    self.has_parameters |= at.is_request() && *own == "parameters";
                    if value.kind() == Kind::Object {
                        // As deep as anybody nests them.
                        if at.depth() < 3 {
                            self.read(value, &here, range)?;
                        }
                    } else if at.is_request() {
                        self.misshapen_parameters |= *own == "parameters";
                        self.misshapen_sampling |= *own == "sampling_params";
                    }
                }
                Role::Mark(Form::Instances) => {
                    self.marks = self.marks.and(Form::Instances);
                    self.instances = Some(value.index());
                }
                Role::Mark(form) => {
                    self.marks = self.marks.and(*form);
                    if *form != Form::Chat {
                        self.prompts = self.prompts.max(prompts(value));
                    }
                }
                Role::Inputs => {
                    let object = value.kind() == Kind::Object;
                    self.marks = self.marks.and(if object { Form::Task } else { Form::Generate });
                    self.prompts = self.prompts.max(prompts(value));
                }
                Role::Holder => {}
            }
        }
        Ok(())
    }

    /// Refuses what a form reads as an object and is none: serde takes the elements of an array for
    /// the members of a struct.
    pub(super) fn check(&self, forms: Forms, at: &Place<'_>) -> Result<(), Rejection> {
        let parameters = forms.has(Form::Generate) || forms.has(Form::Task);
        let misshapen = if self.misshapen_parameters && (parameters || forms.has(Form::Instances)) {
            "parameters"
        } else if self.misshapen_sampling && forms.has(Form::Sampling) {
            "sampling_params"
        } else {
            return Ok(());
        };
        Err(violation_at(at.member(misshapen).pointer(), "type", "must be an object"))
    }
}

/// Refuses limits beyond the range wherever a body of no known form has one: in its objects, in
/// those that may hold requests or settings, and in arrays of them.
pub(super) fn judge(
    value: Node<'_>,
    at: &Place<'_>,
    range: &RangeInclusive<i64>,
) -> Result<u64, Rejection> {
    let mut greatest = 0;
    match value.kind() {
        Kind::Array => {
            for (index, element) in value.elements().enumerate() {
                greatest = judge(element, &at.element(index), range)?.max(greatest);
            }
        }
        Kind::Object => {
            for (name, value) in value.members() {
                let Some(Known { name: own, role }) = known(&name) else { continue };
                let here = at.member(own);
                match role {
                    Role::Limit | Role::Container if *name != **own => {
                        return Err(twin(&here));
                    }
                    Role::Limit if value.is_null() => {}
                    Role::Limit => {
                        let most = range.end();
                        let tokens = limit(value, &here, range)?.ok_or_else(|| {
                            let detail = format!("must be at most {most}");
                            violation_at(here.pointer(), "maximum", detail)
                        })?;
                        greatest = tokens.max(greatest);
                    }
                    Role::Count => {}
                    Role::Container | Role::Mark(_) | Role::Inputs | Role::Holder => {
                        greatest = judge(value, &here, range)?.max(greatest);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(greatest)
}

/// A limit within the range, rounded up; `None` when it is beyond.
fn limit(
    value: Node<'_>,
    at: &Place<'_>,
    range: &RangeInclusive<i64>,
) -> Result<Option<u64>, Rejection> {
    match compare(value, range) {
        Some(Ordering::Equal) => Ok(Some(whole(value))),
        Some(Ordering::Greater) => Ok(None),
        Some(Ordering::Less) => Err(violation_at(at.pointer(), "minimum", "must be at least 1")),
        None => Err(violation_at(at.pointer(), "type", "must be a number")),
    }
}

/// A whole number of at least one, however it is written.
fn count(value: Node<'_>) -> Option<u64> {
    let written = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (1.0..=9e15).contains(&number).then(|| whole(value))
    };
    value.as_u64().filter(|count| *count > 0).or_else(written)
}

/// How many prompts there are. An array of numbers is one, of tokens.
fn prompts(value: Node<'_>) -> u64 {
    let texts = value.elements().filter(|one| one.kind() != Kind::Number).count();
    u64::try_from(texts).unwrap_or(u64::MAX).max(1)
}

fn twin(at: &Place<'_>) -> Rejection {
    let detail = "another name differs from this one in case only";
    violation_at(at.pointer(), "propertyNames", detail)
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
