//! Counters that replicas share, in Redis or Valkey.

mod backend;
mod counts;
mod error;
mod lease;
mod script;
mod settings;

pub use self::{
    counts::RedisCounts,
    error::RedisError,
    settings::{RedisStore, WhenAway},
};
