//! JSON Schemas for bodies, fields and queries.

mod arena;
mod chat;
mod compile;
mod explain;
mod finding;
mod layer;
mod nearest;
mod watched;

pub use self::{
    chat::{ChatLimits, Streaming},
    compile::{Schema, SchemaError},
    layer::{SchemaLayer, Validated},
};
