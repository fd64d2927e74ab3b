//! Counters that replicas share, in Redis or Valkey.

mod backend;
mod counts;
mod lease;
mod own;
mod script;
mod settings;

pub use self::{
    counts::RedisCounts,
    settings::{RedisStore, WhenAway},
};
pub use crate::redis_link::RedisError;
