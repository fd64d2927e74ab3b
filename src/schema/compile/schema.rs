use std::{fmt, sync::Arc};

use bytes::Bytes;
use jsonschema::{
    PatternOptions, ReferencingError, Registry, Retrieve, Uri, ValidationError, ValidationOptions,
    Validator, error::ValidationErrorKind, json::Json, uri,
};
use serde_json::Value;

use super::{
    draft::Draft,
    error::{SchemaError, SchemaFault},
    locate::{document_at, locate, translate},
    openapi::rewrite,
    subschemas::{SchemaDocument, SubschemaScan},
    validation_depth::ValidationDepth,
};
use crate::{
    payload::Document,
    rejection::Violation,
    schema::{
        explain::{bounded_json::BoundedJson, explain},
        validate::instance::{DocumentJson, Instance},
    },
};

/// A JSON Schema, compiled once. Copies are cheap and share it.
///
/// ```
/// use serde_json::json;
/// use tower_inference::{payload::Document, schema::Schema};
///
/// let schema = Schema::new(&json!({
///     "required": ["model"],
///     "properties": {"model": {"type": "string"}, "n": {"maximum": 4, "nullable": true}},
/// }))?;
/// assert!(schema.is_valid(&Document::parse(r#"{"model": "m", "n": null}"#)?));
/// assert!(!schema.is_valid(&Document::parse(r#"{"model": "m", "n": 1e400}"#)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// OpenAPI's terms count in every draft. `nullable: true` allows `null`, also beside `$ref`, `enum`,
/// `const`, `allOf`, `oneOf`, `anyOf` and `not`; a boolean `exclusiveMinimum` or `exclusiveMaximum`
/// makes its bound exclusive; `example`, `discriminator`, `readOnly` and `writeOnly` say nothing,
/// and `format` does so on request alone: see [`SchemaBuilder::formats`].
///
/// # Limits
///
/// - A schema may be 128 arrays and objects deep and hold 262,144 values, as may each further
///   document; a compiled pattern may take a megabyte. A schema deeper than 24 is compiled on a
///   thread of its own, which ends before the call does.
/// - A document that would lead through more than 2,500 schemas in one another, which takes a schema
///   that refers to itself and a deep document, is not as the schema says.
/// - Numbers are compared as the nearest `f64` unless they are integers of 64 bits, as `serde_json`
///   would hold them; those beyond any `f64` are beyond every bound, a multiple of no fraction, and
///   equal to nothing in a schema.
/// - A reference that leads into the `allOf`, `oneOf`, `not` and the like of a nullable schema,
///   and not to that schema, leads nowhere or to what `null` was added to.
/// - Custom meta-schemas are refused, and `idn-email` and `idn-hostname` are not checked.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    validator: Validator<DocumentJson>,
    // The same once more, over a view that bounds what an answer costs.
    explainer: Validator<BoundedJson>,
    depth: ValidationDepth,
}

impl Schema {
    /// Compiles a schema that refers to nothing outside it, of the draft that it names, or else of
    /// 2020-12.
    ///
    /// # Errors
    ///
    /// See [`SchemaFault`].
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        Self::builder().build(schema)
    }

    /// Reads and compiles a schema, as [`Schema::new`] does.
    ///
    /// # Errors
    ///
    /// See [`SchemaFault`].
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, SchemaError> {
        Self::builder().parse(text)
    }

    /// For schemas that name no draft, refer to others, or ask for formats.
    pub const fn builder() -> SchemaBuilder {
        SchemaBuilder { draft: Draft::Draft202012, documents: Vec::new(), formats: false }
    }

    /// Whether a document is as the schema says. Does not allocate, but where names or values with
    /// escapes are looked at.
    #[must_use]
    pub fn is_valid(&self, document: &Document) -> bool {
        self.0.depth.allows(document.depth())
            && self.0.validator.is_valid(Instance::Value(document.root()))
    }

    /// Whether a string that stands in no document is as the schema says.
    pub(crate) fn is_valid_text(&self, text: &str) -> bool {
        self.0.validator.is_valid(Instance::Name(text))
    }

    /// Where a document breaks the schema, in the order of the document; none when it does not.
    ///
    /// At most 16 places, the last of which says when there are more. Where alternatives (`anyOf`,
    /// `oneOf`) all fail, those of the one that came nearest. A pointer names members as the caller
    /// did, in 256 bytes at most; no value is told.
    ///
    /// To gather them takes 65,536 steps of the validator and eight for each node of the document,
    /// a megabyte or two at once, and once more the names of members that are not known. What that
    /// does not suffice for is told of the whole document, under the keyword `schema`; so it is,
    /// too, where the schema goes deeper than a stack holds while details are gathered: 600 schemas
    /// in one another.
    #[must_use]
    pub fn violations(&self, document: &Document) -> Vec<Violation> {
        if !self.0.depth.allows(document.depth()) {
            let detail = "nested too deeply for a schema that refers to itself";
            return vec![Violation::new("", "$ref", detail)];
        }
        if self.0.validator.is_valid(Instance::Value(document.root())) {
            return Vec::new();
        }
        let depth = self.0.depth;
        let limits = depth.levels(MAX_EXPLAINED).map(|levels| (levels, depth.at_one_value()));
        explain(&self.0.explainer, limits, document, MOST_VIOLATIONS)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("depth", &self.0.depth).finish_non_exhaustive()
    }
}

/// What a schema is compiled with. Made by [`Schema::builder`].
///
/// ```
/// use serde_json::json;
/// use tower_inference::{payload::Document, schema::{Draft, Schema}};
///
/// let model = "https://apigateway.amazonaws.com/restapis/a1b2c3/models/Message";
/// let schema = Schema::builder()
///     .draft(Draft::Draft4)
///     .document(model, json!({"required": ["content"]}))
///     .build(&json!({"items": {"$ref": model}}))?;
/// assert!(schema.is_valid(&Document::parse(r#"[{"content": "hi"}]"#)?));
/// assert!(!schema.is_valid(&Document::parse("[{}]")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SchemaBuilder {
    draft: Draft,
    documents: Vec<(String, Value)>,
    formats: bool,
}

impl SchemaBuilder {
    /// Sets the draft of what does not name its own in `$schema`: 2020-12 by default.
    pub const fn draft(mut self, draft: Draft) -> Self {
        self.draft = draft;
        self
    }

    /// Gives a document that references may lead into, under its URI. A relative one is resolved
    /// as references are, against the `$id` of the schema. Nothing that is not given is fetched.
    pub fn document(mut self, uri: impl Into<String>, document: Value) -> Self {
        self.documents.push((uri.into(), document));
        self
    }

    /// Asserts `format`; by default it says nothing about what is valid.
    ///
    /// The formats are those of JSON Schema, and of OpenAPI `int32` and `int64`, which bound numbers,
    /// and `byte`, which is base64 (RFC 4648 section 4). Others, `float`, `double`, `binary` and
    /// `password` among them, say nothing.
    pub const fn formats(mut self) -> Self {
        self.formats = true;
        self
    }

    /// Reads and compiles a schema.
    ///
    /// # Errors
    ///
    /// See [`SchemaFault`].
    pub fn parse(&self, text: impl Into<Bytes>) -> Result<Schema, SchemaError> {
        let document = Document::parse(text).and_then(|document| document.to_value());
        self.build(&document.map_err(|error| SchemaError::new(SchemaFault::Malformed(error)))?)
    }

    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// See [`SchemaFault`].
    pub fn build(&self, schema: &Value) -> Result<Schema, SchemaError> {
        let mut deepest = measure(schema, None)?;
        for (uri, document) in &self.documents {
            deepest = deepest.max(measure(document, Some(uri))?);
        }
        if deepest <= SHALLOW {
            return self.compile(schema);
        }
        // The compiler calls itself for each schema in another, on up to nine ways at a time, and
        // takes kilobytes for each.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(DEEP_STACK);
            let compiling = thread.spawn_scoped(scope, || self.compile(schema));
            compiling.ok().and_then(|compiling| compiling.join().ok())
        })
        .unwrap_or_else(|| Err(SchemaError::new(SchemaFault::TooDeep)))
    }

    fn compile(&self, schema: &Value) -> Result<Schema, SchemaError> {
        let draft = draft_of(schema, self.draft);
        let documents = self.documents.iter();
        let further = documents.map(|(uri, value)| SchemaDocument {
            uri: Some(uri),
            value,
            draft: draft_of(value, draft),
        });
        let root = SchemaDocument { uri: None, value: schema, draft };
        let sources: Vec<_> = std::iter::once(root).chain(further).collect();
        let survey = SubschemaScan::of(&sources)?;

        let mut values: Vec<Value> = sources.iter().map(|source| source.value.clone()).collect();
        for referred in &survey.referred {
            let value = values.get_mut(referred.source);
            if let Some(value) = value.and_then(|value| value.pointer_mut(&referred.pointer)) {
                rewrite(value, referred.draft, self.formats);
            }
        }
        for (value, source) in values.iter_mut().zip(&sources) {
            rewrite(value, source.draft, self.formats);
        }
        let Some((schema, documents)) = values.split_first() else {
            return Err(SchemaError::new(SchemaFault::TooLarge));
        };
        for (value, source) in documents.iter().zip(sources.iter().skip(1)) {
            check(value, source.draft).map_err(|error| translate(&error, source.uri))?;
        }
        for referred in &survey.referred {
            let value = values.get(referred.source);
            if let Some(value) = value.and_then(|value| value.pointer(&referred.pointer)) {
                let document = sources.get(referred.source).and_then(|source| source.uri);
                check(value, referred.draft).map_err(|error| {
                    let SchemaError { fault, pointer, .. } = translate(&error, None);
                    SchemaError::at(fault, document, &format!("{}{pointer}", referred.pointer))
                })?;
            }
        }
        let compiled = self.assemble(schema, documents, draft).map_err(|error| {
            let mut own = translate(&error, None);
            own.document = document_at(&own, &sources);
            if let ValidationErrorKind::Referencing(error) = error.kind() {
                locate(&mut own, error, &survey, &sources);
            }
            own
        })?;
        if !compiled.depth.allows(0) {
            return Err(SchemaError::new(SchemaFault::TooDeep));
        }
        Ok(Schema(Arc::new(compiled)))
    }

    fn assemble(
        &self,
        schema: &Value,
        documents: &[Value],
        draft: Draft,
    ) -> Result<Compiled, ValidationError<'static>> {
        let base = base_of(schema, draft)?;
        // Without a retriever: what is not there, is not there.
        let mut registry =
            Registry::new().draft(draft.engine()).retrieve_known_draft_meta_schemas(false);
        for ((uri, _), value) in self.documents.iter().zip(documents) {
            let uri = uri::resolve_against(&base.borrow(), uri)?;
            let resource = draft_of(value, draft).engine().create_resource_ref(value);
            registry = registry.add(uri.as_str(), resource)?;
        }
        let registry = registry.prepare()?;

        let validator = self.options(draft).with_registry(&registry).build(schema)?;
        let explainer = self.options(draft).with_registry(&registry).build(schema)?;

        let whole = registry.add(base.as_str(), schema)?.draft(draft.engine());
        let whole = whole.retrieve_known_draft_meta_schemas(false).prepare()?;
        let depth = ValidationDepth::of(&whole, base, schema, draft)?;
        Ok(Compiled { validator, explainer, depth })
    }

    fn options<F: Json>(&self, draft: Draft) -> ValidationOptions<'_, Arc<dyn Retrieve>, F> {
        jsonschema::options_for::<F>()
            .offline()
            .with_draft(draft.engine())
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN),
            )
            .should_validate_formats(self.formats)
            .with_format("byte", is_base64)
    }
}

/// How many places an answer tells.
const MOST_VIOLATIONS: usize = 16;

/// How many schemas may stand in one another while details are gathered: what a stack of two
/// megabytes holds in a build that is not optimized. To gather takes more of it than to judge.
const MAX_EXPLAINED: usize = 600;

/// As deep as a schema may be that is compiled on the stack that is there.
const SHALLOW: usize = 24;

/// In bytes. They are taken as they are used.
const DEEP_STACK: usize = 32 << 20;

/// How many arrays and objects may stand in one another.
const MAX_DEPTH: usize = 128;

/// How many values a schema may hold, or one of the further documents.
const MAX_VALUES: usize = 1 << 18;

/// In bytes, of a compiled pattern, and of what is kept while it is matched.
const PATTERN: usize = 1 << 20;

/// How deep a document is, within the bounds.
fn measure(document: &Value, uri: Option<&str>) -> Result<usize, SchemaError> {
    let (mut values, mut deepest) = (0, 0);
    let mut pending = vec![(document, 0)];
    while let Some((value, around)) = pending.pop() {
        values += 1;
        if values > MAX_VALUES {
            return Err(SchemaError::at(SchemaFault::TooLarge, uri, ""));
        }
        let depth = around + usize::from(value.is_array() || value.is_object());
        if depth > MAX_DEPTH {
            return Err(SchemaError::at(SchemaFault::TooDeep, uri, ""));
        }
        deepest = deepest.max(depth);
        match value {
            Value::Array(elements) => pending.extend(elements.iter().map(|value| (value, depth))),
            Value::Object(members) => pending.extend(members.values().map(|value| (value, depth))),
            _ => {}
        }
    }
    Ok(deepest)
}

/// The draft that a document names, if it is a known one, or else the given one.
fn draft_of(document: &Value, draft: Draft) -> Draft {
    document.get("$schema").and_then(Value::as_str).and_then(Draft::of).unwrap_or(draft)
}

/// What relative references in a schema are resolved against.
fn base_of(schema: &Value, draft: Draft) -> Result<Uri<String>, ReferencingError> {
    let resource = draft.engine().create_resource_ref(schema);
    uri::from_str(resource.id().map_or("json-schema:///", |id| id.trim_end_matches('#')))
}

/// Holds a document to the rules of its draft.
fn check(document: &Value, draft: Draft) -> Result<(), ValidationError<'_>> {
    match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validate(document),
        Draft::Draft6 => jsonschema::draft6::meta::validate(document),
        Draft::Draft7 => jsonschema::draft7::meta::validate(document),
        Draft::Draft201909 => jsonschema::draft201909::meta::validate(document),
        Draft::Draft202012 => jsonschema::draft202012::meta::validate(document),
    }
}

/// RFC 4648 section 4, with its padding.
fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    let padding = text.len() - data.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
