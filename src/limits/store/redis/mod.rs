//! Counters that replicas share in Redis or Valkey.

mod backend;
mod counters;
mod counts;
mod in_flight;
mod lease;
mod queue;
mod replica_counts;
mod script;
mod settings;

pub use crate::redis_link::RedisError;

pub(crate) use self::backend::RedisBackend;
pub use self::{
    counts::RedisCounts,
    settings::{OutagePolicy, RedisStore},
};
