//! Parses the bytes of a document into an arena.

pub(crate) mod arena;
pub(crate) mod memory;
pub(crate) mod name_index;
pub(crate) mod names;
mod parser;
pub(crate) mod progress;
pub(crate) mod slot;
pub(crate) mod string;
