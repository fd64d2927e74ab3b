//! Flags of the limits.

use tower_inference::limits::{Quota, Rate};

use super::{UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 7] = [
    "--rate",
    "--burst",
    "--quota",
    "--token-budget",
    "--binary-cost",
    "--auth-failures",
    "--trusted-proxy",
];

/// The default cost of a body that is not JSON.
pub(crate) const BINARY_COST: u32 = 1_000;

/// The limits. `None` is no limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    pub(crate) rate: Option<Rate>,
    /// The burst of the rate.
    pub(crate) burst: Option<u32>,
    pub(crate) quota: Option<Quota>,
    pub(crate) token_budget: Option<Rate>,
    /// The cost in tokens of a body that is not JSON.
    pub(crate) binary_cost: u32,
    pub(crate) auth_failures: Option<Rate>,
    /// Networks of proxies whose `x-forwarded-for` is trusted.
    pub(crate) trusted_proxies: Vec<String>,
}

impl Limits {
    /// Returns whether anything is limited.
    pub(crate) const fn is_any(&self) -> bool {
        let Self { rate, quota, token_budget, auth_failures, .. } = self;
        rate.is_some() || quota.is_some() || token_budget.is_some() || auth_failures.is_some()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: None,
            burst: None,
            quota: None,
            token_budget: None,
            binary_cost: BINARY_COST,
            auth_failures: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    rate: Option<(u32, Rate)>,
    burst: Option<u32>,
    quota: Option<Quota>,
    token_budget: Option<Rate>,
    binary_cost: Option<u32>,
    auth_failures: Option<Rate>,
    trusted_proxies: Vec<String>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        match flag {
            "--rate" => {
                let rate = read(flag, value, counted_rate, "a rate such as 10/s")?;
                once(flag, &mut self.rate, rate)
            }
            "--burst" => {
                let burst = read(flag, value, units::count, "a number that is not zero")?;
                once(flag, &mut self.burst, burst)
            }
            "--quota" => {
                let quota = read(flag, value, quota, "a quota such as 10000/day")?;
                once(flag, &mut self.quota, quota)
            }
            "--token-budget" => {
                let budget = read(flag, value, rate, "a budget such as 100k/min")?;
                once(flag, &mut self.token_budget, budget)
            }
            "--binary-cost" => {
                let cost = read(flag, value, units::count, "a number that is not zero")?;
                once(flag, &mut self.binary_cost, cost)
            }
            "--auth-failures" => {
                let failures = read(flag, value, rate, "a rate such as 10/min")?;
                once(flag, &mut self.auth_failures, failures)
            }
            "--trusted-proxy" => {
                self.trusted_proxies.push(value.to_owned());
                Ok(())
            }
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }

    pub(super) fn resolve(self) -> Result<Limits, UsageError> {
        let Self { rate, burst, quota, token_budget, binary_cost, auth_failures, trusted_proxies } =
            self;
        if rate.is_none() && burst.is_some() {
            return Err(UsageError("--burst needs --rate".to_owned()));
        }
        let burst = burst.or_else(|| rate.map(|(count, _)| count));
        let rate = rate.zip(burst).map(|((_, rate), burst)| rate.burst(burst));
        if token_budget.is_none() && binary_cost.is_some() {
            return Err(UsageError("--binary-cost needs --token-budget".to_owned()));
        }
        let binary_cost = binary_cost.unwrap_or(BINARY_COST);
        Ok(Limits { rate, burst, quota, token_budget, binary_cost, auth_failures, trusted_proxies })
    }
}

/// Parses `10/s`, `600/min`, `100k/h` or `1M/day`.
fn rate(text: &str) -> Option<Rate> {
    counted_rate(text).map(|(_, rate)| rate)
}

/// Parses a rate and returns its number too.
fn counted_rate(text: &str) -> Option<(u32, Rate)> {
    let (count, period) = text.split_once('/')?;
    let count = units::count(count)?;
    let rate = match period {
        "s" => Rate::per_second(count),
        "min" => Rate::per_minute(count),
        "h" => Rate::per_hour(count),
        "day" => Rate::per_day(count),
        _ => return None,
    };
    Some((count, rate))
}

/// Parses `10000/day`, `50k/week` or `1M/month`.
fn quota(text: &str) -> Option<Quota> {
    let (count, period) = text.split_once('/')?;
    let count = u64::from(units::count(count)?);
    Some(match period {
        "day" => Quota::per_day(count),
        "week" => Quota::per_week(count),
        "month" => Quota::per_month(count),
        _ => return None,
    })
}
