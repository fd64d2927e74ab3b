//! JSON Schemas for bodies, fields and queries.

mod arena;
mod compile;
mod equality;
mod explain;
mod layer;
mod number;

pub use self::{
    compile::{Schema, SchemaError},
    layer::{SchemaLayer, Validated},
};
