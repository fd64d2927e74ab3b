//! Edits of requests on the way to the upstream.

mod json;
mod layer;
mod step;

pub use self::{
    json::{ModelAliases, SystemMessage},
    layer::{Transform, TransformLayer},
};
