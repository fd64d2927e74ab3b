//! Proves that a response with status 200 holds the result that its request asked for.
//!
//! Servers and gateways also send failures with this status. They have many forms, and the results of
//! each route have few. A response of a known form is therefore stored only if it holds a result.

mod choices;
mod expected;
mod generated;
mod media;
mod output;
mod result_end;
mod scores;
mod task;
mod value;
mod vectors;

pub(crate) use self::{
    expected::ExpectedResult,
    media::{is_media, starts_like_text},
    result_end::ResultEnd,
};
