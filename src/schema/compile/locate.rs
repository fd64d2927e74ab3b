use jsonschema::{ReferencingError, ValidationError, error::ValidationErrorKind};
use serde_json::Value;

use super::{
    error::{SchemaError, SchemaFault},
    subschemas::{SchemaDocument, SubschemaScan},
};

pub(crate) fn translate(error: &ValidationError<'_>, document: Option<&str>) -> SchemaError {
    let fault = match error.kind() {
        ValidationErrorKind::Referencing(error) => match error {
            ReferencingError::UnknownSpecification { specification } => {
                SchemaFault::UnknownDraft(specification.clone())
            }
            ReferencingError::Unretrievable { uri, .. } => SchemaFault::Unresolved(uri.clone()),
            ReferencingError::PointerToNowhere { pointer } => {
                SchemaFault::Unresolved(format!("#{pointer}"))
            }
            ReferencingError::NoSuchAnchor { anchor } => {
                SchemaFault::Unresolved(format!("#{anchor}"))
            }
            other => SchemaFault::Unresolved(other.to_string()),
        },
        ValidationErrorKind::Format { format } if format == "regex" => pattern_of(error),
        ValidationErrorKind::PropertyNames { error: inner }
            if matches!(inner.kind(), ValidationErrorKind::Format { .. }) =>
        {
            pattern_of(inner)
        }
        _ => SchemaFault::Illegal(error.masked().to_string()),
    };
    SchemaError::at(fault, document, error.instance_path().as_str())
}

/// Returns the first additional document with a value at the fault's position, unless the schema
/// itself has one there.
pub(crate) fn document_at(own: &SchemaError, sources: &[SchemaDocument<'_>]) -> Option<String> {
    let stands =
        |source: &&SchemaDocument<'_>| match (source.value.pointer(&own.pointer), &own.fault) {
            (Some(Value::String(found)), SchemaFault::Pattern(pattern)) => found == pattern,
            (found, _) => found.is_some(),
        };
    sources.iter().find(stands)?.uri.map(str::to_owned)
}

fn pattern_of(error: &ValidationError<'_>) -> SchemaFault {
    SchemaFault::Pattern(error.instance().as_str().unwrap_or_default().to_owned())
}

/// Sets the position and the text of an unresolved reference.
pub(crate) fn locate(
    own: &mut SchemaError,
    error: &ReferencingError,
    survey: &SubschemaScan<'_>,
    sources: &[SchemaDocument<'_>],
) {
    let is_meant = |text: &str| {
        let (uri, fragment) = text.split_once('#').unwrap_or((text, ""));
        match error {
            ReferencingError::Unretrievable { uri: missing, .. } => {
                !uri.is_empty() && missing.ends_with(uri.trim_start_matches(['.', '/']))
            }
            ReferencingError::PointerToNowhere { pointer } => {
                !fragment.is_empty() && fragment == pointer
            }
            ReferencingError::NoSuchAnchor { anchor } => fragment == anchor,
            _ => false,
        }
    };
    if let Some(found) = survey.references.iter().find(|reference| is_meant(reference.text)) {
        let document = sources.get(found.source).and_then(|source| source.uri);
        let fault = SchemaFault::Unresolved(found.text.to_owned());
        *own = SchemaError::at(fault, document, &found.pointer);
    }
}
