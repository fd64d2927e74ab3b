//! Flags of the upstreams. Each belongs to the `--upstream` before it.

use std::path::PathBuf;

use super::{
    UsageError, hints, once,
    profile::{Kind, kind},
};

pub(super) const FLAGS: [&str; 6] =
    ["--upstream", "--profile", "--hf-token-env", "--hf-token-file", "--bill-to", "--check-model"];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Upstream {
    /// `None` for a single upstream that was given without one.
    pub(crate) name: Option<String>,
    pub(crate) url: String,
    pub(crate) token: TokenPlace,
    /// `None` chooses by the host.
    pub(crate) profile: Option<Kind>,
    pub(crate) bill_to: Option<String>,
    /// The model of a check.
    pub(crate) check_model: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TokenPlace {
    Env(String),
    File(PathBuf),
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Flags before the first upstream.
    before: Flags,
    upstreams: Vec<(Option<String>, String, Flags)>,
}

/// The flags of one upstream.
#[derive(Debug, Default, Eq, PartialEq)]
struct Flags {
    profile: Option<Kind>,
    env: Option<String>,
    file: Option<PathBuf>,
    bill_to: Option<String>,
    check_model: Option<String>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        if flag != "--upstream" {
            let last = self.upstreams.last_mut().map(|(_, _, flags)| flags);
            return last.unwrap_or(&mut self.before).take(flag, value);
        }
        let (name, url) = name_and_url(&value)?;
        if self.upstreams.iter().any(|(other, _, _)| name.is_some() && *other == name) {
            let name = name.unwrap_or_default();
            return Err(UsageError(format!("{flag} {name} was given twice")));
        }
        self.upstreams.push((name, url, Flags::default()));
        Ok(())
    }

    pub(super) fn is_given(&self) -> bool {
        let Flags { profile, env, file, bill_to, check_model: _ } = &self.before;
        let before = profile.is_some() || env.is_some() || file.is_some() || bill_to.is_some();
        before || !self.upstreams.is_empty()
    }

    pub(super) fn has_check_model(&self) -> bool {
        let mut flags = self.upstreams.iter().map(|(_, _, flags)| flags).chain([&self.before]);
        flags.any(|flags| flags.check_model.is_some())
    }

    /// Returns the model of a check of the demo.
    pub(super) fn model_of_demo(&self) -> Option<String> {
        self.before.check_model.clone()
    }

    pub(super) fn resolve(
        self,
        missing: &mut Vec<&'static str>,
    ) -> Result<Vec<Upstream>, UsageError> {
        const TOKEN: &str = "--hf-token-env or --hf-token-file";
        let Self { before, mut upstreams } = self;
        match &mut *upstreams {
            [] => {
                missing.push("--upstream");
                if before.token()?.is_none() {
                    missing.push(TOKEN);
                }
            }
            [(_, _, only)] => {
                only.add(before)?;
                if only.token()?.is_none() {
                    missing.push(TOKEN);
                }
            }
            several => {
                if before != Flags::default() {
                    return Err(UsageError(
                        "with several --upstream put each flag of an upstream after its --upstream"
                            .to_owned(),
                    ));
                }
                if several.iter().any(|(name, _, _)| name.is_none()) {
                    return Err(UsageError(
                        "with several --upstream each needs a name: --upstream NAME=URL".to_owned(),
                    ));
                }
                for (name, _, flags) in several {
                    if flags.token()?.is_none() {
                        let name = name.as_deref().unwrap_or_default();
                        return Err(UsageError(format!(
                            "--upstream {name} needs {TOKEN} after it"
                        )));
                    }
                }
            }
        }
        let resolved = upstreams.into_iter().filter_map(|(name, url, flags)| {
            let token = flags.token().ok().flatten()?;
            let Flags { profile, bill_to, check_model, .. } = flags;
            Some(Upstream { name, url, token, profile, bill_to, check_model })
        });
        Ok(resolved.collect())
    }
}

impl Flags {
    fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        match flag {
            "--profile" => once(flag, &mut self.profile, kind(flag, &value)?),
            "--hf-token-env" => {
                hints::check_variable(flag, &value)?;
                once(flag, &mut self.env, value)
            }
            "--hf-token-file" => once(flag, &mut self.file, value.into()),
            "--bill-to" => once(flag, &mut self.bill_to, value),
            // The others are not of an upstream.
            _ => once(flag, &mut self.check_model, value),
        }
    }

    /// Adds flags that were given before the upstream.
    fn add(&mut self, before: Self) -> Result<(), UsageError> {
        fn merge<T>(flag: &str, slot: &mut Option<T>, value: Option<T>) -> Result<(), UsageError> {
            value.map_or(Ok(()), |value| once(flag, slot, value))
        }
        let Self { profile, env, file, bill_to, check_model } = before;
        merge("--profile", &mut self.profile, profile)?;
        merge("--hf-token-env", &mut self.env, env)?;
        merge("--hf-token-file", &mut self.file, file)?;
        merge("--bill-to", &mut self.bill_to, bill_to)?;
        merge("--check-model", &mut self.check_model, check_model)
    }

    fn token(&self) -> Result<Option<TokenPlace>, UsageError> {
        match (&self.env, &self.file) {
            (Some(_), Some(_)) => {
                Err(UsageError("give either --hf-token-env or --hf-token-file".to_owned()))
            }
            (Some(name), None) => Ok(Some(TokenPlace::Env(name.clone()))),
            (None, file) => Ok(file.clone().map(TokenPlace::File)),
        }
    }
}

/// Reads `[NAME=]URL`.
fn name_and_url(value: &str) -> Result<(Option<String>, String), UsageError> {
    let Some((name, url)) = value.split_once('=').filter(|(name, _)| !name.contains("://")) else {
        return Ok((None, value.to_owned()));
    };
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || url.is_empty() || !name.bytes().all(letter) {
        return Err(UsageError(format!(
            "--upstream expects NAME=URL with letters, digits, `-`, `_` and `.` in the name, not \
             `{value}`"
        )));
    }
    Ok((Some(name.to_owned()), url.to_owned()))
}

#[cfg(test)]
#[path = "args_upstreams_tests.rs"]
mod tests;
