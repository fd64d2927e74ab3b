use std::{fmt, sync::Arc};

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::Value;

use super::{
    algorithm::Algorithm,
    error::KeysError,
    json::{self, IgnoredMembers},
    jwk::{VerificationKey, SkipReason},
};

/// Keys taken from one set; what follows is skipped.
const MAX_KEYS: usize = 64;

/// SkippedKeys keys that are named with their reason; of the others the number is said.
const MAX_REASONS: usize = 8;

/// A set of public keys (RFC 7517). Clones share it.
///
/// A key serves only what its own members allow: its type and curve, `alg`, `use` and `key_ops`. Keys
/// that serve nothing here (symmetric, for encryption, of an unknown type, RSA outside 2,048 to 8,192
/// bits) are skipped one by one, and the rest of the set stands. Of one set, 64 keys are taken.
///
/// Numbers are read as issuers write them: with leading zeros or without those that belong there,
/// padded, in either alphabet of base64. A byte-order mark before the set is skipped.
///
/// SkippedKeys keys are logged at `warn` with the reason, once for each change of the set; keys that say
/// that they are for encryption, at `debug`. Each key is parsed once, here. Nothing of it is printed
/// but its `kid`.
#[derive(Clone)]
pub struct Keys(Arc<KeyList>);

struct KeyList {
    keys: Box<[VerificationKey]>,
    skipped: SkippedKeys,
}

impl Keys {
    /// Reads a JWK Set.
    ///
    /// # Errors
    ///
    /// [`KeysError::Malformed`] when this is not a JSON object with an array `keys`, or an object in
    /// it has a name twice; [`KeysError::NoUsableKey`] when none of its keys can verify anything.
    pub fn from_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeysError> {
        let keys = Self::read(json.as_ref())?;
        if keys.is_empty() {
            keys.skipped().warn("the given set", 0);
            return Err(KeysError::NoUsableKey);
        }
        Ok(keys)
    }

    /// As [`from_jwks`](Self::from_jwks), without a word about what is skipped. The set may be empty.
    pub(super) fn read(json: &[u8]) -> Result<Self, KeysError> {
        let json = json::without_mark(json);
        json::object(json, IgnoredMembers).ok_or(KeysError::Malformed)?;
        let set: Value = serde_json::from_slice(json).map_err(|_| KeysError::Malformed)?;
        let jwks = set.get("keys").and_then(Value::as_array).ok_or(KeysError::Malformed)?;

        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for (index, jwk) in jwks.iter().enumerate() {
            let key = if keys.len() < MAX_KEYS { VerificationKey::of(jwk) } else { Err(SkipReason::TooMany) };
            match key {
                // Said twice, it is one: two of a name are tried, and they must be two.
                Ok(key) if keys.contains(&key) => {}
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push((index + 1, reason)),
            }
        }
        // Keycloak has a key for encryption in each set: nothing that an operator should look into,
        // unless there is no other.
        if !keys.is_empty() {
            skipped.retain(|(position, reason)| {
                let encryption = *reason == SkipReason::Encryption;
                if encryption {
                    tracing::debug!(position, "a key of the set is for encryption");
                }
                !encryption
            });
        }
        let skipped = SkippedKeys::of(&skipped);
        Ok(Self(Arc::new(KeyList { keys: keys.into(), skipped })))
    }

    pub(super) fn count(&self) -> usize {
        self.0.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    pub(super) fn skipped(&self) -> &SkippedKeys {
        &self.0.skipped
    }

    /// The keys that may have signed what says that it was signed by `key_id` with `algorithm`: at
    /// most two, the old one and the new one while both are in use. The reason for none is for the
    /// log.
    pub(super) fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let named = |key: &&VerificationKey| key_id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut named = self.0.keys.iter().filter(named).peekable();
        if named.peek().is_none() {
            return Err("no such key");
        }
        let mut matching = named.filter_map(|key| key.verifier(algorithm));
        let Some(first) = matching.next() else {
            return Err("no key for this algorithm");
        };
        let second = matching.next();
        // Without a name, which two are tried must not depend on their order.
        if key_id.is_none() && matching.next().is_some() {
            return Err("no kid, and more than two keys");
        }
        Ok([Some(first), second])
    }
}

/// What there is for a token in a set of keys.
pub(super) type Candidates<'a> = Result<[Option<&'a ParsedPublicKey>; 2], &'static str>;

impl Eq for Keys {}

impl PartialEq for Keys {
    // What was skipped verifies nothing.
    fn eq(&self, other: &Self) -> bool {
        self.0.keys == other.0.keys
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.keys.iter().map(|key| key.id.as_deref().unwrap_or("-"));
        f.debug_list().entries(names).finish()
    }
}

// === impl SkippedKeys ===

/// The keys of a set that are not used, by their position in it, from one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct SkippedKeys {
    first: Vec<(usize, SkipReason)>,
    count: usize,
}

impl SkippedKeys {
    fn of(all: &[(usize, SkipReason)]) -> Self {
        Self { first: all.iter().take(MAX_REASONS).copied().collect(), count: all.len() }
    }

    /// Says what is skipped of a set that came from `source`, beside the `usable` keys.
    pub(super) fn warn(&self, source: impl fmt::Display, usable: usize) {
        if self.count > 0 {
            let (skipped, reasons) = (self.count, self);
            tracing::warn!(%source, keys = usable, skipped, %reasons, "keys of the set are skipped");
        }
    }
}

impl fmt::Display for SkippedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (position, reason)) in self.first.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}#{position}: {reason}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_skipped_keys_is_cut() {
        let two = SkippedKeys::of(&[(2, SkipReason::Symmetric), (3, SkipReason::Missing("n"))]);
        assert_eq!(two.to_string(), "#2: a symmetric key, #3: n is missing");
        let all: Vec<_> = (1..=50_000).map(|position| (position, SkipReason::Type)).collect();
        let many = SkippedKeys::of(&all);
        assert!(many.to_string().ends_with("#8: kty is not supported, and 49992 more"), "{many}");
        assert_eq!(many.first.len(), MAX_REASONS);
    }
}
