//! Counters that replicas share, in Redis or Valkey.

mod error;
mod settings;

pub use self::{
    error::RedisError,
    settings::{RedisStore, WhenAway},
};
