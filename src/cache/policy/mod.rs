//! The rules that decide which responses are stored and served.

mod bypass;
mod cacheable;
mod control;
mod deterministic;
mod output_limit;
mod proof;
mod stateful;
mod status;
mod storable;

pub use self::cacheable::Cacheable;
pub(crate) use self::{
    bypass::BypassReason,
    control::CacheControl,
    output_limit::output_limit,
    proof::{ExpectedResult, ResultEnd, is_media, starts_like_text},
    status::{CACHE_STATUS, CacheStatus, ForwardReason, age_value, is_failure},
    storable::{ResponseFreshness, is_for_others, storable},
};
