//! Checks responses: passed, copied while they stream, or held back.

pub(crate) mod body;
pub(crate) mod expectation;
pub(crate) mod fault;
pub(crate) mod held;
pub(crate) mod response_schema;
