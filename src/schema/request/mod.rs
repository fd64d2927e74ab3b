//! Checks the parameters and the body of a request.

pub(crate) mod chat_limits;
mod measure;
pub(crate) mod parameter;
pub(crate) mod rules;
