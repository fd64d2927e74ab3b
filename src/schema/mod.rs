//! JSON Schemas for bodies, fields and queries.
#![doc = ""]
#![doc = include_str!("builtin.md")]

mod arena;
mod builtin;
mod compile;
mod explain;
mod layer;

pub use self::{
    compile::{Schema, SchemaError},
    layer::{SchemaLayer, Validated},
};
