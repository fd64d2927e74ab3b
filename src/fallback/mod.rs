//! Middleware that tries other models and upstreams when one fails.

mod layer;
mod retry_budget;
mod service;
mod settings;
mod target;

pub use self::{
    layer::FallbackLayer, retry_budget::RetryBudget, service::Fallback, target::Target,
};
