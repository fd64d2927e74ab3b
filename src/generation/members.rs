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
    /// A request of another server may be inside.
    pub(super) has_holder: bool,
    // The pointer of a limit of zero, and what makes it legal.
    zero: Option<(String, ZeroLimit)>,
    /// `parameters` is not an object.
    invalid_parameters: bool,
    /// `sampling_params` is not an object.
    invalid_sampling: bool,
}

/// The condition for a limit of zero, which then generates nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ZeroLimit {
    /// A completion with `echo` returns its prompt (OpenAI, vLLM).
    Echo,
    /// `n_predict` of llama.cpp (tools/server/README.md).
    Completion,
    /// SGLang scores its prompt (python/sglang/srt/sampling/sampling_params.py).
    Sampling,
}

impl ZeroLimit {
    fn of(at: &MemberPath<'_>, name: &str) -> Option<Self> {
        match (at.depth(), at.name(), name) {
            (0, _, "max_tokens") => Some(Self::Echo),
            (0, _, "n_predict") => Some(Self::Completion),
            (1, "sampling_params", "max_new_tokens") => Some(Self::Sampling),
            _ => None,
        }
    }

    fn is_legal(self, object: Node<'_>, forms: Forms) -> bool {
        let echo = || object.get("echo").and_then(Node::as_bool) == Some(true);
        match self {
            Self::Echo => forms == Forms::of(Form::Completion) && echo(),
            Self::Completion => forms == Forms::of(Form::Completion),
            Self::Sampling => forms == Forms::of(Form::Sampling),
        }
    }
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
            has_holder: false,
            zero: None,
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
            self.has_holder |= at.is_request() && *role == MemberRole::Holder;
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
                    if let Some(zero) = ZeroLimit::of(at, known_name)
                        && value.as_f64() == Some(0.0)
                    {
                        self.greatest = self.greatest.max(Some(0));
                        self.zero = Some((here.pointer(), zero));
                        continue;
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

    /// Rejects a limit of zero unless the form shows that it generates nothing. Rejects limits above the
    /// range inside of the input of a task, whose form is unknown.
    ///
    /// Rejects `parameters` that are not an object, because serde reads the elements of an array as the
    /// members of a struct.
    pub(super) fn check(
        &mut self,
        object: Node<'_>,
        forms: Forms,
        at: &MemberPath<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Rejection> {
        if let Some((pointer, zero)) = self.zero.take()
            && !zero.is_legal(object, forms)
        {
            return Err(below_minimum(pointer));
        }
        if forms.has(Form::Task)
            && let Some(inputs) = object.get("inputs")
        {
            let greatest = check_unknown_form(inputs, &at.member("inputs"), range)?;
            self.greatest = self.greatest.max(Some(greatest).filter(|tokens| *tokens > 0));
        }
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

/// Rejects limits above the range anywhere in a body of an unknown form, because nobody knows which of
/// its members is a request.
///
/// Returns the greatest limit.
pub(super) fn check_unknown_form(
    value: Node<'_>,
    at: &MemberPath<'_>,
    range: &RangeInclusive<i64>,
) -> Result<u64, Rejection> {
    check_unknown(value, at, range, true)
}

/// `is_place` says whether known APIs have a request or its settings here. Elsewhere a name of the table
/// may mean something else, so only a number is a limit.
fn check_unknown(
    value: Node<'_>,
    at: &MemberPath<'_>,
    range: &RangeInclusive<i64>,
    is_place: bool,
) -> Result<u64, Rejection> {
    let mut greatest = 0;
    match value.kind() {
        Kind::Array => {
            for (index, element) in value.elements().enumerate() {
                let tokens = check_unknown(element, &at.element(index), range, is_place)?;
                greatest = tokens.max(greatest);
            }
        }
        Kind::Object => {
            for (name, value) in value.members() {
                let known = known(&name);
                let here = at.member(known.map_or(&*name, |known| known.name));
                let tokens = match known {
                    Some(KnownMember { name: known_name, role }) if is_place => match role {
                        MemberRole::Limit | MemberRole::Container if *name != **known_name => {
                            return Err(case_mismatch(&here));
                        }
                        MemberRole::Limit if value.is_null() => 0,
                        MemberRole::Limit => limit(value, &here, range)?
                            .ok_or_else(|| above_maximum(&here, range))?,
                        MemberRole::Count => 0,
                        MemberRole::Container
                        | MemberRole::Mark(_)
                        | MemberRole::Inputs
                        | MemberRole::Holder => check_unknown(value, &here, range, true)?,
                    },
                    Some(KnownMember { role: MemberRole::Limit, .. })
                        if value.kind() == Kind::Number =>
                    {
                        match compare(value, range) {
                            Some(Ordering::Equal) => rounded_up(value),
                            Some(Ordering::Greater) => return Err(above_maximum(&here, range)),
                            Some(Ordering::Less) if value.as_i64() == Some(-1) => {
                                return Err(above_maximum(&here, range));
                            }
                            _ => 0,
                        }
                    }
                    _ => check_unknown(value, &here, range, false)?,
                };
                greatest = tokens.max(greatest);
            }
        }
        _ => {}
    }
    Ok(greatest)
}

fn above_maximum(at: &MemberPath<'_>, range: &RangeInclusive<i64>) -> Rejection {
    violation_at(at.pointer(), "maximum", format!("must be at most {}", range.end()))
}

fn below_minimum(pointer: String) -> Rejection {
    violation_at(pointer, "minimum", "must be at least 1")
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
        Some(Ordering::Less) => Err(below_minimum(at.pointer())),
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
