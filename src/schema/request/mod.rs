//! Checks of a request: its parameters, its body, and the limits of chats.

pub(crate) mod chat_limits;
mod measure;
pub(crate) mod parameter;
pub(crate) mod rules;
