//! Finds the subschemas and references of a schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    draft::{AppliesTo, Draft, Subschemas},
    error::{SchemaError, SchemaFault},
    keywords::{MAX_UNKNOWN, UnknownKeyword, has_no_keyword, misspelt},
};

/// The schema or an additional document.
pub(crate) struct SchemaDocument<'a> {
    pub(crate) uri: Option<&'a str>,
    pub(crate) value: &'a Value,
    pub(crate) draft: Draft,
}

/// A keyword that refers to another schema.
pub(crate) struct Reference<'a> {
    pub(crate) source: usize,
    /// The position of the keyword.
    pub(crate) pointer: String,
    pub(crate) text: &'a str,
}

/// A schema that only a reference leads to. No keyword of a schema contains it.
pub(crate) struct ReferencedSchema {
    pub(crate) source: usize,
    pub(crate) pointer: String,
    pub(crate) draft: Draft,
}

#[derive(Default)]
pub(crate) struct SubschemaScan<'a> {
    pub(crate) references: Vec<Reference<'a>>,
    pub(crate) referred: Vec<ReferencedSchema>,
    pub(crate) unknown: Vec<UnknownKeyword>,
}

impl<'a> SubschemaScan<'a> {
    /// Finds all subschemas. Some are outside of any schema, such as those in OpenAPI's
    /// `components`, and only a reference leads to them.
    pub(crate) fn of(sources: &[SchemaDocument<'a>]) -> Result<Self, SchemaError> {
        let mut survey = Self::default();
        let mut seen = BTreeSet::new();
        let roots = sources.iter().enumerate().map(|(index, source)| (index, source.draft));
        let mut pending: Vec<_> = roots
            .filter_map(|(index, draft)| {
                Some((index, String::new(), draft, sources.get(index)?.value))
            })
            .collect();
        let mut followed = 0;
        loop {
            while let Some((source, pointer, draft, value)) = pending.pop() {
                let Some(schema) = value.as_object() else { continue };
                if !seen.insert((source, pointer.clone())) {
                    continue;
                }
                let draft = declared(schema, draft).map_err(|uri| {
                    let document = sources.get(source).and_then(|source| source.uri);
                    SchemaError::at(SchemaFault::UnknownDraft(uri.to_owned()), document, &pointer)
                })?;
                let uri = sources.get(source).and_then(|source| source.uri);
                survey.note_unknown(schema, uri, &pointer);
                for (keyword, text) in references(schema) {
                    let pointer = format!("{pointer}/{keyword}");
                    survey.references.push(Reference { source, pointer, text });
                }
                each_subschema(schema, draft, |_, keyword, token, value| {
                    let mut pointer = format!("{pointer}/{}", escape(keyword));
                    if let Some(token) = token {
                        pointer.extend(["/", &escape(&token)]);
                    }
                    pending.push((source, pointer, draft, value));
                });
            }
            let Some(reference) = survey.references.get(followed) else { return Ok(survey) };
            followed += 1;
            // Identifiers decide which document is meant. Following a path that also exists in
            // another document is harmless.
            let fragment = reference.text.split_once('#').map_or("", |(_, fragment)| fragment);
            if !fragment.starts_with('/') || fragment.split('/').any(|token| DATA.contains(&token))
            {
                continue;
            }
            for (index, source) in sources.iter().enumerate() {
                let target = source.value.pointer(fragment).filter(|value| value.is_object());
                let pointer = fragment.to_owned();
                if let Some(value) = target
                    && !seen.contains(&(index, pointer.clone()))
                {
                    pending.push((index, pointer.clone(), source.draft, value));
                    survey.referred.push(ReferencedSchema {
                        source: index,
                        pointer,
                        draft: source.draft,
                    });
                }
            }
        }
    }
}

impl SubschemaScan<'_> {
    /// Notes the members of a schema that look like misspelt keywords.
    fn note_unknown(&mut self, schema: &Map<String, Value>, uri: Option<&str>, pointer: &str) {
        let document = uri.map(str::to_owned);
        // Another document may hold schemas without being one.
        if uri.is_none() && pointer.is_empty() && has_no_keyword(schema) {
            self.unknown.push(UnknownKeyword { document, pointer: String::new(), similar: None });
            return;
        }
        let members = schema.keys().filter_map(|name| Some((name, misspelt(name)?)));
        let room = MAX_UNKNOWN.saturating_sub(self.unknown.len());
        self.unknown.extend(members.take(room).map(|(name, similar)| UnknownKeyword {
            document: document.clone(),
            pointer: format!("{pointer}/{}", escape(name)),
            similar: Some(similar),
        }));
    }
}

/// Keywords whose values are data.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Returns the draft that a schema names, or else that of its parent.
fn declared(schema: &Map<String, Value>, draft: Draft) -> Result<Draft, &str> {
    match schema.get("$schema").and_then(Value::as_str) {
        Some(uri) => Draft::of(uri).ok_or(uri),
        None => Ok(draft),
    }
}

/// Returns the references of a schema with their keywords.
pub(crate) fn references(
    schema: &Map<String, Value>,
) -> impl Iterator<Item = (&'static str, &str)> {
    ["$ref", "$dynamicRef", "$recursiveRef"]
        .into_iter()
        .filter_map(|keyword| Some((keyword, schema.get(keyword)?.as_str()?)))
}

/// Calls `see` for each subschema with the value it applies to, its keyword and the token after the
/// keyword.
pub(crate) fn each_subschema<'a>(
    schema: &'a Map<String, Value>,
    draft: Draft,
    mut see: impl FnMut(AppliesTo, &'a str, Option<String>, &'a Value),
) {
    for (keyword, value) in schema {
        match (draft.subschemas(keyword), value) {
            (Subschemas::Members(applies), Value::Object(members)) => {
                members.iter().for_each(|(name, member)| {
                    see(applies, keyword, Some(name.clone()), member);
                });
            }
            (Subschemas::List(applies) | Subschemas::OneOrList(applies), Value::Array(list)) => {
                list.iter().enumerate().for_each(|(index, element)| {
                    see(applies, keyword, Some(index.to_string()), element);
                });
            }
            (Subschemas::One(applies) | Subschemas::OneOrList(applies), value) => {
                see(applies, keyword, None, value);
            }
            _ => {}
        }
    }
}

/// Escapes a token of a JSON pointer (RFC 6901 section 3).
fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
