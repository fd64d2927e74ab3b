//! How much a limit allows: a rate, a calendar quota or a number of requests in flight.

mod allowance;
mod concurrency;
mod quota;
mod rate;
mod unit;

pub use self::{allowance::Allowance, concurrency::Concurrency, quota::Quota, rate::Rate};
pub(crate) use self::{
    allowance::AllowanceKind,
    quota::{Period, QuotaWindow},
    unit::Unit,
};
