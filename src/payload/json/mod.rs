//! Parses JSON documents strictly and reads their values in place.

pub(crate) mod bounds;
pub(crate) mod case_fold;
pub(crate) mod decimal;
pub(crate) mod document;
pub(crate) mod error;
pub(crate) mod fault;
pub(crate) mod kind;
pub(crate) mod node;
pub(crate) mod parse;
mod to_value;
