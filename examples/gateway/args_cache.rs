//! Which answers are given again, and to whom.

use std::time::Duration;

use super::{UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 4] =
    ["--cache-ttl", "--cache-scope", "--cache-max", "--cache-max-shared"];

/// What is kept of answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cache {
    pub(crate) ttl: Duration,
    pub(crate) scope: CacheScope,
    /// Of memory; `None` is as the layer has it.
    pub(crate) max_bytes: Option<u64>,
    /// Of memory for calls in flight that are shared; `None` is as the layer has it.
    pub(crate) max_shared: Option<usize>,
}

/// Who shares an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum CacheScope {
    #[default]
    Identity,
    Tenant,
    Shared,
}

/// The flags as they were given.
#[derive(Debug, Default)]
pub(super) struct Given {
    ttl: Option<Duration>,
    scope: Option<CacheScope>,
    max_bytes: Option<u64>,
    max_shared: Option<usize>,
}

impl Given {
    /// Takes the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        match flag {
            "--cache-ttl" => {
                let ttl = read(flag, value, units::time, "a time such as 5m, or 0s for off")?;
                once(flag, &mut self.ttl, ttl)
            }
            "--cache-scope" => {
                let scope = read(flag, value, scope, "identity, tenant or shared")?;
                once(flag, &mut self.scope, scope)
            }
            "--cache-max" => {
                let bytes = read(flag, value, units::size, "a size such as 256MiB")?;
                once(flag, &mut self.max_bytes, bytes)
            }
            "--cache-max-shared" => {
                let bytes = |text: &str| usize::try_from(units::size(text)?).ok();
                let bytes = read(flag, value, bytes, "a size such as 256MiB")?;
                once(flag, &mut self.max_shared, bytes)
            }
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }

    /// `None` is off, which is the default but for the demo.
    pub(super) fn resolve(self, demo: bool) -> Result<Option<Cache>, UsageError> {
        let Self { ttl, scope, max_bytes, max_shared } = self;
        let Some(ttl) = ttl.or_else(|| demo.then_some(DEMO_TTL)) else {
            let others = [
                ("--cache-scope", scope.is_some()),
                ("--cache-max", max_bytes.is_some()),
                ("--cache-max-shared", max_shared.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(UsageError(format!("{flag} goes with --cache-ttl"))),
                None => Ok(None),
            };
        };
        let cache = Cache { ttl, scope: scope.unwrap_or_default(), max_bytes, max_shared };
        Ok(Some(cache).filter(|cache| !cache.ttl.is_zero()))
    }
}

const DEMO_TTL: Duration = Duration::from_secs(300);

fn scope(text: &str) -> Option<CacheScope> {
    Some(match text {
        "identity" => CacheScope::Identity,
        "tenant" => CacheScope::Tenant,
        "shared" => CacheScope::Shared,
        _ => return None,
    })
}
