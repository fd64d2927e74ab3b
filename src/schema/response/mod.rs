//! Checks of a response: passed, copied as it streams, or held back.

pub(crate) mod body;
pub(crate) mod expectation;
pub(crate) mod fault;
pub(crate) mod held;
pub(crate) mod response_schema;
