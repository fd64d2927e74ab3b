//! Flags of the servers that replicas share.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::{A_COUNT, A_TIME, UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 7] = [
    "--redis-limits",
    "--redis-cache",
    "--redis-secret-env",
    "--redis-secret-file",
    "--redis-replicas",
    "--redis-lease",
    "--redis-wait",
];

/// The servers that replicas share. Counters need a server that never evicts and responses one that
/// does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redis {
    /// The address of the server for limits.
    pub(crate) limits: Option<String>,
    /// The address of the server for responses.
    pub(crate) cache: Option<String>,
    pub(crate) secret: SecretPlace,
    /// `None` rejects requests while the server of the limits is unavailable.
    pub(crate) replicas: Option<NonZeroU32>,
    pub(crate) lease: Option<NonZeroU32>,
    pub(crate) wait: Option<Duration>,
}

/// The place of the secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SecretPlace {
    Env(String),
    File(PathBuf),
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    limits: Option<String>,
    cache: Option<String>,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    replicas: Option<NonZeroU32>,
    lease: Option<NonZeroU32>,
    wait: Option<Duration>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let number = || read(flag, value, |text| text.parse().ok(), A_COUNT);
        match flag {
            "--redis-limits" => once(flag, &mut self.limits, value.to_owned()),
            "--redis-cache" => once(flag, &mut self.cache, value.to_owned()),
            "--redis-secret-env" => once(flag, &mut self.secret_env, value.to_owned()),
            "--redis-secret-file" => once(flag, &mut self.secret_file, value.into()),
            "--redis-replicas" => once(flag, &mut self.replicas, number()?),
            "--redis-lease" => once(flag, &mut self.lease, number()?),
            "--redis-wait" => once(flag, &mut self.wait, read(flag, value, units::time, A_TIME)?),
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }

    /// Checks the flags. `limited` and `cached` tell whether there are limits and a cache to share.
    pub(super) fn resolve(self, limited: bool, cached: bool) -> Result<Option<Redis>, UsageError> {
        let Self { limits, cache, secret_env, secret_file, replicas, lease, wait } = self;
        let needs = [
            (limits.is_some() && !limited, "--redis-limits needs a limit to share"),
            (cache.is_some() && !cached, "--redis-cache needs --cache-ttl"),
            (limits.is_none() && replicas.is_some(), "--redis-replicas needs --redis-limits"),
            (limits.is_none() && lease.is_some(), "--redis-lease needs --redis-limits"),
        ];
        if let Some((_, needs)) = needs.into_iter().find(|(missing, _)| *missing) {
            return Err(UsageError(needs.to_owned()));
        }
        if limits.is_none() && cache.is_none() {
            let others = [
                ("--redis-secret-env", secret_env.is_some()),
                ("--redis-secret-file", secret_file.is_some()),
                ("--redis-wait", wait.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => {
                    Err(UsageError(format!("{flag} needs --redis-limits or --redis-cache")))
                }
                None => Ok(None),
            };
        }
        let secret = match (secret_env, secret_file) {
            (Some(name), None) => SecretPlace::Env(name),
            (None, Some(file)) => SecretPlace::File(file),
            _ => {
                return Err(UsageError(
                    "--redis-limits and --redis-cache want one of --redis-secret-env and \
                     --redis-secret-file"
                        .to_owned(),
                ));
            }
        };
        Ok(Some(Redis { limits, cache, secret, replicas, lease, wait }))
    }
}
