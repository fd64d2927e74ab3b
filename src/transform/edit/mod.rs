mod encoding;
mod header;
mod json;
mod path;
mod query;
mod reserved;
mod uri;

pub(super) use self::{
    header::HeaderEdit,
    json::{JsonEdit, RequestInfo, SystemMessageEdit, apply_all, clamp::Clamp},
    path::PathEdit,
    query::QueryEdit,
    uri::UriEdits,
};
pub use self::{
    header::{EditableHeader, EditableHeaderError},
    json::{ModelAliases, SystemMessage},
    path::{PathError, PathTemplate},
    query::{EditableQuery, EditableQueryError},
};

/// Edits of a request that are made together.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    Header(HeaderEdit),
    Query(QueryEdit),
    Path(PathEdit),
    /// Consecutive edits of the body, which is written once for all of them.
    Json(Vec<JsonEdit>),
}
