//! Limits on the output of generation requests and the usage of streams.
//!
//! `transform` and the token budget both limit the tokens that a request may generate. Both request the
//! usage of a stream and hide it again.

mod hide_usage;
mod include_usage;
mod member_names;
mod member_path;
mod members;
mod number;
mod output_tokens;
mod query_limits;
mod violation;

#[cfg(feature = "throttle")]
pub(crate) use self::violation::violation_at;
pub(crate) use self::{
    hide_usage::{HideUsage, is_event_stream},
    include_usage::IncludeUsage,
    output_tokens::OutputTokens,
};
#[cfg(feature = "transform")]
pub(crate) use self::{number::compare, violation::violation};
