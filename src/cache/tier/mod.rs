//! The second tier: a store behind memory that replicas share or that outlives the process.

mod client;
mod codec;
mod pending;
#[cfg(feature = "redis")]
mod redis;
mod seal;
mod second_tier;
mod state;
#[expect(clippy::module_inception, reason = "the folder is named after its main type")]
mod tier;

#[cfg(feature = "redis")]
pub use self::redis::{RedisCache, RedisError};
pub(crate) use self::{
    client::{TierClient, TierLookup, TierResult, UpstreamLease},
    codec::monotonic,
};
pub use self::{
    second_tier::SecondTier,
    tier::{LeaseResult, Tier, TierFuture},
};
