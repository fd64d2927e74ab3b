//! Reads the members of a request that limit its output.

use std::{cmp::Ordering, ops::RangeInclusive};

use smallvec::SmallVec;

use super::{
    member_names::{KnownMember, LimitSet, MemberRole, form_limit, known},
    member_path::MemberPath,
    number::{compare, rounded_up},
    violation::violation_at,
};
use crate::{
    model::{Form, Forms},
    payload::{Kind, Node},
    rejection::Rejection,
};

/// The members of a request that limit its output.
#[derive(Debug)]
pub(super) struct OutputMembers {
    pub(super) marks: Forms,
    pub(super) has_parameters: bool,
    /// The present limits of edited forms.
    pub(super) limits: LimitSet,
    /// The greatest limit within the range.
    pub(super) greatest: Option<u64>,
    /// The nodes of limits above the range.
    pub(super) excess: SmallVec<[u32; 4]>,
    /// The node of the value of `max_completion_tokens`.
    pub(super) completion_limit: Option<u32>,
    /// `max_tokens` is `null`.
    pub(super) has_null_limit: bool,
    /// The number of completions for each prompt.
    pub(super) choices: u64,
    /// The pointer of an invalid number of completions.
    pub(super) miscounted: Option<String>,
    pub(super) prompts: u64,
    pub(super) instances: Option<u32>,
    /// `parameters` is not an object.
    invalid_parameters: bool,
    /// `sampling_params` is not an object.
    invalid_sampling: bool,
}

impl OutputMembers {
    /// Reads the object of a request.
    ///
    /// Rejects limits below the range, limits that are not numbers and names that differ from a known one
    /// only in case.
    pub(super) fn of(
        object: Node<'_>,
        at: &MemberPath<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<Self, Rejection> {
        let mut members = Self {
            marks: Forms::NONE,
            has_parameters: false,
            limits: LimitSet::NONE,
            greatest: None,
            excess: SmallVec::new(),
            completion_limit: None,
            has_null_limit: false,
            choices: 1,
            miscounted: None,
            prompts: 1,
            instances: None,
            invalid_parameters: false,
            invalid_sampling: false,
        };
        members.read(object, at, range)?;
        Ok(members)
    }

    fn read(
        &mut self,
        object: Node<'_>,
        at: &MemberPath<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Rejection> {
        for (name, value) in object.members() {
            let Some(KnownMember { name: known_name, role }) = known(&name) else { continue };
            let here = at.member(known_name);
            let relevant = match role {
                MemberRole::Limit | MemberRole::Count | MemberRole::Container => true,
                MemberRole::Mark(_) | MemberRole::Inputs => at.is_request(),
                MemberRole::Holder => false,
            };
            if !relevant {
                continue;
            }
            if *name != **known_name {
                return Err(case_mismatch(&here));
            }
            // `null` counts as missing.
            if value.is_null() {
                self.has_null_limit |= at.is_request() && *known_name == "max_tokens";
                continue;
            }
            match role {
                MemberRole::Limit => {
                    self.limits.insert(form_limit(at, known_name));
                    if at.is_request() && *known_name == "max_completion_tokens" {
                        self.completion_limit = Some(value.index());
                    }
                    match limit(value, &here, range)? {
                        Some(tokens) => self.greatest = self.greatest.max(Some(tokens)),
                        None => self.excess.push(value.index()),
                    }
                }
                MemberRole::Count => match count(value) {
                    Some(count) => self.choices = self.choices.max(count),
                    None => self.miscounted = Some(here.pointer()),
                },
                MemberRole::Container => {
                    self.has_parameters |= at.is_request() && *known_name == "parameters";
                    if value.kind() == Kind::Object {
                        // No known API nests them deeper.
                        if at.depth() < 3 {
                            self.read(value, &here, range)?;
                        }
                    } else if at.is_request() {
                        self.invalid_parameters |= *known_name == "parameters";
                        self.invalid_sampling |= *known_name == "sampling_params";
                    }
                }
                MemberRole::Mark(Form::Instances) => {
                    self.marks = self.marks.and(Form::Instances);
                    self.instances = Some(value.index());
                }
                MemberRole::Mark(form) => {
                    self.marks = self.marks.and(*form);
                    if *form != Form::Chat {
                        self.prompts = self.prompts.max(prompts(value));
                    }
                }
                MemberRole::Inputs => {
                    let object = value.kind() == Kind::Object;
                    self.marks = self.marks.and(if object { Form::Task } else { Form::Generate });
                    self.prompts = self.prompts.max(prompts(value));
                }
                MemberRole::Holder => {}
            }
        }
        Ok(())
    }

    /// Rejects `parameters` that are not an object, because serde reads the elements of an array as the
    /// members of a struct.
    pub(super) fn check(&self, forms: Forms, at: &MemberPath<'_>) -> Result<(), Rejection> {
        let parameters = forms.has(Form::Generate) || forms.has(Form::Task);
        let invalid = if self.invalid_parameters && (parameters || forms.has(Form::Instances)) {
            "parameters"
        } else if self.invalid_sampling && forms.has(Form::Sampling) {
            "sampling_params"
        } else {
            return Ok(());
        };
        Err(violation_at(at.member(invalid).pointer(), "type", "must be an object"))
    }
}

/// Rejects limits above the range anywhere in a body of an unknown form: in its objects, in objects that
/// may contain requests or settings and in arrays of them.
///
/// Returns the greatest limit.
pub(super) fn check_unknown_form(
    value: Node<'_>,
    at: &MemberPath<'_>,
    range: &RangeInclusive<i64>,
) -> Result<u64, Rejection> {
    let mut greatest = 0;
    match value.kind() {
        Kind::Array => {
            for (index, element) in value.elements().enumerate() {
                greatest = check_unknown_form(element, &at.element(index), range)?.max(greatest);
            }
        }
        Kind::Object => {
            for (name, value) in value.members() {
                let Some(KnownMember { name: known_name, role }) = known(&name) else { continue };
                let here = at.member(known_name);
                match role {
                    MemberRole::Limit | MemberRole::Container if *name != **known_name => {
                        return Err(case_mismatch(&here));
                    }
                    MemberRole::Limit if value.is_null() => {}
                    MemberRole::Limit => {
                        let max = range.end();
                        let tokens = limit(value, &here, range)?.ok_or_else(|| {
                            let detail = format!("must be at most {max}");
                            violation_at(here.pointer(), "maximum", detail)
                        })?;
                        greatest = tokens.max(greatest);
                    }
                    MemberRole::Count => {}
                    MemberRole::Container
                    | MemberRole::Mark(_)
                    | MemberRole::Inputs
                    | MemberRole::Holder => {
                        greatest = check_unknown_form(value, &here, range)?.max(greatest);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(greatest)
}

/// Returns a limit within the range, rounded up. `None` when it is above the range.
fn limit(
    value: Node<'_>,
    at: &MemberPath<'_>,
    range: &RangeInclusive<i64>,
) -> Result<Option<u64>, Rejection> {
    match compare(value, range) {
        Some(Ordering::Equal) => Ok(Some(rounded_up(value))),
        Some(Ordering::Greater) => Ok(None),
        // No limit, in llama.cpp (tools/server/README.md, `n_predict`) and Ollama.
        Some(Ordering::Less) if value.as_i64() == Some(-1) => Ok(None),
        Some(Ordering::Less) => Err(violation_at(at.pointer(), "minimum", "must be at least 1")),
        None => Err(violation_at(at.pointer(), "type", "must be a number")),
    }
}

/// Returns a whole number of at least 1 in any notation.
fn count(value: Node<'_>) -> Option<u64> {
    let written = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        (1.0..=9e15).contains(&number).then(|| rounded_up(value))
    };
    value.as_u64().filter(|count| *count > 0).or_else(written)
}

/// Returns the number of prompts. An array of numbers is one prompt of tokens.
fn prompts(value: Node<'_>) -> u64 {
    let texts = value.elements().filter(|one| one.kind() != Kind::Number).count();
    u64::try_from(texts).unwrap_or(u64::MAX).max(1)
}

fn case_mismatch(at: &MemberPath<'_>) -> Rejection {
    let detail = "must not have another name that differs only in case";
    violation_at(at.pointer(), "propertyNames", detail)
}
