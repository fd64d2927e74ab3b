//! Parses the command line.

use std::{
    ffi::OsString,
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use lexopt::{Arg, Parser, ValueExt};

use crate::units;

#[path = "args_admin.rs"]
mod admin;
#[path = "args_audit.rs"]
mod audit;
#[path = "args_bodies.rs"]
mod bodies;
#[path = "args_cache.rs"]
mod cache;
#[path = "args_callers.rs"]
pub(crate) mod callers;
#[path = "args_client.rs"]
mod client;
#[path = "args_fallback.rs"]
mod fallback;
#[path = "args_hints.rs"]
mod hints;
#[path = "args_limits.rs"]
mod limits;
#[path = "args_log.rs"]
mod log;
#[path = "args_profile.rs"]
pub(crate) mod profile;
#[path = "args_redis.rs"]
mod redis;
#[path = "args_slots.rs"]
mod slots;
#[path = "args_upstreams.rs"]
mod upstreams;

pub(crate) use self::{
    admin::Admin,
    audit::Audit,
    cache::{Cache, CacheScope},
    callers::Callers,
    client::{Client, Deadlines},
    fallback::Fallback,
    limits::Limits,
    log::{AccessLog, LogFormat, LogPlace},
    redis::{Redis, SecretPlace},
    slots::Slots,
    upstreams::{TokenPlace, Upstream},
};

pub(crate) const HELP: &str = include_str!("help.txt");

/// Flags of later versions. All take a value.
const RESERVED: [&str; 1] = ["--policy"];

/// The command to run.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Command {
    Help,
    Serve(Box<Serve>),
    /// Makes one request to each upstream. Without one, to the demo's upstream with this model.
    Check {
        upstreams: Vec<Upstream>,
        model: Option<String>,
        threads: Option<NonZeroUsize>,
    },
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Serve {
    pub(crate) listen: String,
    pub(crate) tls: Option<TlsFiles>,
    /// `None`: no listener for operators.
    pub(crate) admin: Option<Admin>,
    pub(crate) max_body: u64,
    pub(crate) slots: Slots,
    /// The memory of all bodies in bytes.
    pub(crate) max_bodies: u64,
    pub(crate) head_timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) access_log: AccessLog,
    pub(crate) audit: Option<Audit>,
    pub(crate) schema: Option<Schema>,
    /// Members whose bounds are lifted in the built-in schemas.
    pub(crate) without_bounds: Vec<String>,
    pub(crate) max_tokens: Option<NonZeroU32>,
    pub(crate) limits: Limits,
    /// `None` turns the cache off.
    pub(crate) cache: Option<Cache>,
    pub(crate) redis: Option<Redis>,
    pub(crate) client: Client,
    pub(crate) fallback: Fallback,
    /// Masks the upstream's token in bodies.
    pub(crate) scrub_bodies: bool,
    pub(crate) parts: Parts,
}

/// The schema of bodies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Schema {
    /// The built-in schemas by route.
    Builtin,
    /// A file with a schema for chat completions.
    File(PathBuf),
}

/// The upstreams and the issuer.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each process")]
pub(crate) enum Parts {
    Demo,
    /// There is at least one upstream.
    Real {
        upstreams: Vec<Upstream>,
        callers: Callers,
    },
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// An error in the command line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// The flags without a value.
const SWITCHES: [&str; 4] = ["--admin-remote", "--check", "--scrub-bodies", "--hide-target"];

/// Parses the arguments after the program's name.
pub(crate) fn parse<I>(args: I) -> Result<Command, UsageError>
where
    I: IntoIterator<Item: Into<OsString>, IntoIter: 'static>,
{
    let mut parser = Parser::from_args(args);
    let mut given = Given::default();
    let mut before = String::new();
    while let Some(arg) = parser.next()? {
        let flag = match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long(name) => format!("--{name}"),
            Arg::Short(name) => {
                return Err(UsageError(format!("-{name} is not a flag of this gateway")));
            }
            // The message does not repeat the value because it may be a token.
            Arg::Value(_) => {
                return Err(UsageError(match before.as_str() {
                    "" => "expected a flag and found a value".to_owned(),
                    switch if SWITCHES.contains(&switch) => format!("{switch} takes no value"),
                    _ => format!(
                        "expected a flag and found a value after {before}; quote a value with spaces"
                    ),
                }));
            }
        };
        match flag.as_str() {
            "--admin-remote" => given.admin.remote = true,
            "--check" => given.check = true,
            "--scrub-bodies" => given.scrub_bodies = true,
            "--hide-target" => given.fallback.hide_target(),
            _ => given.take(&flag, &mut parser)?,
        }
        before = flag;
    }
    given.resolve()
}

/// The given flags.
#[derive(Debug, Default)]
struct Given {
    listen: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    admin: admin::Given,
    max_body: Option<u64>,
    slots: slots::Given,
    bodies: bodies::Given,
    head_timeout: Option<Duration>,
    drain: Option<Duration>,
    threads: Option<NonZeroUsize>,
    log: log::Given,
    audit: audit::Given,
    schema: Option<Schema>,
    max_tokens: Option<NonZeroU32>,
    limits: limits::Given,
    cache: cache::Given,
    redis: redis::Given,
    client: Client,
    profile: profile::Given,
    upstreams: upstreams::Given,
    fallback: fallback::Given,
    scrub_bodies: bool,
    callers: callers::Given,
    check: bool,
}

// === impl Given ===

impl Given {
    fn take(&mut self, flag: &str, parser: &mut Parser) -> Result<(), UsageError> {
        // Each arm reads its value so that an unknown flag is reported as unknown.
        let mut text = || -> Result<String, UsageError> {
            let text = parser.value()?.string()?;
            if text.is_empty() {
                return Err(UsageError(format!("{flag} needs a value")));
            }
            Ok(text)
        };
        match flag {
            "--listen" => {
                let address =
                    read(flag, &text()?, hints::listen, "an address such as 127.0.0.1:8080")?;
                once(flag, &mut self.listen, address)
            }
            "--tls-cert" => once(flag, &mut self.tls_cert, text()?.into()),
            "--tls-key" => once(flag, &mut self.tls_key, text()?.into()),
            "--max-body" => {
                let size = read(flag, &text()?, units::size, "a size such as 10MiB")?;
                once(flag, &mut self.max_body, size)
            }
            "--head-timeout" => {
                let time = read(flag, &text()?, units::time, A_TIME)?;
                if time.is_zero() {
                    return Err(UsageError(format!("{flag} must not be zero")));
                }
                once(flag, &mut self.head_timeout, time)
            }
            "--drain" => {
                let time = read(flag, &text()?, units::time, A_TIME)?;
                once(flag, &mut self.drain, time)
            }
            "--threads" => {
                let threads = read(flag, &text()?, count, A_COUNT)?;
                once(flag, &mut self.threads, threads)
            }
            "--schema" => {
                let schema = match text()?.as_str() {
                    "builtin" => Schema::Builtin,
                    file => Schema::File(file.into()),
                };
                once(flag, &mut self.schema, schema)
            }
            "--max-tokens" => {
                let most = read(flag, &text()?, |text| text.parse().ok(), A_COUNT)?;
                once(flag, &mut self.max_tokens, most)
            }
            admin if admin::FLAGS.contains(&admin) => self.admin.take(admin, &text()?),
            audit if audit::FLAGS.contains(&audit) => self.audit.take(audit, text()?),
            slots if slots::FLAGS.contains(&slots) => self.slots.take(slots, &text()?),
            bodies if bodies::FLAGS.contains(&bodies) => self.bodies.take(bodies, &text()?),
            log if log::FLAGS.contains(&log) => self.log.take(log, &text()?),
            limit if limits::FLAGS.contains(&limit) => self.limits.take(limit, &text()?),
            callers if callers::FLAGS.contains(&callers) => self.callers.take(callers, text()?),
            cache if cache::FLAGS.contains(&cache) => self.cache.take(cache, &text()?),
            client if client::FLAGS.contains(&client) => self.client.take(client, &text()?),
            profile if profile::FLAGS.contains(&profile) => self.profile.take(profile, text()?),
            redis if redis::FLAGS.contains(&redis) => self.redis.take(redis, &text()?),
            upstream if upstreams::FLAGS.contains(&upstream) => {
                self.upstreams.take(upstream, text()?)
            }
            other if fallback::FLAGS.contains(&other) => self.fallback.take(other, &text()?),
            reserved if RESERVED.contains(&reserved) => {
                let _value = text()?;
                Err(UsageError(format!("{flag} is not available in this version")))
            }
            _ => Err(hints::unknown_flag(flag)),
        }
    }

    fn resolve(mut self) -> Result<Command, UsageError> {
        if self.upstreams.has_check_model() && !self.check {
            return Err(UsageError("--check-model needs --check".to_owned()));
        }
        let tls = match (self.tls_cert.take(), self.tls_key.take()) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            _ => return Err(UsageError("--tls-cert and --tls-key need each other".to_owned())),
        };
        if !self.profile.without_bounds.is_empty() && self.schema != Some(Schema::Builtin) {
            return Err(UsageError("--without-bound needs --schema builtin".to_owned()));
        }
        let max_bodies = std::mem::take(&mut self.bodies).resolve();
        let limits = std::mem::take(&mut self.limits).resolve()?;
        let real = self.upstreams.is_given() || self.callers.is_given();
        let cache = std::mem::take(&mut self.cache).resolve(!real)?;
        let limited = limits.is_any();
        let redis = std::mem::take(&mut self.redis).resolve(limited, cache.is_some())?;
        let mut missing = Vec::new();
        let model = self.upstreams.model_of_demo();
        let is_given = self.upstreams.is_given() || real && !self.check;
        let upstreams = std::mem::take(&mut self.upstreams);
        let upstreams = if is_given { upstreams.resolve(&mut missing)? } else { Vec::new() };
        let command = if self.check {
            Command::Check { upstreams, model, threads: self.threads }
        } else {
            let callers = std::mem::take(&mut self.callers);
            let callers = real.then(|| callers.resolve(&mut missing)).transpose()?;
            let fallback = std::mem::take(&mut self.fallback).resolve(&upstreams)?;
            // Without upstreams an error below names what is missing.
            let parts = match callers {
                Some(callers) if !upstreams.is_empty() => Parts::Real { upstreams, callers },
                _ => Parts::Demo,
            };
            Command::Serve(Box::new(Serve {
                listen: self.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
                tls,
                admin: self.admin.resolve()?,
                max_body: self.max_body.unwrap_or(10 << 20),
                slots: self.slots.resolve()?,
                max_bodies,
                head_timeout: self.head_timeout.unwrap_or(Duration::from_secs(10)),
                drain: self.drain.unwrap_or(Duration::from_secs(30)),
                threads: self.threads,
                access_log: self.log.resolve(),
                audit: self.audit.resolve()?,
                schema: self.schema,
                without_bounds: self.profile.without_bounds,
                max_tokens: self.max_tokens,
                limits,
                cache,
                redis,
                client: self.client,
                fallback,
                scrub_bodies: self.scrub_bodies,
                parts,
            }))
        };
        if missing.is_empty() {
            Ok(command)
        } else {
            let missing = missing.join(", ");
            Err(UsageError(format!("these flags turn the demo off and need also {missing}")))
        }
    }
}

const A_COUNT: &str = "a number that is not zero";
const A_TIME: &str = "a time such as 30s";

fn count(text: &str) -> Option<NonZeroUsize> {
    text.parse().ok()
}

fn once<T>(flag: &str, slot: &mut Option<T>, value: T) -> Result<(), UsageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UsageError(format!("{flag} was given twice"))),
    }
}

fn read<T>(
    flag: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Result<T, UsageError> {
    parse(text).ok_or_else(|| UsageError(format!("{flag} expects {expected}, not `{text}`")))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
