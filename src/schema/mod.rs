//! JSON Schemas for bodies, fields and queries.

mod arena;
mod chat;
mod compile;
mod draft;
mod equality;
mod error;
mod explain;
mod finding;
mod layer;
mod nearest;
mod number;
mod openapi;
mod reach;
mod survey;
mod watched;

pub use self::{
    chat::{ChatLimits, Streaming},
    compile::{Schema, SchemaBuilder},
    draft::Draft,
    error::{SchemaError, SchemaFault},
    layer::{SchemaLayer, Validated},
};
