//! Where limits are counted together with other replicas.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use super::{A_COUNT, A_TIME, UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 6] = [
    "--redis",
    "--redis-secret-env",
    "--redis-secret-file",
    "--redis-replicas",
    "--redis-lease",
    "--redis-wait",
];

/// A server that replicas share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redis {
    pub(crate) url: String,
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
    url: Option<String>,
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
            "--redis" => once(flag, &mut self.url, value.to_owned()),
            "--redis-secret-env" => once(flag, &mut self.secret_env, value.to_owned()),
            "--redis-secret-file" => once(flag, &mut self.secret_file, value.into()),
            "--redis-replicas" => once(flag, &mut self.replicas, number()?),
            "--redis-lease" => once(flag, &mut self.lease, number()?),
            "--redis-wait" => once(flag, &mut self.wait, read(flag, value, units::time, A_TIME)?),
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }

    pub(super) fn resolve(self) -> Result<Option<Redis>, UsageError> {
        let Self { url, secret_env, secret_file, replicas, lease, wait } = self;
        let Some(url) = url else {
            let others = [
                ("--redis-secret-env", secret_env.is_some()),
                ("--redis-secret-file", secret_file.is_some()),
                ("--redis-replicas", replicas.is_some()),
                ("--redis-lease", lease.is_some()),
                ("--redis-wait", wait.is_some()),
            ];
            return match others.into_iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(UsageError(format!("{flag} goes with --redis"))),
                None => Ok(None),
            };
        };
        let secret = match (secret_env, secret_file) {
            (Some(name), None) => SecretPlace::Env(name),
            (None, Some(file)) => SecretPlace::File(file),
            _ => {
                return Err(UsageError(
                    "--redis wants one of --redis-secret-env and --redis-secret-file".to_owned(),
                ));
            }
        };
        Ok(Some(Redis { url, secret, replicas, lease, wait }))
    }
}
