//! The flags of the listener for operators.

use super::{UsageError, hints, once, read};

pub(super) const FLAGS: [&str; 1] = ["--admin"];

/// Where operators and their monitoring are served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Admin {
    pub(crate) listen: String,
    /// Whether other machines may reach it.
    pub(crate) remote: bool,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    listen: Option<String>,
    pub(super) remote: bool,
}

impl Given {
    /// Sets the value of the flag.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let address = read(flag, value, hints::listen, "an address such as 127.0.0.1:9090")?;
        once(flag, &mut self.listen, address)
    }

    pub(super) fn resolve(self) -> Result<Option<Admin>, UsageError> {
        let Self { listen, remote } = self;
        if remote && listen.is_none() {
            return Err(UsageError("--admin-remote needs --admin".to_owned()));
        }
        Ok(listen.map(|listen| Admin { listen, remote }))
    }
}
