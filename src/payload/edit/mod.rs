//! Edits of a document that leave all other bytes as they were.

pub(crate) mod edits;
pub(crate) mod error;
pub(crate) mod literal;
mod operation;
pub(crate) mod pointer;
mod render;
mod target;
