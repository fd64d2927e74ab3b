//! JSON Schemas for bodies, fields and queries.

mod arena;
mod compile;
mod explain;
mod finding;
mod layer;
mod nearest;
mod watched;

pub use self::{
    compile::{Schema, SchemaError},
    layer::{SchemaLayer, Validated},
};
