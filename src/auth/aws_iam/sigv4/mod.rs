//! Signature Version 4 with credentials that you issue.
//!
//! `presented` reads a signature from a request. `canonical` writes what it must cover. `store` finds
//! the credential. `check` compares, and `method` puts these steps in their order.

mod canonical;
mod check;
mod credential;
mod error;
mod fault;
mod file;
mod lookup;
mod method;
mod presented;
mod rejections;
mod replays;
mod settings;
mod store;
#[cfg(test)]
mod suite;

pub(super) use self::presented::{ALGORITHM, Form, split_credential};
pub use self::{
    credential::{SigningCredential, SigningKey},
    error::SigningCredentialError,
    file::CredentialFile,
    lookup::{CredentialLookup, CredentialStore, SigningScope},
    settings::SigV4,
    store::SigningCredentials,
};
