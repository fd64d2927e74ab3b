//! JSON Schemas for bodies, fields and queries.

mod arena;
mod compile;
mod draft;
mod equality;
mod error;
mod explain;
mod layer;
mod number;
mod openapi;
mod reach;
mod survey;

pub use self::{
    compile::{Schema, SchemaBuilder},
    draft::Draft,
    error::{SchemaError, SchemaFault},
    layer::{SchemaLayer, Validated},
};
