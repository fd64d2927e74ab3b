//! Flags of the callers: how they authenticate.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use tower_inference::auth::Provider;

use super::{A_TIME, UsageError, hints, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 15] = [
    "--issuer",
    "--preset",
    "--jwks",
    "--jwks-cooldown",
    "--audience",
    "--scope",
    "--tenant-claim",
    "--leeway",
    "--api-keys",
    "--iam-credentials",
    "--iam-region",
    "--sts-server-id",
    "--sts-accounts",
    "--sts-endpoint",
    "--public-url",
];

pub(crate) const KEYS_COOLDOWN: Duration = Duration::from_secs(30);
pub(crate) const TENANT_CLAIM: &str = "tenant";

/// The range of `RemoteKeys::cool_down`.
const COOLDOWNS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The maximum of `Jwt::leeway`.
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Authentication of callers. At least one way is set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Callers {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) api_keys: Option<PathBuf>,
    pub(crate) iam: Option<Iam>,
    pub(crate) sts: Option<Sts>,
    /// The public address, which challenges lead to the metadata of.
    pub(crate) public_url: Option<String>,
}

/// An issuer of tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) preset: Option<Provider>,
    pub(crate) keys: Keys,
    pub(crate) keys_cooldown: Duration,
    pub(crate) audiences: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// `None` leaves the tenant to the preset.
    pub(crate) tenant_claim: Option<String>,
    pub(crate) leeway: Option<Duration>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Keys {
    Discovered,
    Url(String),
    File(PathBuf),
}

/// Signatures of Signature Version 4 by credentials that the operator issues.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Iam {
    pub(crate) credentials: PathBuf,
    pub(crate) region: String,
}

/// Roles that AWS STS confirms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sts {
    pub(crate) server_id: String,
    pub(crate) accounts: Vec<String>,
    pub(crate) endpoint: Option<String>,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Flags before the first issuer.
    before: IssuerFlags,
    issuers: Vec<(String, IssuerFlags)>,
    api_keys: Option<PathBuf>,
    iam_credentials: Option<PathBuf>,
    iam_region: Option<String>,
    sts_server_id: Option<String>,
    sts_accounts: Vec<String>,
    sts_endpoint: Option<String>,
    public_url: Option<String>,
}

/// The flags of one issuer.
#[derive(Debug, Default, Eq, PartialEq)]
struct IssuerFlags {
    preset: Option<Provider>,
    jwks: Option<Keys>,
    jwks_cooldown: Option<Duration>,
    audiences: Vec<String>,
    scopes: Vec<String>,
    tenant_claim: Option<String>,
    leeway: Option<Duration>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        match flag {
            "--issuer" if self.issuers.iter().any(|(url, _)| *url == value) => {
                Err(UsageError(format!("{flag} {value} was given twice")))
            }
            "--issuer" => {
                self.issuers.push((value, IssuerFlags::default()));
                Ok(())
            }
            "--api-keys" => once(flag, &mut self.api_keys, value.into()),
            "--iam-credentials" => once(flag, &mut self.iam_credentials, value.into()),
            "--iam-region" => once(flag, &mut self.iam_region, value),
            "--sts-server-id" => once(flag, &mut self.sts_server_id, value),
            "--sts-accounts" => {
                let accounts = read(flag, &value, accounts, "account ids of 12 digits")?;
                self.sts_accounts.extend(accounts);
                Ok(())
            }
            "--sts-endpoint" => once(flag, &mut self.sts_endpoint, value),
            "--public-url" => once(flag, &mut self.public_url, value),
            _ => {
                let last = self.issuers.last_mut().map(|(_, flags)| flags);
                last.unwrap_or(&mut self.before).take(flag, value)
            }
        }
    }

    pub(super) fn is_given(&self) -> bool {
        let Self { before, issuers, .. } = self;
        let others = [&self.iam_region, &self.sts_server_id, &self.sts_endpoint, &self.public_url];
        *before != IssuerFlags::default()
            || !issuers.is_empty()
            || self.api_keys.is_some()
            || self.iam_credentials.is_some()
            || !self.sts_accounts.is_empty()
            || others.into_iter().any(Option::is_some)
    }

    pub(super) fn resolve(
        mut self,
        missing: &mut Vec<&'static str>,
    ) -> Result<Callers, UsageError> {
        let before = std::mem::take(&mut self.before);
        match &mut *self.issuers {
            [(_, only)] => only.add(before)?,
            _ if before == IssuerFlags::default() => {}
            [] => {
                missing.push("--issuer");
                if before.audiences.is_empty() {
                    missing.push("--audience");
                }
            }
            _ => {
                return Err(UsageError(
                    "with several --issuer put each flag of an issuer after its --issuer"
                        .to_owned(),
                ));
            }
        }
        let iam = pair("--iam-credentials", self.iam_credentials, "--iam-region", self.iam_region)?;
        if self.sts_server_id.is_some() && self.sts_accounts.is_empty() {
            missing.push("--sts-accounts");
        }
        if self.sts_server_id.is_none()
            && (!self.sts_accounts.is_empty() || self.sts_endpoint.is_some())
        {
            missing.push("--sts-server-id");
        }
        let (accounts, endpoint) = (self.sts_accounts, self.sts_endpoint);
        let callers = Callers {
            issuers: self
                .issuers
                .into_iter()
                .map(|(url, flags)| flags.resolve(url, missing))
                .collect(),
            api_keys: self.api_keys,
            iam: iam.map(|(credentials, region)| Iam { credentials, region }),
            sts: self.sts_server_id.map(|server_id| Sts { server_id, accounts, endpoint }),
            public_url: self.public_url,
        };
        let named = missing.contains(&"--issuer") || missing.contains(&"--sts-server-id");
        if callers == Callers::default() && !named {
            missing.push("--issuer, --api-keys, --iam-credentials or --sts-server-id");
        }
        Ok(callers)
    }
}

impl IssuerFlags {
    fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        match flag {
            "--preset" => {
                let preset = value.parse();
                let preset = preset.map_err(|error| UsageError(format!("{flag}: {error}")))?;
                once(flag, &mut self.preset, preset)
            }
            "--jwks" => {
                let url = ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme));
                let keys = if url { Keys::Url(value) } else { Keys::File(value.into()) };
                once(flag, &mut self.jwks, keys)
            }
            "--jwks-cooldown" => {
                let time = |text: &str| units::time(text).filter(|time| COOLDOWNS.contains(time));
                let time = read(flag, &value, time, "a time from 1s to 1h")?;
                once(flag, &mut self.jwks_cooldown, time)
            }
            "--audience" => {
                self.audiences.push(value);
                Ok(())
            }
            "--scope" => {
                hints::check_scope(&value)?;
                self.scopes.push(value);
                Ok(())
            }
            "--leeway" => {
                let time = read(flag, &value, units::time, A_TIME)?;
                if time > LONGEST_LEEWAY {
                    return Err(UsageError(format!("{flag} must not exceed 5m")));
                }
                once(flag, &mut self.leeway, time)
            }
            // The others are not of an issuer.
            _ => once(flag, &mut self.tenant_claim, value),
        }
    }

    /// Adds flags that were given before the issuer.
    fn add(&mut self, before: Self) -> Result<(), UsageError> {
        let Self { preset, jwks, jwks_cooldown, mut audiences, mut scopes, tenant_claim, leeway } =
            before;
        merge("--preset", &mut self.preset, preset)?;
        merge("--jwks", &mut self.jwks, jwks)?;
        merge("--jwks-cooldown", &mut self.jwks_cooldown, jwks_cooldown)?;
        merge("--tenant-claim", &mut self.tenant_claim, tenant_claim)?;
        merge("--leeway", &mut self.leeway, leeway)?;
        audiences.append(&mut self.audiences);
        scopes.append(&mut self.scopes);
        (self.audiences, self.scopes) = (audiences, scopes);
        Ok(())
    }

    fn resolve(self, url: String, missing: &mut Vec<&'static str>) -> Issuer {
        if self.audiences.is_empty() && !missing.contains(&"--audience") {
            missing.push("--audience");
        }
        let by_default = self.preset.is_none().then(|| TENANT_CLAIM.to_owned());
        Issuer {
            url,
            preset: self.preset,
            keys: self.jwks.unwrap_or(Keys::Discovered),
            keys_cooldown: self.jwks_cooldown.unwrap_or(KEYS_COOLDOWN),
            audiences: self.audiences,
            scopes: self.scopes,
            tenant_claim: self.tenant_claim.or(by_default),
            leeway: self.leeway,
        }
    }
}

fn merge<T>(flag: &str, slot: &mut Option<T>, value: Option<T>) -> Result<(), UsageError> {
    value.map_or(Ok(()), |value| once(flag, slot, value))
}

/// Returns the values of two flags that need each other.
fn pair<A, B>(
    one_flag: &str,
    one: Option<A>,
    other_flag: &str,
    other: Option<B>,
) -> Result<Option<(A, B)>, UsageError> {
    match (one, other) {
        (None, None) => Ok(None),
        (Some(one), Some(other)) => Ok(Some((one, other))),
        _ => Err(UsageError(format!("{one_flag} and {other_flag} need each other"))),
    }
}

/// Reads account ids with commas between them. A partition such as `aws-cn:` may precede an id.
fn accounts(text: &str) -> Option<Vec<String>> {
    let is_account = |text: &str| {
        let id = text.rsplit(':').next().unwrap_or_default();
        id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit())
    };
    let accounts = text.split(',').map(str::trim);
    accounts.map(|id| is_account(id).then(|| id.to_owned())).collect()
}

#[cfg(test)]
#[path = "args_callers_tests.rs"]
mod tests;
