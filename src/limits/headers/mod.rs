//! The response headers that describe limits to clients.

mod plan;
mod policy;
mod recent;
mod set;
mod setting;
#[cfg(test)]
mod tests;
mod text;

pub use self::setting::LimitHeaders;
pub(crate) use self::{plan::HeaderPlan, set::RateLimitHeaders, text::quoted_name};
