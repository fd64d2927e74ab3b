//! Reads a request's body, and checks it.

pub(crate) mod collect;
pub(crate) mod reader;
pub(crate) mod settings;
