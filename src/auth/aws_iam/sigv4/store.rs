//! Where signing credentials come from.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    credential::{KnownCredential, SigningCredential, is_access_key_id},
    error::SigningCredentialError,
    file::{CredentialFile, parse},
    lookup::{CredentialLookup, Lookup, OpenStore},
    presented::CredentialScope,
};
use crate::{clock::SharedClock, secret_file::SecretFile};

/// The credentials that sign requests: a fixed set, a file or a
/// [`CredentialStore`](super::CredentialStore).
#[derive(Clone)]
pub struct SigningCredentials(Source);

#[derive(Clone)]
enum Source {
    Memory(Vec<SigningCredential>),
    File(CredentialFile),
    Store(CredentialLookup),
}

impl SigningCredentials {
    /// Accepts a fixed set of credentials.
    #[must_use]
    pub fn new(credentials: impl IntoIterator<Item = SigningCredential>) -> Self {
        Self(Source::Memory(credentials.into_iter().collect()))
    }

    /// Reads credentials from a JSON file, whose path or [`CredentialFile`] is given.
    #[must_use]
    pub fn file(file: impl Into<CredentialFile>) -> Self {
        Self(Source::File(file.into()))
    }

    /// Asks a [`CredentialStore`](super::CredentialStore) of your own. Its bounds are those of
    /// [`CredentialLookup`].
    #[must_use]
    pub fn store(store: impl Into<CredentialLookup>) -> Self {
        Self(Source::Store(store.into()))
    }

    /// Opens the source. `store` is the name of the store in identities.
    pub(super) fn open(self, store: &str) -> Result<Credentials, SigningCredentialError> {
        Ok(match self.0 {
            Source::Memory(credentials) => {
                Credentials::Memory(Arc::new(table(credentials, store)?))
            }
            Source::File(CredentialFile { path, rules }) => {
                let store = store.to_owned();
                let read = move |content: &[u8]| table(parse(content)?, &store);
                Credentials::File(Arc::new(SecretFile::open(path, rules, read)?))
            }
            Source::Store(lookup) => Credentials::Store(lookup.open(store)),
        })
    }
}

impl fmt::Debug for SigningCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Memory(credentials) => credentials.fmt(f),
            Source::File(file) => file.fmt(f),
            Source::Store(lookup) => lookup.fmt(f),
        }
    }
}

type Table = BTreeMap<Box<str>, Arc<KnownCredential>>;

fn table(
    credentials: Vec<SigningCredential>,
    store: &str,
) -> Result<Table, SigningCredentialError> {
    let mut table = Table::new();
    for credential in credentials {
        let known = Arc::new(KnownCredential::new(credential, store));
        let id: Box<str> = known.access_key_id().into();
        if table.insert(id.clone(), known).is_some() {
            return Err(SigningCredentialError::Repeated(id));
        }
    }
    Ok(table)
}

/// Opened credentials.
#[derive(Clone)]
pub(super) enum Credentials {
    Memory(Arc<Table>),
    File(Arc<SecretFile<Table, SigningCredentialError>>),
    Store(Arc<OpenStore>),
}

impl Credentials {
    /// Finds the credential of an access key id.
    pub(super) fn find(
        &self,
        access_key_id: &str,
        scope: &CredentialScope<'static>,
        clock: &SharedClock,
    ) -> Lookup {
        // No credential has such an id, so no store is asked for it.
        if !is_access_key_id(access_key_id) {
            return Lookup::Known(Ok(None));
        }
        match self {
            Self::Memory(table) => Lookup::Known(Ok(table.get(access_key_id).cloned())),
            Self::File(file) => {
                let table = file.current(clock.monotonic());
                Lookup::Known(Ok(table.get(access_key_id).cloned()))
            }
            Self::Store(store) => store.find(access_key_id, scope, clock),
        }
    }
}
