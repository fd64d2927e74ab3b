//! Compiles schemas.

pub(crate) mod draft;
pub(crate) mod error;
pub(crate) mod keywords;
mod locate;
mod openapi;
pub(crate) mod schema;
mod subschemas;
mod validation_depth;
