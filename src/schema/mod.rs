//! JSON Schemas for bodies, fields and queries.

mod arena;
mod builtin;
mod compile;
mod explain;
mod layer;

pub use self::{
    compile::{Schema, SchemaError},
    layer::{SchemaLayer, Validated},
};
