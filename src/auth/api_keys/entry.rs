//! One key as a request finds it.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, UNIX_EPOCH},
};

use super::{digest::ApiKeyDigest, error::ApiKeysFault, record::ApiKeyRecord};
use crate::{
    clock::SharedClock,
    identity::{Identity, Proof},
    printable::is_unprintable,
};

const MAX_NAME_BYTES: usize = 256;
const MAX_PLAN_BYTES: usize = 64;
const MAX_SCOPES: usize = 64;
const MAX_SCOPE_BYTES: usize = 128;

/// A reading of both clocks. The wall time is that since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    wall: Duration,
}

impl Now {
    pub(super) fn of(clock: &SharedClock) -> Self {
        // A time before 1970 counts as after every expiry.
        let wall = clock.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX);
        Self { monotonic: clock.monotonic(), wall }
    }
}

/// Why a key is refused. The client learns none of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyFault {
    Unknown,
    /// Unknown, and its checksum is wrong.
    Mistyped,
    Malformed,
    Disabled,
    Expired,
}

impl KeyFault {
    pub(super) const ALL: [Self; 5] =
        [Self::Unknown, Self::Mistyped, Self::Malformed, Self::Disabled, Self::Expired];

    /// Returns the reason for the log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown API key",
            Self::Mistyped => "unknown API key: it was cut or mistyped, its checksum is wrong",
            Self::Malformed => "the API key is longer than 256 bytes",
            Self::Disabled => "the API key is disabled",
            Self::Expired => "the API key has expired",
        }
    }
}

/// A valid record and its identity.
pub(super) struct KeyEntry {
    record: ApiKeyRecord,
    /// Made by the first request with the key, because most keys of a long list are idle.
    identity: OnceLock<Arc<Identity>>,
}

impl KeyEntry {
    /// Returns the fault of a record that breaks a bound.
    pub(super) fn new(record: ApiKeyRecord) -> Result<Self, ApiKeysFault> {
        let invalid = |name, expected| Err(ApiKeysFault::InvalidMember { name, expected });
        let is_name = |text: &str| {
            !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(is_unprintable)
        };
        let are_scopes =
            |list: &[Box<str>]| list.len() <= MAX_SCOPES && list.iter().all(|one| is_scope(one));
        if !is_name(&record.id) {
            return invalid("id", "1 to 256 bytes without control characters");
        }
        if !record.tenant.as_deref().is_none_or(is_name) {
            return invalid("tenant", "1 to 256 bytes without control characters");
        }
        if !record.plan.as_deref().is_none_or(|plan| is_name(plan) && plan.len() <= MAX_PLAN_BYTES)
        {
            return invalid("plan", "1 to 64 bytes without control characters");
        }
        if !are_scopes(&record.scopes) {
            return invalid(
                "scopes",
                "an array of at most 64 scopes of 1 to 128 bytes without spaces",
            );
        }
        if !are_scopes(&record.roles) {
            return invalid(
                "roles",
                "an array of at most 64 roles of 1 to 128 bytes without spaces",
            );
        }
        Ok(Self { record, identity: OnceLock::new() })
    }

    pub(super) fn id(&self) -> &str {
        &self.record.id
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.record.tenant.as_deref()
    }

    /// Returns why the key is refused. `loaded` is when the entry was first used.
    pub(super) fn fault(&self, now: Now, loaded: Now) -> Option<KeyFault> {
        if self.record.disabled {
            return Some(KeyFault::Disabled);
        }
        let expiry = self.record.expires_at?;
        let expiry = expiry.duration_since(UNIX_EPOCH).unwrap_or_default();
        // An administrator who sets the wall clock back does not make the key valid for longer.
        let left = expiry.saturating_sub(loaded.wall);
        let passed = now.monotonic.saturating_sub(loaded.monotonic);
        (now.wall >= expiry || passed >= left).then_some(KeyFault::Expired)
    }

    pub(super) fn identity(&self, issuer: &str, digest: &ApiKeyDigest) -> Arc<Identity> {
        Arc::clone(self.identity.get_or_init(|| Arc::new(self.new_identity(issuer, digest))))
    }

    fn new_identity(&self, issuer: &str, digest: &ApiKeyDigest) -> Identity {
        let record = &self.record;
        let mut identity = Identity::new(Proof::ApiKey, issuer, record.id.clone())
            .with_scopes(record.scopes.iter().cloned())
            .with_credential_id(digest.public_id());
        if !record.roles.is_empty() {
            identity = identity.with_roles(record.roles.iter().cloned());
        }
        if let Some(tenant) = &record.tenant {
            identity = identity.with_tenant(tenant.clone());
        }
        if let Some(plan) = &record.plan {
            identity = identity.with_plan(plan.clone());
        }
        match record.expires_at {
            Some(at) => identity.with_expires_at(at),
            None => identity,
        }
    }

    /// Returns about how many bytes of memory the entry takes once its identity is made.
    pub(super) fn memory(&self) -> usize {
        // The overhead of an allocation.
        const HEAD: usize = 16;
        let record = &self.record;
        let texts = [Some(&record.id), record.tenant.as_ref(), record.plan.as_ref()];
        let texts = texts.into_iter().flatten().chain(&record.scopes).chain(&record.roles);
        let texts: usize = texts.map(|text| text.len() + HEAD + size_of::<Box<str>>()).sum();
        // The text of the identity, its issuer and its other facts.
        size_of::<Self>() + 2 * texts + size_of::<Identity>() + 256
    }
}

/// RFC 6749 section 3.3: printable ASCII without space, quote and backslash.
fn is_scope(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.len() <= MAX_SCOPE_BYTES && text.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_record_hold() {
        let fault = |record: ApiKeyRecord| match KeyEntry::new(record) {
            Ok(_) => "ok",
            Err(ApiKeysFault::InvalidMember { name, .. }) => name,
            Err(_) => "other",
        };
        let record = || ApiKeyRecord::new("a");
        assert_eq!(fault(ApiKeyRecord::new("a".repeat(256))), "ok");
        for id in ["", "a\n", &"a".repeat(257)] {
            assert_eq!(fault(ApiKeyRecord::new(id)), "id");
        }
        assert_eq!(fault(record().tenant("")), "tenant");
        assert_eq!(fault(record().plan("p".repeat(64))), "ok");
        assert_eq!(fault(record().plan("p".repeat(65))), "plan");
        assert_eq!(fault(record().scopes(vec!["s"; 64])), "ok");
        assert_eq!(fault(record().scopes(vec!["s"; 65])), "scopes");
        for scope in ["", "a b", "a\"", "\\", "é", &"s".repeat(129)] {
            assert_eq!(fault(record().scopes([scope])), "scopes");
            assert_eq!(fault(record().roles([scope])), "roles");
        }
    }
}
