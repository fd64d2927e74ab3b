//! Compiles a schema: its draft, its references, OpenAPI's terms, and how deep it goes.

pub(crate) mod draft;
pub(crate) mod error;
mod locate;
mod openapi;
pub(crate) mod schema;
mod subschemas;
mod validation_depth;
