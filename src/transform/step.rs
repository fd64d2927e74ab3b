use super::{fields::FieldEdit, json::JsonEdit, path::PathEdit, query::QueryEdit};

/// Edits of a request that are made together.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Of a header field.
    Field(FieldEdit),
    /// Of the query.
    Query(QueryEdit),
    /// Of the path.
    Path(PathEdit),
    /// Of the body's document: all that follow one another, so that it is written once.
    Json(Vec<JsonEdit>),
}
