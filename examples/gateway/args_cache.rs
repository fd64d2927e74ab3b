//! Flags of the cache.

use std::time::Duration;

use super::{UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 4] =
    ["--cache-ttl", "--cache-scope", "--cache-max", "--cache-max-shared"];

/// The settings of the cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cache {
    pub(crate) ttl: Duration,
    pub(crate) scope: CacheScope,
    /// The memory of all entries. `None` is the layer's default.
    pub(crate) max_bytes: Option<u64>,
    /// The memory of shared calls in flight. `None` is the layer's default.
    pub(crate) max_shared: Option<usize>,
}

/// The callers that share an entry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum CacheScope {
    #[default]
    Identity,
    Tenant,
    Shared,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    ttl: Option<Duration>,
    scope: Option<CacheScope>,
    max_bytes: Option<u64>,
    max_shared: Option<usize>,
}

impl Given {
    /// Sets the value of one of these flags.
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

    /// Returns `None` if the cache is off. That is the default outside of the demo.
    pub(super) fn resolve(self, demo: bool) -> Result<Option<Cache>, UsageError> {
        let Self { ttl, scope, max_bytes, max_shared } = self;
        let Some(ttl) = ttl.or_else(|| demo.then_some(DEMO_TTL)) else {
            let others = [
                ("--cache-scope", scope.is_some()),
                ("--cache-max", max_bytes.is_some()),
                ("--cache-max-shared", max_shared.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(UsageError(format!("{flag} needs --cache-ttl"))),
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
