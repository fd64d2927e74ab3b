//! Flags of model aliases, retries and fallback.

use std::time::Duration;

use super::{A_TIME, UsageError, once, read, upstreams::Upstream};
use crate::units;

pub(super) const FLAGS: [&str; 8] = [
    "--model-alias",
    "--retry",
    "--retry-max-attempts",
    "--retry-budget",
    "--retry-cool-down",
    "--retry-max-cool-down",
    "--first-content-timeout",
    "--wait-for-model",
];

/// The settings of the fallback. `None` is the default of the layer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fallback {
    pub(crate) aliases: Vec<Alias>,
    pub(crate) retries: Option<u32>,
    pub(crate) max_attempts: Option<u32>,
    /// Retries for one hundred requests.
    pub(crate) budget: Option<u16>,
    pub(crate) cool_down: Option<Duration>,
    pub(crate) max_cool_down: Option<Duration>,
    pub(crate) first_content_timeout: Option<Duration>,
    pub(crate) wait_for_model: Option<Duration>,
    /// Leaves out `x-inference-target`.
    pub(crate) hide_target: bool,
}

/// A name that clients send, and its targets in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// The position of its upstream.
    pub(crate) upstream: usize,
    pub(crate) model: String,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    aliases: Vec<(String, String)>,
    rest: Fallback,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let rest = &mut self.rest;
        let time = |text: &str| units::time(text).filter(|time| !time.is_zero());
        match flag {
            "--model-alias" => {
                let alias = |text: &str| {
                    let (alias, targets) = text.split_once('=')?;
                    let empty = alias.is_empty() || targets.split(',').any(str::is_empty);
                    (!empty).then(|| (alias.to_owned(), targets.to_owned()))
                };
                let alias = read(flag, value, alias, "ALIAS=[UPSTREAM/]MODEL[,…]")?;
                if self.aliases.iter().any(|(name, _)| *name == alias.0) {
                    return Err(UsageError(format!("{flag} {} was given twice", alias.0)));
                }
                self.aliases.push(alias);
                Ok(())
            }
            "--retry" => {
                let retries = |text: &str| text.parse().ok().filter(|retries| *retries <= 15);
                once(flag, &mut rest.retries, read(flag, value, retries, "a number from 0 to 15")?)
            }
            "--retry-max-attempts" => {
                let attempts = |text: &str| text.parse().ok().filter(|n| (1..=64).contains(n));
                let attempts = read(flag, value, attempts, "a number from 1 to 64")?;
                once(flag, &mut rest.max_attempts, attempts)
            }
            "--retry-budget" => {
                let percent = |text: &str| text.parse().ok().filter(|percent| *percent <= 100);
                let percent = read(flag, value, percent, "a percentage from 0 to 100")?;
                once(flag, &mut rest.budget, percent)
            }
            "--retry-cool-down" => {
                once(flag, &mut rest.cool_down, read(flag, value, units::time, A_TIME)?)
            }
            "--retry-max-cool-down" => {
                once(flag, &mut rest.max_cool_down, read(flag, value, units::time, A_TIME)?)
            }
            "--first-content-timeout" => {
                let time = read(flag, value, time, "a time above zero with its unit, such as 20s")?;
                once(flag, &mut rest.first_content_timeout, time)
            }
            "--wait-for-model" => {
                let time = read(flag, value, time, "a time above zero with its unit, such as 2m")?;
                once(flag, &mut rest.wait_for_model, time)
            }
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }

    pub(super) const fn hide_target(&mut self) {
        self.rest.hide_target = true;
    }

    /// Finds the upstream of each target. Without upstreams it is the demo's.
    pub(super) fn resolve(self, upstreams: &[Upstream]) -> Result<Fallback, UsageError> {
        let Self { aliases, mut rest } = self;
        for (name, targets) in aliases {
            let targets = targets.split(',').map(|target| self::target(target, upstreams));
            let targets = targets.collect::<Result<_, _>>()?;
            rest.aliases.push(Alias { name, targets });
        }
        Ok(rest)
    }
}

impl Fallback {
    /// Returns whether requests need the fallback.
    pub(crate) fn is_needed(&self, upstreams: usize) -> bool {
        let Self { aliases, retries, first_content_timeout, wait_for_model, .. } = self;
        upstreams > 1
            || !aliases.is_empty()
            || retries.is_some()
            || first_content_timeout.is_some()
            || wait_for_model.is_some()
    }
}

/// Reads `[UPSTREAM/]MODEL`. Names of models have slashes too, so only a known name is an upstream's.
fn target(text: &str, upstreams: &[Upstream]) -> Result<Target, UsageError> {
    let named = text.split_once('/').and_then(|(first, model)| {
        let is_it = |upstream: &Upstream| upstream.name.as_deref() == Some(first);
        Some((upstreams.iter().position(is_it)?, model))
    });
    let (upstream, model) = named.unwrap_or((0, text));
    if model.is_empty() {
        return Err(UsageError(format!("--model-alias: `{text}` names no model")));
    }
    // With several upstreams a mistyped name would go to the first one unnoticed.
    if named.is_none() && upstreams.len() > 1 {
        let names: Vec<_> = upstreams.iter().filter_map(|it| it.name.as_deref()).collect();
        return Err(UsageError(format!(
            "--model-alias: `{text}` names no upstream; begin it with one of {}, and a slash",
            names.join(", ")
        )));
    }
    Ok(Target { upstream, model: model.to_owned() })
}

#[cfg(test)]
#[path = "args_fallback_tests.rs"]
mod tests;
