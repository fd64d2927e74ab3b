//! The built-in schemas and their routes.

pub(crate) mod bounds;
pub(crate) mod routes;
mod tasks;
