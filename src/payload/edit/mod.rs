//! Edits documents and leaves all other bytes unchanged.

pub(crate) mod edits;
pub(crate) mod error;
pub(crate) mod literal;
mod operation;
pub(crate) mod pointer;
mod render;
mod target;
