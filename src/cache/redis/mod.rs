//! Values that replicas share, in Redis or Valkey.

mod backend;
mod commands;
mod error;
mod settings;

pub use self::{error::RedisError, settings::RedisCache};
