//! A tier in Redis or Valkey.

mod backend;
mod commands;
mod redis_cache;

pub use self::redis_cache::RedisCache;
pub use crate::redis_link::RedisError;
