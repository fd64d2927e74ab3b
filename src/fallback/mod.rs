//! Middleware that tries other models and upstreams when one fails.

mod body;
mod course;
mod future;
mod health;
mod hold;
mod layer;
mod order;
mod prepare;
mod retry_after;
mod retry_budget;
mod service;
mod settings;
mod target;

pub use self::{
    body::ResponseBody, future::ResponseFuture, layer::FallbackLayer, retry_budget::RetryBudget,
    service::Fallback, target::Target,
};
