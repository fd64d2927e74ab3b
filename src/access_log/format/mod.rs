//! How a record is written: each set of fields is one file.

mod api_gateway;
mod attempts;
mod common;
mod emf;
mod error;
mod fields;
mod json;
mod line_format;
mod members;
mod open_telemetry;
mod shared_members;

pub(super) use self::{
    attempts::attempts_text,
    json::{decisions, line},
    members::{Member, Members},
};
pub use self::{
    emf::{Dimension, Emf, EmfError, Unit},
    error::FormatError,
    line_format::Format,
};
