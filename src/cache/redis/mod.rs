//! Values that replicas share, in Redis or Valkey.

mod backend;
mod commands;
mod settings;

pub use self::settings::RedisCache;
pub use crate::redis_link::RedisError;
