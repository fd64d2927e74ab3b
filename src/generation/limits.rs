use std::{ops::RangeInclusive, sync::Arc};

use super::{
    names::{LIMITED, Limited, Role, known},
    query::Asked,
    read::{Place, Said, judge},
    violation_at,
};
use crate::{
    model::{Form, Forms, OutputLimit, Takes},
    payload::{EditError, Edits, Kind, Literal, Node, Pointer},
    rejection::Rejection,
};

/// Limits the tokens that are generated.
#[derive(Clone, Debug)]
pub(crate) struct OutputTokens {
    range: RangeInclusive<i64>,
    most: Literal,
    tokens: u64,
    puts: Arc<[Pointer; LIMITED.len()]>,
}

/// What a request may have generated, once it is limited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    /// None where the form of the body is unknown.
    pub(crate) forms: Forms,
    /// Tokens, of all answers.
    pub(crate) tokens: u64,
    /// Whether the upstream is held to that: each part of the body that generates has a limit of its
    /// form.
    pub(crate) bounded: bool,
    /// A pointer to a number of answers that is no number of answers.
    pub(crate) miscounted: Option<String>,
}

/// How many instances a body may hold. TGI runs all of them at once.
const MAX_INSTANCES: usize = 128;

impl OutputTokens {
    pub(crate) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            range: 1..=i64::from(most),
            most: Literal::from(most),
            tokens: u64::from(most),
            puts: Arc::new(LIMITED.map(|limited| Pointer::new(limited.put))),
        }
    }

    /// The same names, held to nothing: what is said stands, and `otherwise` is put where nothing is.
    #[cfg(feature = "throttle")]
    pub(crate) fn missing(otherwise: u32) -> Self {
        Self { range: 1..=i64::MAX, ..Self::new(otherwise) }
    }

    /// The tokens that are put in.
    #[cfg(feature = "throttle")]
    pub(crate) const fn most(&self) -> u64 {
        self.tokens
    }

    /// Holds a body of a known form to the limit, and puts that in where there is none, into a chat
    /// under the name `of_chats`. A body of no known form is not edited, and refused if it has a limit
    /// that is greater.
    pub(crate) fn apply<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        takes: Takes,
        of_chats: OutputLimit,
    ) -> Result<Output, Rejection> {
        if let Takes::One(form @ (Form::Reads | Form::Media)) = takes {
            return Ok(Output { bounded: true, ..Output::of(Forms::of(form)) });
        }
        let document = edits.read(matters).map_err(EditError::rejection)?;
        let root = document.root();
        if root.kind() != Kind::Object {
            // serde takes the elements of an array for the members of a struct.
            if takes != Takes::Unknown {
                return Err(violation_at(String::new(), "type", "must be an object"));
            }
            let tokens = judge(root, &Place::ROOT, &self.range)?.max(self.tokens);
            return Ok(Output { tokens, ..Output::of(Forms::NONE) });
        }
        let said = Said::of(root, &Place::ROOT, &self.range)?;
        let forms = takes.forms(said.marks, said.has_parameters);
        if forms == Forms::of(Form::Reads) {
            return Ok(Output { bounded: true, ..Output::of(forms) });
        }
        if forms.is_empty() {
            let greatest = judge(root, &Place::ROOT, &self.range)?.max(self.tokens);
            let tokens = greatest.saturating_mul(said.answers).saturating_mul(said.prompts);
            return Ok(Output { tokens, miscounted: said.miscounted, ..Output::of(forms) });
        }
        said.check(forms, &Place::ROOT)?;
        let instances = match said.instances.filter(|_| forms.has(Form::Instances)) {
            Some(instances) => self.instances(document.node(instances), takes)?,
            None => Instances::default(),
        };
        let root = Object { index: root.index(), said, forms };
        self.write(edits, root, instances, of_chats)
    }

    /// Refuses a limit in the query that is greater: Hugging Face's inference toolkit takes the query
    /// for `parameters`, where the body has none.
    pub(crate) fn apply_to_query(&self, query: Option<&str>) -> Result<Asked, Rejection> {
        query.map_or(Ok(Asked::NOTHING), |query| Asked::of(query, &self.range))
    }

    /// Reads what `instances` holds.
    fn instances(&self, instances: Node<'_>, takes: Takes) -> Result<Instances, Rejection> {
        let all = Place::ROOT.member("instances");
        let refused = |keyword, detail: &str| Err(violation_at(all.pointer(), keyword, detail));
        if instances.kind() != Kind::Array {
            return refused("type", "must be an array");
        }
        if instances.len() > MAX_INSTANCES {
            return refused("maxItems", &format!("must not have more than {MAX_INSTANCES}"));
        }
        let mut found = Instances::default();
        for (index, instance) in instances.elements().enumerate() {
            let at = all.element(index);
            match instance.kind() {
                Kind::Object => {
                    let said = Said::of(instance, &at, &self.range)?;
                    let forms = takes.forms(said.marks, true).without(Form::Instances);
                    if forms == Forms::of(Form::Reads) {
                        continue;
                    }
                    if forms.is_empty() {
                        let greatest = judge(instance, &at, &self.range)?.max(self.tokens);
                        found.unknown = found.unknown.saturating_add(greatest);
                    } else {
                        said.check(forms, &at)?;
                        found.objects.push(Object { index: instance.index(), said, forms });
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

    /// Cuts what is beyond the limit, and puts that in where there is none.
    fn write<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        mut root: Object,
        instances: Instances,
        of_chats: OutputLimit,
    ) -> Result<Output, Rejection> {
        let mut output = Output { bounded: !root.forms.has(Form::Task), ..Output::of(root.forms) };
        output.miscounted = root.said.miscounted.take();
        // Texts have the settings of all instances, which TGI does not read.
        let own = root.forms.without(Form::Instances);
        root.forms = if instances.texts > 0 { own.and(Form::Generate) } else { own };
        let (answers, prompts) = (root.said.answers, root.said.prompts);
        let each = self.hold(edits, root, of_chats)?;
        let prompts = if own.is_empty() { instances.texts } else { prompts.max(instances.texts) };
        output.add(each, answers, prompts);
        for mut object in instances.objects {
            output.bounded &= !object.forms.has(Form::Task);
            output.miscounted = output.miscounted.or_else(|| object.said.miscounted.take());
            let (own, prompts) = (object.said.answers, object.said.prompts);
            output.add(self.hold(edits, object, of_chats)?.max(each), answers.max(own), prompts);
        }
        if instances.unknown > 0 {
            output.bounded = false;
            output.add(instances.unknown.max(each), answers, 1);
        }
        Ok(output)
    }

    /// Holds one object to the limit. Gives the greatest number of tokens that any of its members now
    /// lets the upstream generate for an answer.
    fn hold<'a>(
        &'a self,
        edits: &mut Edits<'a>,
        object: Object,
        of_chats: OutputLimit,
    ) -> Result<u64, Rejection> {
        let Object { index, mut said, forms } = object;
        let mut greatest = said.greatest;
        for number in said.excess {
            edits.replace(number, &self.most);
            greatest = greatest.max(Some(self.tokens));
        }
        for (Limited { form, own, name, .. }, put) in LIMITED.iter().zip(&*self.puts) {
            let named = name.is_none_or(|name| name == of_chats);
            if named && forms.has(*form) && !said.own.meets(*own) {
                edits.set_in(index, put, &self.most).map_err(EditError::rejection)?;
                said.own.insert(*own);
                greatest = greatest.max(Some(self.tokens));
            }
        }
        let silent = if forms.is_empty() { 0 } else { self.tokens };
        Ok(greatest.unwrap_or(silent))
    }
}

impl Output {
    /// Nothing, and not bounded.
    const fn of(forms: Forms) -> Self {
        Self { forms, tokens: 0, bounded: false, miscounted: None }
    }

    const fn add(&mut self, each: u64, answers: u64, prompts: u64) {
        let tokens = each.saturating_mul(answers).saturating_mul(prompts);
        self.tokens = self.tokens.saturating_add(tokens);
    }
}

/// An object of the document that asks for output.
struct Object {
    index: u32,
    said: Said,
    forms: Forms,
}

/// What `instances` holds.
#[derive(Default)]
struct Instances {
    objects: Vec<Object>,
    texts: u64,
    /// The tokens of those whose form is unknown.
    unknown: u64,
}

/// Whether an edit may change what is read here: of the member itself, or inside of it.
fn matters(name: &str, whole: bool) -> bool {
    known(name).is_some_and(|known| match known.role {
        Role::Mark(Form::Instances) | Role::Limit | Role::Count | Role::Container => true,
        Role::Mark(_) | Role::Inputs => whole,
        Role::Holder => false,
    })
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
