//! Compiles schemas.

pub(crate) mod draft;
pub(crate) mod error;
mod locate;
mod openapi;
pub(crate) mod schema;
mod subschemas;
mod validation_depth;
