use std::{ops::RangeInclusive, sync::Arc};

use smallvec::SmallVec;

use super::{
    member_names::{FORM_LIMITS, FormLimit, LimitSet, MemberRole, known},
    member_path::MemberPath,
    members::{OutputMembers, check_unknown_form},
    query_limits::QueryLimits,
    violation::violation_at,
};
use crate::{
    model::{Form, Forms, OutputLimit, Takes},
    payload::{EditError, Edits, Kind, Literal, Node, Pointer},
    rejection::Rejection,
};

/// Limits the tokens of the output.
#[derive(Clone, Debug)]
pub(crate) struct OutputTokens {
    range: RangeInclusive<i64>,
    most: Literal,
    max_tokens: Literal,
    tokens: u64,
    added: Arc<[Pointer; FORM_LIMITS.len()]>,
}

/// The maximum output of a request after it was limited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OutputBound {
    /// Empty when the form of the body is unknown.
    pub(crate) forms: Forms,
    /// The tokens of all completions.
    pub(crate) tokens: u64,
    /// Whether the upstream enforces it, because each generating part of the body has a limit of its
    /// form.
    pub(crate) bounded: bool,
    /// The pointer of an invalid number of completions.
    pub(crate) miscounted: Option<String>,
}

/// The maximum number of instances in a body. TGI runs all of them at once.
const MAX_INSTANCES: usize = 128;

impl OutputTokens {
    pub(crate) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            range: 1..=i64::from(most),
            most: Literal::from(most),
            max_tokens: Literal::from("max_tokens"),
            tokens: u64::from(most),
            added: Arc::new(FORM_LIMITS.map(|limit| Pointer::new(limit.added))),
        }
    }

    /// Creates a limit of `otherwise` for requests without one. Present limits stay.
    #[cfg(feature = "throttle")]
    pub(crate) fn missing(otherwise: u32) -> Self {
        Self { range: 1..=i64::MAX, ..Self::new(otherwise) }
    }

    /// Returns the limit.
    #[cfg(feature = "throttle")]
    pub(crate) const fn most(&self) -> u64 {
        self.tokens
    }

    /// Lowers the limits of a body of a known form and adds missing ones. A chat gets the name `of_chats`.
    ///
    /// A chat's `max_completion_tokens` becomes `max_tokens` when that is the name of the profile,
    /// because older servers ignore the newer name (ollama/ollama#7125, ggml-org/llama.cpp#13700). Both
    /// names at once would be a duplicate for TGI.
    ///
    /// A body of an unknown form is not edited. It is rejected when it has a greater limit.
    pub(crate) fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        takes: Takes,
        of_chats: OutputLimit,
    ) -> Result<OutputBound, Rejection> {
        if let Takes::One(form @ (Form::Reads | Form::Media)) = takes {
            return Ok(OutputBound { bounded: true, ..OutputBound::of(Forms::of(form)) });
        }
        let document = edits.read(is_relevant).map_err(EditError::rejection)?;
        let root = document.root();
        if root.kind() != Kind::Object {
            // serde reads the elements of an array as the members of a struct.
            if takes != Takes::Unknown {
                return Err(violation_at(String::new(), "type", "must be an object"));
            }
            let tokens = check_unknown_form(root, &MemberPath::ROOT, &self.range)?.max(self.tokens);
            return Ok(OutputBound { tokens, ..OutputBound::of(Forms::NONE) });
        }
        let mut members = OutputMembers::of(root, &MemberPath::ROOT, &self.range)?;
        let forms = takes.forms(members.marks, members.has_parameters);
        let reads = forms == Forms::of(Form::Reads);
        // TEI has no such members, so another server may read them.
        let other = matches!(takes, Takes::Predict { .. }) && members.has_holder;
        let limited = members.greatest.is_some() || !members.excess.is_empty();
        // Another server than TEI may generate at TEI's route when a body limits its output.
        let may_generate = takes.generates() && (limited || other);
        if reads && !may_generate {
            return Ok(OutputBound { bounded: true, ..OutputBound::of(forms) });
        }
        if reads || forms.is_empty() {
            let forms = Forms::NONE;
            let greatest =
                check_unknown_form(root, &MemberPath::ROOT, &self.range)?.max(self.tokens);
            let tokens = greatest.saturating_mul(members.choices).saturating_mul(members.prompts);
            return Ok(OutputBound {
                tokens,
                miscounted: members.miscounted,
                ..OutputBound::of(forms)
            });
        }
        members.check(root, forms, &MemberPath::ROOT, &self.range)?;
        let instances = match members.instances.filter(|_| forms.has(Form::Instances)) {
            Some(instances) => self.instances(document.node(instances), takes)?,
            None => Instances::default(),
        };
        let root = GeneratingObject { index: root.index(), members, forms };
        let mut renamed = SmallVec::<[u32; 4]>::new();
        let output = self.write(edits, root, instances, of_chats, &mut renamed)?;
        edits.rename(&renamed, &self.max_tokens).map_err(EditError::rejection)?;
        Ok(output)
    }

    /// Rejects a greater limit in the query, because Hugging Face's inference toolkit reads the query as
    /// `parameters` when the body has none.
    pub(crate) fn apply_to_query(&self, query: Option<&str>) -> Result<QueryLimits, Rejection> {
        query.map_or(Ok(QueryLimits::NONE), |query| QueryLimits::of(query, &self.range))
    }

    /// Reads the elements of `instances`.
    fn instances(&self, instances: Node<'_>, takes: Takes) -> Result<Instances, Rejection> {
        let all = MemberPath::ROOT.member("instances");
        let rejected = |keyword, detail: &str| Err(violation_at(all.pointer(), keyword, detail));
        if instances.kind() != Kind::Array {
            return rejected("type", "must be an array");
        }
        if instances.len() > MAX_INSTANCES {
            return rejected("maxItems", &format!("must not have more than {MAX_INSTANCES}"));
        }
        let mut found = Instances::default();
        for (index, instance) in instances.elements().enumerate() {
            let at = all.element(index);
            match instance.kind() {
                Kind::Object => {
                    let mut members = OutputMembers::of(instance, &at, &self.range)?;
                    let forms = takes.forms(members.marks, true).without(Form::Instances);
                    if forms == Forms::of(Form::Reads) {
                        continue;
                    }
                    if forms.is_empty() {
                        let greatest =
                            check_unknown_form(instance, &at, &self.range)?.max(self.tokens);
                        found.unknown = found.unknown.saturating_add(greatest);
                    } else {
                        members.check(instance, forms, &at, &self.range)?;
                        found.objects.push(GeneratingObject {
                            index: instance.index(),
                            members,
                            forms,
                        });
                    }
                }
                Kind::Array => {
                    return Err(violation_at(at.pointer(), "type", "must not be an array"));
                }
                _ => found.texts += u64::from(takes.generates()),
            }
        }
        Ok(found)
    }

    /// Lowers greater limits and adds missing ones.
    fn write<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        mut root: GeneratingObject,
        instances: Instances,
        of_chats: OutputLimit,
        renamed: &mut SmallVec<[u32; 4]>,
    ) -> Result<OutputBound, Rejection> {
        let mut output =
            OutputBound { bounded: !root.forms.has(Form::Task), ..OutputBound::of(root.forms) };
        output.miscounted = root.members.miscounted.take();
        // Instances that are texts use the settings of the body, which TGI does not read.
        let own = root.forms.without(Form::Instances);
        root.forms = if instances.texts > 0 { own.and(Form::Generate) } else { own };
        let (choices, prompts) = (root.members.choices, root.members.prompts);
        let each = self.limit(edits, root, of_chats, renamed)?;
        let prompts = if own.is_empty() { instances.texts } else { prompts.max(instances.texts) };
        output.add(each, choices, prompts);
        for mut object in instances.objects {
            output.bounded &= !object.forms.has(Form::Task);
            output.miscounted = output.miscounted.or_else(|| object.members.miscounted.take());
            let (own, prompts) = (object.members.choices, object.members.prompts);
            let own_limit = self.limit(edits, object, of_chats, renamed)?;
            output.add(own_limit.max(each), choices.max(own), prompts);
        }
        if instances.unknown > 0 {
            output.bounded = false;
            output.add(instances.unknown.max(each), choices, 1);
        }
        Ok(output)
    }

    /// Limits one object. Returns the greatest limit of one completion that it now has.
    fn limit<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        object: GeneratingObject,
        of_chats: OutputLimit,
        renamed: &mut SmallVec<[u32; 4]>,
    ) -> Result<u64, Rejection> {
        let GeneratingObject { index, mut members, forms } = object;
        if forms.has(Form::Chat)
            && of_chats == OutputLimit::MaxTokens
            && let Some(value) = members.completion_limit
            && !members.limits.intersects(LimitSet::MAX_TOKENS)
        {
            if members.has_null_limit {
                members.limits.remove(LimitSet::MAX_COMPLETION_TOKENS);
            } else {
                renamed.push(value);
                members.limits.insert(LimitSet::MAX_TOKENS);
            }
        }
        let mut greatest = members.greatest;
        for number in members.excess {
            edits.replace(number, &self.most);
            greatest = greatest.max(Some(self.tokens));
        }
        for (FormLimit { form, limits, choice, .. }, added) in FORM_LIMITS.iter().zip(&*self.added)
        {
            let chosen = choice.is_none_or(|choice| choice == of_chats);
            if chosen && forms.has(*form) && !members.limits.intersects(*limits) {
                edits.set_in(index, added, &self.most).map_err(EditError::rejection)?;
                members.limits.insert(*limits);
                greatest = greatest.max(Some(self.tokens));
            }
        }
        let default = if forms.is_empty() { 0 } else { self.tokens };
        Ok(greatest.unwrap_or(default))
    }
}

impl OutputBound {
    /// Returns an unbounded output of zero tokens.
    const fn of(forms: Forms) -> Self {
        Self { forms, tokens: 0, bounded: false, miscounted: None }
    }

    const fn add(&mut self, each: u64, choices: u64, prompts: u64) {
        let tokens = each.saturating_mul(choices).saturating_mul(prompts);
        self.tokens = self.tokens.saturating_add(tokens);
    }
}

/// An object of the document that generates output.
struct GeneratingObject {
    index: u32,
    members: OutputMembers,
    forms: Forms,
}

/// The elements of `instances`.
#[derive(Default)]
struct Instances {
    objects: Vec<GeneratingObject>,
    texts: u64,
    /// The tokens of the elements of an unknown form.
    unknown: u64,
}

/// Returns whether an edit of a member, or of something inside it, may change the limits.
fn is_relevant(name: &str, whole: bool) -> bool {
    known(name).is_some_and(|known| match known.role {
        MemberRole::Mark(Form::Instances)
        | MemberRole::Limit
        | MemberRole::Count
        | MemberRole::Container => true,
        MemberRole::Mark(_) | MemberRole::Inputs | MemberRole::Holder => whole,
    })
}

#[cfg(test)]
#[path = "output_tokens_tests.rs"]
mod tests;
