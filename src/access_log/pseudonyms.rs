use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac::{Context, HMAC_SHA256, Key},
};

use crate::{error_debug::debug_as_message, identity::Identity, record::Record, secret::Secret};

/// Stands for names and texts that a log must not show, so that equal ones are still seen as equal.
///
/// A pseudonym is the first 128 bits of the HMAC-SHA-256 (RFC 2104) of the value under your key. Nobody
/// without the key can find the value of a pseudonym by trying. An operator with the key computes the pseudonym
/// of a known value and searches the log for it. Processes with the same key write the same pseudonyms.
///
/// | pseudonym of | hashed parts |
/// |---|---|
/// | a subject | `subject`, issuer, subject |
/// | a tenant | `tenant`, issuer, tenant |
/// | the id of a credential | `credential`, id |
/// | a body | `content`, the 32 bytes of its SHA-256 digest |
///
/// Each part follows its length in bytes, which is a little-endian number of 64 bits.
///
/// ```
/// use tower_inference::{access_log::Pseudonyms, secret::Secret};
///
/// let key = Secret::new("32 random bytes, as of `openssl rand -base64 32`");
/// let pseudonyms = Pseudonyms::new(&key)?;
/// let user = pseudonyms.subject("https://issuer.example", "user-7");
/// assert!(user.starts_with("hmac:") && user.len() == 37);
/// assert_eq!(user, pseudonyms.subject("https://issuer.example", "user-7"));
/// // The same name at another issuer is another caller.
/// assert_ne!(user, pseudonyms.subject("https://other.example", "user-7"));
/// # Ok::<(), tower_inference::access_log::PseudonymKeyError>(())
/// ```
#[derive(Clone)]
pub struct Pseudonyms(Arc<Key>);

/// The error of a key with fewer than 16 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub struct PseudonymKeyError;

impl Pseudonyms {
    /// The shortest key in bytes. It may be text of less entropy, so more is better.
    const SHORTEST_KEY: usize = 16;

    /// Creates pseudonyms under this key. The copy of the key is not wiped on drop.
    ///
    /// # Errors
    ///
    /// Returned when the key has fewer than 16 bytes.
    pub fn new(key: &Secret) -> Result<Self, PseudonymKeyError> {
        let key = key.expose().as_bytes();
        if key.len() < Self::SHORTEST_KEY {
            return Err(PseudonymKeyError);
        }
        Ok(Self(Arc::new(Key::new(HMAC_SHA256, key))))
    }

    /// Returns the pseudonym of a subject.
    #[must_use]
    pub fn subject(&self, issuer: &str, subject: &str) -> String {
        self.of(&[b"subject", issuer.as_bytes(), subject.as_bytes()])
    }

    /// Returns the pseudonym of a tenant.
    #[must_use]
    pub fn tenant(&self, issuer: &str, tenant: &str) -> String {
        self.of(&[b"tenant", issuer.as_bytes(), tenant.as_bytes()])
    }

    /// Returns the pseudonym of the public id of a credential.
    #[must_use]
    pub fn credential_id(&self, id: &str) -> String {
        self.of(&[b"credential", id.as_bytes()])
    }

    /// Returns the pseudonym of a prompt or a completion: the whole body of a request or a response.
    #[must_use]
    pub fn content(&self, body: &[u8]) -> String {
        self.content_digest(digest(&SHA256, body).as_ref())
    }

    /// Returns the pseudonym of a body with this SHA-256 digest.
    pub(super) fn content_digest(&self, digest: &[u8]) -> String {
        self.of(&[b"content", digest])
    }

    /// Returns the record with pseudonyms in place of subject, tenant and credential id, and without
    /// claims. `None` when it has no caller.
    pub(super) fn of_record<'a>(&self, record: &Record<'a>) -> Option<Record<'a>> {
        let caller = record.identity()?;
        let issuer = caller.issuer();
        let subject = self.subject(issuer, caller.subject());
        let mut hidden = Identity::new(caller.proof(), issuer, subject);
        if let Some(tenant) = caller.tenant() {
            hidden = hidden.with_tenant(self.tenant(issuer, tenant));
        }
        if let Some(id) = caller.credential_id() {
            hidden = hidden.with_credential_id(self.credential_id(id));
        }
        Some(record.with_identity(hidden))
    }

    fn of(&self, parts: &[&[u8]]) -> String {
        let mut context = Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut pseudonym = "hmac:".to_owned();
        for byte in context.sign().as_ref().iter().take(16) {
            for nibble in [byte >> 4, byte & 0xf] {
                pseudonym.extend(char::from_digit(nibble.into(), 16));
            }
        }
        pseudonym
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

impl fmt::Display for PseudonymKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a key for pseudonyms has at least 16 bytes: generate one with `openssl rand -base64 32`",
        )
    }
}

debug_as_message!(PseudonymKeyError);

impl std::error::Error for PseudonymKeyError {}
