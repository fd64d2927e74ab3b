//! Assembles the built-in schemas of a profile and removes single bounds.

use std::{collections::BTreeSet, error::Error, fmt};

use serde_json::{Map, Value};

use crate::{
    error_debug::debug_as_message,
    model::{Dialect, Profile},
    schema::compile::schema::Schema,
};

/// The built-in schemas of a [`Profile`].
///
/// [`SchemaLayer::built_in`](crate::schema::SchemaLayer::built_in) checks each route by its own. A
/// bound that does not fit a deployment can be removed by the name of its member:
///
/// ```
/// use tower_inference::{model::Profile, payload::Document, schema::{BuiltInSchemas, SchemaLayer}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let body = r#"{"messages": [{"role": "user", "content": "Hi"}], "stop": ["a", "b", "c", "d", "e"]}"#;
/// let body = Document::parse(body)?;
///
/// let openai = BuiltInSchemas::new(Profile::openai());
/// assert!(!openai.chat_completion().is_valid(&body));
/// assert!(BuiltInSchemas::new(Profile::compatible()).chat_completion().is_valid(&body));
///
/// let lifted = openai.without_bound("stop")?;
/// assert!(lifted.chat_completion().is_valid(&body));
/// assert!(lifted.clone().without_bound("stopp").is_err());
/// let layer = SchemaLayer::built_in(&lifted);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BuiltInSchemas {
    profile: Profile,
    lifted: Vec<Box<str>>,
}

/// The reason why a bound cannot be removed.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum BuiltInError {
    /// No schema of the profile bounds a member of this name. Returned by
    /// [`BuiltInSchemas::without_bound`].
    UnknownBound {
        /// The given name.
        member: String,
        /// The members with bounds in order.
        known: Vec<String>,
    },
}

impl BuiltInSchemas {
    /// Creates the schemas of a profile with all their bounds.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        Self { profile, lifted: Vec::new() }
    }

    /// Removes the bounds of a member from every schema: its range, its length, its list of words
    /// and the rules for its members and elements. Its type is still checked.
    ///
    /// # Errors
    ///
    /// Returns [`BuiltInError::UnknownBound`] if no schema of the profile bounds a member of this
    /// name.
    pub fn without_bound(mut self, member: &str) -> Result<Self, BuiltInError> {
        let mut known = BTreeSet::new();
        for (name, _) in FILES.iter().filter(|(name, _)| !name.ends_with("_response")) {
            collect_bounded(&self.source(name), &mut known);
        }
        if !known.remove(member) {
            let known = known.into_iter().collect();
            return Err(BuiltInError::UnknownBound { member: member.to_owned(), known });
        }
        self.lifted.push(member.into());
        Ok(self)
    }

    pub(crate) const fn profile(&self) -> &Profile {
        &self.profile
    }

    #[expect(clippy::expect_used, reason = "our own schemas; a test compiles each")]
    pub(crate) fn compiled(&self, name: &str) -> Schema {
        let schema = self.source(name);
        let mut builder = Schema::builder();
        let mut referred = BTreeSet::new();
        collect_references(&schema, &mut referred);
        for part in referred {
            builder = builder.document(format!("{URN}{part}"), self.source(&part));
        }
        builder.build(&schema).expect("a built-in schema is legal")
    }

    /// Returns a schema with the additions of the profile and without the removed bounds.
    fn source(&self, name: &str) -> Value {
        let mut schema = read(FILES, name).unwrap_or_default();
        let added = match self.profile.dialect() {
            Dialect::OpenAi => read(OPENAI, name),
            Dialect::Anthropic => read(ANTHROPIC, name),
            Dialect::Compatible | Dialect::Tei => None,
        };
        if let Some(added) = added {
            merge(&mut schema, added);
        }
        for member in &self.lifted {
            lift(&mut schema, member);
        }
        schema
    }
}

impl fmt::Display for BuiltInError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBound { member, known } => {
                let known = known.join(", ");
                write!(
                    f,
                    "no built-in schema of this profile bounds `{member}`; bounded members: {known}"
                )
            }
        }
    }
}

debug_as_message!(BuiltInError);

impl Error for BuiltInError {}

/// The prefix of the names of schemas.
const URN: &str = "urn:tower-inference:";

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("tasks/", $folder, $name, ".json")))),*]
    };
}

const FILES: &[(&str, &str)] = files!["":
    "any_task",
    "audio_classification",
    "automatic_speech_recognition",
    "chat_completion",
    "chat_completion_response",
    "completion",
    "document_question_answering",
    "embeddings",
    "embeddings_response",
    "feature_extraction",
    "fill_mask",
    "generate",
    "image_classification",
    "image_segmentation",
    "image_to_text",
    "messages",
    "object_detection",
    "question_answering",
    "rerank",
    "responses",
    "sentence_similarity",
    "summarization",
    "table_question_answering",
    "tei_embed",
    "tei_predict",
    "tei_rerank",
    "tei_similarity",
    "tei_tokenize",
    "text_classification",
    "text_generation",
    "text_to_image",
    "text_to_speech",
    "tgi_generate",
    "token_classification",
    "translation",
    "zero_shot_classification",
];

/// Additions for OpenAI to the schemas of compatible servers.
const OPENAI: &[(&str, &str)] =
    files!["openai/": "chat_completion", "completion", "embeddings", "responses"];

/// Additions for Anthropic.
const ANTHROPIC: &[(&str, &str)] = files!["anthropic/": "messages"];

#[expect(clippy::expect_used, reason = "our own schemas; a test compiles each")]
fn read(files: &[(&str, &str)], name: &str) -> Option<Value> {
    let (_, text) = files.iter().find(|(file, _)| *file == name)?;
    Some(serde_json::from_str(text).expect("a built-in schema is JSON"))
}

/// JSON Merge Patch (RFC 7386 section 2).
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(into) = into else { return };
    for (name, value) in patch {
        if value.is_null() {
            into.remove(&name);
        } else {
            merge(into.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Keywords that bound a value besides its type.
const BOUNDS: [&str; 12] = [
    "additionalProperties",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
];

/// Removes the bounds of a member wherever a schema names it.
fn lift(schema: &mut Value, member: &str) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| lift(schema, member)),
        Value::Object(keywords) => {
            if let Some(named) = keywords.get_mut("properties").and_then(|all| all.get_mut(member))
            {
                unbind(named);
            }
            // `if` selects requests and bounds nothing.
            let rules = keywords.iter_mut().filter(|(keyword, _)| *keyword != "if");
            rules.for_each(|(_, schema)| lift(schema, member));
        }
        _ => {}
    }
}

/// Removes the bounds from a schema and from its elements and alternatives.
fn unbind(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(unbind),
        Value::Object(keywords) => {
            keywords.retain(|keyword, _| !BOUNDS.contains(&keyword.as_str()));
            let inner = keywords.iter_mut().filter(|(keyword, _)| {
                matches!(keyword.as_str(), "items" | "anyOf" | "oneOf" | "allOf")
            });
            inner.for_each(|(_, schema)| unbind(schema));
        }
        _ => {}
    }
}

/// Collects the members that a schema bounds.
fn collect_bounded(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Array(schemas) => schemas.iter().for_each(|schema| collect_bounded(schema, into)),
        Value::Object(keywords) => {
            for (name, named) in
                keywords.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                let mut unbound = named.clone();
                unbind(&mut unbound);
                if unbound != *named {
                    into.insert(name.clone());
                }
            }
            let rules = keywords.iter().filter(|(keyword, _)| *keyword != "if");
            rules.for_each(|(_, schema)| collect_bounded(schema, into));
        }
        _ => {}
    }
}

/// Collects the built-in schemas that a schema refers to.
fn collect_references(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Array(schemas) => schemas.iter().for_each(|schema| collect_references(schema, into)),
        Value::Object(keywords) => {
            let reference = keywords.get("$ref").and_then(Value::as_str);
            if let Some(name) = reference.and_then(|reference| reference.strip_prefix(URN)) {
                into.extend(name.split('#').next().map(str::to_owned));
            }
            keywords.values().for_each(|schema| collect_references(schema, into));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patch_follows_rfc_7386() {
        for (into, patch, merged) in [
            (
                json!({"a": 1, "b": 2}),
                json!({"a": null, "c": [null]}),
                json!({"b": 2, "c": [null]}),
            ),
            (json!({"a": {"b": 1}}), json!({"a": {"c": 2}}), json!({"a": {"b": 1, "c": 2}})),
            (json!({"a": [1]}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
            (json!(1), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 1}), json!([1]), json!([1])),
        ] {
            let mut value = into;
            merge(&mut value, patch);
            assert_eq!(value, merged);
        }
    }

    #[test]
    fn bound_is_removed_and_type_stays() {
        let mut schema = json!({
            "properties": {
                "a": {"type": "array", "maxItems": 4, "items": {"type": "integer", "minimum": 1}},
                "b": {"maximum": 2},
            },
            "if": {"properties": {"a": {"maxItems": 4}}},
            "then": {"properties": {"a": {"minItems": 1}}},
        });
        lift(&mut schema, "a");
        let lifted = json!({
            "properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"maximum": 2}},
            "if": {"properties": {"a": {"maxItems": 4}}},
            "then": {"properties": {"a": {}}},
        });
        assert_eq!(schema, lifted);
    }

    #[test]
    fn every_schema_compiles_without_any_bound() {
        let profiles =
            [Profile::compatible(), Profile::openai(), Profile::anthropic(), Profile::tei("m")];
        for profile in profiles {
            let all = BuiltInSchemas::new(profile);
            let Err(BuiltInError::UnknownBound { known, .. }) = all.clone().without_bound("")
            else {
                panic!("a member without a name has no bound");
            };
            let mut lifted = all.clone();
            for member in &known {
                lifted = lifted.without_bound(member).unwrap();
                assert!(lifted.clone().without_bound(member).is_err(), "{member} is bound no more");
            }
            for (name, _) in FILES {
                let _ = (all.compiled(name), lifted.compiled(name));
            }
        }
    }
}
