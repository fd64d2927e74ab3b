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
    keywords::UnknownKeyword,
    locate::{document_at, locate, translate},
    openapi::rewrite,
    subschemas::{SchemaDocument, SubschemaScan},
    validation_depth::ValidationDepth,
};
use crate::{
    lookalike::{lookalike, without_byte_order_mark},
    payload::Document,
    rejection::Violation,
    schema::{
        explain::{bounded_json::BoundedJson, explain},
        validate::instance::{DocumentJson, Instance},
    },
};

/// A compiled JSON Schema. Clones are cheap and share it.
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
/// OpenAPI keywords work in every draft:
///
/// - `nullable: true` accepts `null`, also next to `$ref`, `enum`, `const`, `allOf`, `oneOf`,
///   `anyOf` and `not`.
/// - A boolean `exclusiveMinimum` or `exclusiveMaximum` makes its bound exclusive.
/// - `example`, `discriminator`, `readOnly` and `writeOnly` have no effect.
/// - `format` applies only with [`SchemaBuilder::formats`].
///
/// # Caveats
///
/// - A schema and each additional document may be 128 levels deep and have 262,144 values. A
///   compiled pattern may take a megabyte. A schema deeper than 24 levels is compiled on a
///   temporary thread.
/// - A document is invalid if its validation needs more than 2,500 nested schemas. This takes a
///   recursive schema and a deep document.
/// - Integers of 64 bits are compared exactly. Other numbers are compared as the nearest `f64`, as
///   in `serde_json`. A number beyond `f64` exceeds every bound, is a multiple of no fraction and
///   equals no number in a schema.
/// - A reference must lead to a nullable schema itself. A reference into its `allOf`, `oneOf` or
///   `not` does not resolve or leads to the converted schema.
/// - Custom meta-schemas are rejected. `idn-email` and `idn-hostname` are not checked.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    validator: Validator<DocumentJson>,
    // The same schema for a view that limits the cost of collecting violations.
    explainer: Validator<BoundedJson>,
    depth: ValidationDepth,
    unknown: Vec<UnknownKeyword>,
}

impl Schema {
    /// Compiles a schema without external references. `$schema` names the draft. The default is
    /// 2020-12.
    ///
    /// # Errors
    ///
    /// Returns a [`SchemaError`] if the schema is invalid. See [`SchemaFault`].
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        Self::builder().build(schema)
    }

    /// Parses and compiles a schema, as [`Schema::new`] does.
    ///
    /// # Errors
    ///
    /// Returns a [`SchemaError`] if the schema is invalid. See [`SchemaFault`].
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, SchemaError> {
        Self::builder().parse(text)
    }

    /// Creates a builder for schemas with another default draft, external references or formats.
    pub const fn builder() -> SchemaBuilder {
        SchemaBuilder { draft: Draft::Draft202012, documents: Vec::new(), formats: false }
    }

    /// Returns the members that look like misspelt keywords, at most 64 of them.
    ///
    /// JSON Schema takes an unknown keyword for an annotation, so `requried` or `maxLenght` checks
    /// nothing. The builder logs these members at `warn`. Members that resemble no keyword are not
    /// reported.
    ///
    /// ```
    /// use serde_json::json;
    /// use tower_inference::schema::Schema;
    ///
    /// let schema = Schema::new(&json!({"properties": {"n": {"maximun": 4}}}))?;
    /// let [unknown] = schema.unknown_keywords() else { unreachable!() };
    /// assert_eq!((&*unknown.pointer, unknown.similar), ("/properties/n/maximun", Some("maximum")));
    /// # Ok::<(), tower_inference::schema::SchemaError>(())
    /// ```
    #[must_use]
    pub fn unknown_keywords(&self) -> &[UnknownKeyword] {
        &self.0.unknown
    }

    /// Returns whether a document matches the schema. Allocates only for names and strings with
    /// escapes.
    #[must_use]
    pub fn is_valid(&self, document: &Document) -> bool {
        self.0.depth.allows(document.depth())
            && self.0.validator.is_valid(Instance::Value(document.root()))
    }

    /// Returns whether a string outside of a document matches the schema.
    pub(crate) fn is_valid_text(&self, text: &str) -> bool {
        self.0.validator.is_valid(Instance::Name(text))
    }

    /// Returns the violations of the schema in document order.
    ///
    /// There are at most 16. The last one tells if there are more. If all alternatives of `anyOf`
    /// or `oneOf` fail then only the violations of the closest one are returned. A pointer has at
    /// most 256 bytes and uses the client's member names. No violation contains a value.
    ///
    /// Collecting violations takes at most 65,536 steps of the validator and eight more for each
    /// value of the document. It takes one or two megabytes and a copy of unknown member names.
    /// Beyond these bounds the violation names the whole document with the keyword `schema`. The
    /// same applies to a schema with more than 600 nested schemas, which would overflow the stack.
    #[must_use]
    pub fn violations(&self, document: &Document) -> Vec<Violation> {
        if !self.0.depth.allows(document.depth()) {
            let detail = "is nested too deeply for a recursive schema";
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

/// Options of a schema. Created by [`Schema::builder`].
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
    /// Sets the draft of schemas without `$schema`. Defaults to 2020-12.
    pub const fn draft(mut self, draft: Draft) -> Self {
        self.draft = draft;
        self
    }

    /// Adds a document that references can lead to. A relative URI is resolved against the `$id` of
    /// the schema. No document is fetched.
    pub fn document(mut self, uri: impl Into<String>, document: Value) -> Self {
        self.documents.push((uri.into(), document));
        self
    }

    /// Checks `format`. By default it has no effect.
    ///
    /// The formats are those of JSON Schema and three of OpenAPI: `int32` and `int64` for numbers
    /// and `byte` for base64 (RFC 4648 section 4). Other formats such as `float`, `double`,
    /// `binary` and `password` have no effect.
    pub const fn formats(mut self) -> Self {
        self.formats = true;
        self
    }

    /// Parses and compiles a schema.
    ///
    /// # Errors
    ///
    /// Returns a [`SchemaError`] if the schema is invalid. See [`SchemaFault`].
    pub fn parse(&self, text: impl Into<Bytes>) -> Result<Schema, SchemaError> {
        let text = text.into();
        // RFC 8259 section 8.1 lets readers ignore the mark.
        let text = text.slice_ref(without_byte_order_mark(&text));
        let document = Document::parse(text.clone()).and_then(|document| document.to_value());
        let fault = |error| match lookalike(&text) {
            Some(form) => SchemaFault::OtherForm(form),
            None => SchemaFault::Malformed(error),
        };
        self.build(&document.map_err(|error| SchemaError::new(fault(error)))?)
    }

    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// Returns a [`SchemaError`] if the schema is invalid. See [`SchemaFault`].
    pub fn build(&self, schema: &Value) -> Result<Schema, SchemaError> {
        let mut deepest = measure(schema, None)?;
        for (uri, document) in &self.documents {
            deepest = deepest.max(measure(document, Some(uri))?);
        }
        let compiled = self.compile_within(deepest, schema)?;
        warn_unknown(compiled.unknown_keywords());
        Ok(compiled)
    }

    fn compile_within(&self, deepest: usize, schema: &Value) -> Result<Schema, SchemaError> {
        if deepest <= SHALLOW {
            return self.compile(schema);
        }
        // The compiler recurses for each nested schema in up to nine calls. Each call takes
        // kilobytes of stack.
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
        let mut compiled = self.assemble(schema, documents, draft).map_err(|error| {
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
        compiled.unknown = survey.unknown;
        Ok(Schema(Arc::new(compiled)))
    }

    fn assemble(
        &self,
        schema: &Value,
        documents: &[Value],
        draft: Draft,
    ) -> Result<Compiled, ValidationError<'static>> {
        let base = base_of(schema, draft)?;
        // Without a retriever nothing is fetched.
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
        Ok(Compiled { validator, explainer, depth, unknown: Vec::new() })
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

/// The maximum number of returned violations.
const MOST_VIOLATIONS: usize = 16;

/// The maximum number of nested schemas while violations are collected. They fit on a stack of two
/// megabytes in an unoptimized build. Collecting takes more stack than validating.
const MAX_EXPLAINED: usize = 600;

/// The maximum depth of a schema that is compiled on the current stack.
const SHALLOW: usize = 24;

/// Stack size in bytes. The system commits pages on first use.
const DEEP_STACK: usize = 32 << 20;

/// The maximum nesting depth of a schema.
const MAX_DEPTH: usize = 128;

/// The maximum number of values in a schema or an additional document.
const MAX_VALUES: usize = 1 << 18;

/// The maximum size in bytes of a compiled pattern and of its cache.
const PATTERN: usize = 1 << 20;

/// Returns the depth of a document within the bounds.
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

/// Logs the members that look like misspelt keywords.
fn warn_unknown(unknown: &[UnknownKeyword]) {
    const SHOWN: usize = 8;
    if unknown.is_empty() {
        return;
    }
    let shown: Vec<_> = unknown.iter().take(SHOWN).map(ToString::to_string).collect();
    tracing::warn!(
        count = unknown.len(),
        members = shown.join("; "),
        "unknown keywords of a schema have no effect"
    );
}

/// Returns the known draft that a document names, or else the given one.
fn draft_of(document: &Value, draft: Draft) -> Draft {
    document.get("$schema").and_then(Value::as_str).and_then(Draft::of).unwrap_or(draft)
}

/// Returns the base URI of relative references in a schema.
fn base_of(schema: &Value, draft: Draft) -> Result<Uri<String>, ReferencingError> {
    let resource = draft.engine().create_resource_ref(schema);
    uri::from_str(resource.id().map_or("json-schema:///", |id| id.trim_end_matches('#')))
}

/// Checks a document by the rules of its draft.
fn check(document: &Value, draft: Draft) -> Result<(), ValidationError<'_>> {
    match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validate(document),
        Draft::Draft6 => jsonschema::draft6::meta::validate(document),
        Draft::Draft7 => jsonschema::draft7::meta::validate(document),
        Draft::Draft201909 => jsonschema::draft201909::meta::validate(document),
        Draft::Draft202012 => jsonschema::draft202012::meta::validate(document),
    }
}

/// Base64 with padding (RFC 4648 section 4).
fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    let padding = text.len() - data.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
