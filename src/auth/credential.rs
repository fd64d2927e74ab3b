use std::sync::Arc;

use super::{method::AuthMethod, token::Jwt};

/// A kind of credential that a layer accepts. Made from the settings of its kind, such as [`Jwt`].
#[derive(Clone, Debug)]
pub struct Credential(pub(super) CredentialKind);

#[derive(Clone, Debug)]
pub(super) enum CredentialKind {
    /// The tokens of one issuer. A layer verifies those of all its issuers together.
    Jwt(Box<Jwt>),
    Other(Arc<dyn AuthMethod>),
}

impl Credential {
    /// Wraps a method.
    pub(super) fn other(method: impl AuthMethod + 'static) -> Self {
        Self(CredentialKind::Other(Arc::new(method)))
    }
}

impl From<Jwt> for Credential {
    fn from(jwt: Jwt) -> Self {
        Self(CredentialKind::Jwt(Box::new(jwt)))
    }
}
