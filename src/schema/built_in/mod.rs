//! The built-in schemas, and which path has which.

pub(crate) mod bounds;
pub(crate) mod routes;
mod tasks;
