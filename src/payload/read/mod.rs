//! Reads and checks the body of a request.

pub(crate) mod collect;
pub(crate) mod headers;
pub(crate) mod reader;
pub(crate) mod settings;
