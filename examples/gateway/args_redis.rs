//! Which servers count limits and keep responses for all replicas.

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

/// Servers that replicas share. Counters want a server that never evicts, and responses one that
/// does, so each has an address of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redis {
    /// Of the server that counts limits.
    pub(crate) limits: Option<String>,
    /// Of the server that keeps responses.
    pub(crate) cache: Option<String>,
    pub(crate) secret: SecretPlace,
    /// `None`: requests are refused while the server is away.
    pub(crate) replicas: Option<NonZeroU32>,
    pub(crate) lease: Option<NonZeroU32>,
    pub(crate) wait: Option<Duration>,
}

/// Of the hashes of callers' names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SecretPlace {
    Env(String),
    File(PathBuf),
}

/// The flags as they were given.
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
    /// Takes the value of one of these flags.
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

    /// With whether there are limits to share, and a cache.
    pub(super) fn resolve(self, limited: bool, cached: bool) -> Result<Option<Redis>, UsageError> {
        let Self { limits, cache, secret_env, secret_file, replicas, lease, wait } = self;
        let wants = [
            (limits.is_some() && !limited, "--redis-limits wants a limit to share"),
            (cache.is_some() && !cached, "--redis-cache goes with --cache-ttl"),
            (limits.is_none() && replicas.is_some(), "--redis-replicas goes with --redis-limits"),
            (limits.is_none() && lease.is_some(), "--redis-lease goes with --redis-limits"),
        ];
        if let Some((_, wants)) = wants.into_iter().find(|(missing, _)| *missing) {
            return Err(UsageError(wants.to_owned()));
        }
        if limits.is_none() && cache.is_none() {
            let others = [
                ("--redis-secret-env", secret_env.is_some()),
                ("--redis-secret-file", secret_file.is_some()),
                ("--redis-wait", wait.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => {
                    Err(UsageError(format!("{flag} goes with --redis-limits or --redis-cache")))
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
