//! Credentials that sign requests.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{error::SigningCredentialError, presented::CredentialScope};
use crate::{
    identity::{Identity, Proof},
    secret::Secret,
    sha256::Digest,
};

/// A credential that you issue, and the identity of the caller that signs with it.
///
/// ```
/// use tower_inference::{auth::aws_iam::SigningCredential, secret::Secret};
///
/// let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
/// let credential = SigningCredential::new("AKIDEXAMPLE", secret)?.tenant("acme").scopes(["infer"]);
/// assert_eq!(credential.access_key_id(), "AKIDEXAMPLE");
/// assert!(!format!("{credential:?}").contains("wJalr"));
/// # Ok::<(), tower_inference::auth::aws_iam::SigningCredentialError>(())
/// ```
#[derive(Clone)]
pub struct SigningCredential {
    access_key_id: Box<str>,
    key: Key,
    session_token: Option<Secret>,
    tenant: Option<Box<str>>,
    scopes: Vec<Box<str>>,
}

#[derive(Clone)]
enum Key {
    Secret(Secret),
    Derived(SigningKey),
}

impl SigningCredential {
    /// Creates a credential from its secret access key.
    ///
    /// # Errors
    ///
    /// Returned when the id is empty, has more than 128 bytes or has a byte other than an ASCII letter
    /// or digit, `-`, `.`, `_` or `~`, and when the secret is shorter than 16 bytes.
    pub fn new(
        access_key_id: impl Into<Box<str>>,
        secret_access_key: Secret,
    ) -> Result<Self, SigningCredentialError> {
        /// 128 bits of hexadecimal digits have 32 bytes and of raw bytes 16.
        const SHORTEST: usize = 16;
        if secret_access_key.expose().len() < SHORTEST {
            return Err(SigningCredentialError::ShortSecret);
        }
        Self::of(access_key_id.into(), Key::Secret(secret_access_key))
    }

    /// Creates a credential from a key that was derived for one day, region and service. A store that
    /// keeps the secret elsewhere returns this.
    ///
    /// # Errors
    ///
    /// Returned when the id is not valid. See [`new`](Self::new).
    pub fn derived(
        access_key_id: impl Into<Box<str>>,
        key: SigningKey,
    ) -> Result<Self, SigningCredentialError> {
        Self::of(access_key_id.into(), Key::Derived(key))
    }

    fn of(access_key_id: Box<str>, key: Key) -> Result<Self, SigningCredentialError> {
        if !is_access_key_id(&access_key_id) {
            return Err(SigningCredentialError::InvalidAccessKeyId);
        }
        Ok(Self { access_key_id, key, session_token: None, tenant: None, scopes: Vec::new() })
    }

    /// Requires this session token in `x-amz-security-token`. By default a request must have none.
    #[must_use]
    pub fn session_token(mut self, token: Secret) -> Self {
        self.session_token = Some(token);
        self
    }

    /// Sets the tenant of the caller. Defaults to none.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the scopes that the caller is granted. Defaults to none.
    #[must_use]
    pub fn scopes<T: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the id that requests name. It is not a secret.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Returns the identity of the caller at a store of this name.
    pub(super) fn identity(&self, store: &str) -> Identity {
        let id = &*self.access_key_id;
        let mut identity = Identity::new(Proof::AwsIam, store, id).with_credential_id(id);
        if let Some(tenant) = &self.tenant {
            identity = identity.with_tenant(tenant.clone());
        }
        identity.with_scopes(self.scopes.iter().cloned())
    }

    /// Returns about how many bytes of memory it takes.
    fn memory(&self) -> usize {
        let token = self.session_token.as_ref().map_or(0, |token| token.expose().len());
        let key = match &self.key {
            Key::Secret(secret) => secret.expose().len(),
            Key::Derived(_) => size_of::<SigningKey>(),
        };
        size_of::<Self>() + self.access_key_id.len() + token + key
    }
}

impl fmt::Debug for SigningCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCredential")
            .field("access_key_id", &self.access_key_id)
            .field("tenant", &self.tenant)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// A signing key of Signature Version 4. It signs requests of one day, region and service only.
///
/// ```
/// use tower_inference::{auth::aws_iam::SigningKey, secret::Secret};
///
/// let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
/// let key = SigningKey::derive(&secret, "20150830", "us-east-1", "execute-api");
/// assert_eq!(format!("{key:?}"), "SigningKey(..)");
/// ```
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    /// Derives the key of a day, such as `20150830`.
    #[must_use]
    pub fn derive(secret_access_key: &Secret, date: &str, region: &str, service: &str) -> Self {
        let first = Zeroizing::new(["AWS4", secret_access_key.expose()].concat());
        let mut key = Self::step(first.as_bytes(), date);
        for part in [region, service, "aws4_request"] {
            key = Self::step(&*key.0, part);
        }
        key
    }

    /// Creates a key that was derived elsewhere.
    #[must_use]
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    fn step(key: &[u8], part: &str) -> Self {
        Self::from_bytes(*Digest::hmac(key, part.as_bytes()).bytes())
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Digest {
        Digest::hmac(&*self.0, text)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Returns whether a credential may have this access key id.
pub(super) fn is_access_key_id(text: &str) -> bool {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(is_id)
}

/// A credential with the identity that is shared by its requests.
#[derive(Clone)]
pub(super) struct KnownCredential {
    credential: SigningCredential,
    pub(super) identity: Arc<Identity>,
}

impl KnownCredential {
    pub(super) fn new(credential: SigningCredential, store: &str) -> Self {
        Self { identity: Arc::new(credential.identity(store)), credential }
    }

    pub(super) fn access_key_id(&self) -> &str {
        &self.credential.access_key_id
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.credential.session_token.as_ref().map(Secret::expose)
    }

    pub(super) fn signing_key(&self, scope: &CredentialScope<'_>) -> SigningKey {
        match &self.credential.key {
            Key::Secret(secret) => {
                SigningKey::derive(secret, &scope.date, &scope.region, &scope.service)
            }
            Key::Derived(key) => key.clone(),
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.credential.memory() + self.identity.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_key_matches_the_example_of_aws() {
        // "Examples of how to derive a signing key for Signature Version 4" in the AWS General
        // Reference.
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let key = SigningKey::derive(&secret, "20120215", "us-east-1", "iam");
        let expected = "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d";
        assert_eq!(Digest::from_hex(expected.as_bytes()).unwrap().bytes(), &*key.0);
    }

    #[test]
    fn credentials_are_checked() {
        let of = |id: &str, secret: &str| SigningCredential::new(id, Secret::new(secret)).err();
        assert_eq!(of("AKID", "0123456789abcdef"), None);
        assert_eq!(of("AKID", "short"), Some(SigningCredentialError::ShortSecret));
        for id in ["", "a/b", "a b", "a\n", &"a".repeat(129)] {
            let error = Some(SigningCredentialError::InvalidAccessKeyId);
            assert_eq!(of(id, "0123456789abcdef"), error, "{id}");
        }
    }
}
