use std::{fmt, sync::Arc};

use aws_lc_rs::signature::ParsedPublicKey;
use bytes::Bytes;

use super::{
    document::parse_document,
    error::{KeysError, KeysFault},
    jwk::{SkipReason, VerificationKey},
};
use crate::{
    auth::algorithm::Algorithm,
    payload::{Kind, Node},
};

/// The maximum size of a key set or discovery document. API Gateway has 150,000 bytes for its JWT
/// authorizers.
pub(super) const MAX_SET_BYTES: usize = 512 << 10;

/// The maximum number of keys of one set. Further keys are skipped.
const MAX_KEYS: usize = 64;

/// The maximum number of skipped keys whose reason is logged. The log counts the others.
const MAX_REASONS: usize = 8;

/// A set of public keys (RFC 7517). Clones share it.
///
/// ```
/// use tower_inference::auth::{Keys, KeysError, KeysFault};
///
/// let keys = Keys::from_jwks(
///     r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
///         "x": "TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}]}"#,
/// )?;
/// assert_eq!(format!("{keys:?}"), r#"["k1"]"#);
///
/// let symmetric = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#;
/// let error = Keys::from_jwks(symmetric).unwrap_err();
/// assert!(matches!(error.fault, KeysFault::NoUsableKey(_)));
/// assert_eq!(error.to_string(), "the key set has no usable key: #1: the key is symmetric");
/// # Ok::<(), KeysError>(())
/// ```
///
/// A key verifies only the algorithms that its type, curve, `alg`, `use` and `key_ops` all allow.
/// Keys that allow none are skipped and the other keys stay usable. Skipped are symmetric keys,
/// encryption keys, unknown types and RSA keys outside of 2,048 to 8,192 bits. A set may have 64
/// keys. Further keys are skipped too.
///
/// Numbers are accepted as issuers write them: with or without leading zeros or padding and in
/// either alphabet of base64. A byte-order mark before the set is skipped.
///
/// Skipped keys are logged at `warn` with the reason. Each change of the set is logged once.
/// Encryption keys are logged at `debug`. The `Debug` output shows only each `kid`.
#[derive(Clone)]
pub struct Keys(Arc<KeyList>);

struct KeyList {
    keys: Box<[VerificationKey]>,
    skipped: SkippedKeys,
}

impl Keys {
    /// Parses a JWK Set.
    ///
    /// # Errors
    ///
    /// Returns [`KeysFault::Malformed`] if `json` is not an object with an array `keys`. Also
    /// returned if an object in it repeats a member name. Returns [`KeysFault::NoUsableKey`] if no
    /// key can verify a token.
    pub fn from_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeysError> {
        let keys = Self::parse(Bytes::copy_from_slice(json.as_ref()))?;
        if keys.is_empty() {
            keys.skipped().warn("the given set", 0);
            return Err(keys.without_usable_key().into());
        }
        Ok(keys)
    }

    /// Parses a set that may have no usable key. Logs no skipped keys.
    pub(crate) fn parse(json: Bytes) -> Result<Self, KeysFault> {
        let document = parse_document(json)?;
        let jwks = document.root().get("keys").filter(|keys| keys.kind() == Kind::Array);
        let jwks = jwks.ok_or_else(|| KeysFault::Malformed(other_form(document.root()).into()))?;

        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for (index, jwk) in jwks.elements().enumerate() {
            let key = if keys.len() < MAX_KEYS {
                VerificationKey::parse(jwk)
            } else {
                Err(SkipReason::TooMany)
            };
            match key {
                // A repeated key counts once. Otherwise it would displace another key of its `kid`.
                Ok(key) if keys.contains(&key) => {}
                Ok(key) => keys.push(key),
                Err(reason) => skipped.push((index + 1, reason)),
            }
        }
        // Keycloak publishes an encryption key in each set. It needs no warning unless the set has
        // no other key.
        if !keys.is_empty() {
            skipped.retain(|(position, reason)| {
                let encryption = *reason == SkipReason::Encryption;
                if encryption {
                    tracing::debug!(position, "skipped an encryption key of the set");
                }
                !encryption
            });
        }
        let skipped = SkippedKeys::of(&skipped);
        Ok(Self(Arc::new(KeyList { keys: keys.into(), skipped })))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// Returns the error for a set without a usable key.
    pub(super) fn without_usable_key(&self) -> KeysFault {
        let skipped = self.skipped();
        KeysFault::NoUsableKey(if skipped.count == 0 {
            "`keys` is empty".into()
        } else {
            skipped.to_string().into()
        })
    }

    pub(super) fn skipped(&self) -> &SkippedKeys {
        &self.0.skipped
    }

    /// Returns the keys that may have signed a token with this `kid` and `alg`. There are at most
    /// two, because an issuer may use an old and a new key at the same time. The error is for the
    /// log.
    pub(crate) fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let named = |key: &&VerificationKey| key_id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut named = self.0.keys.iter().filter(named).peekable();
        if named.peek().is_none() {
            return Err("no key has this kid");
        }
        let mut matching = named.filter_map(|key| key.verifier(algorithm));
        let Some(first) = matching.next() else {
            return Err("no key allows this algorithm");
        };
        let second = matching.next();
        // Without a `kid` the order of the keys must not decide which two are tried.
        if key_id.is_none() && matching.next().is_some() {
            return Err("the token has no kid and more than two keys match");
        }
        Ok([Some(first), second])
    }
}

/// Returns in words what a document is that is no key set, and what to do.
fn other_form(root: Node<'_>) -> &'static str {
    let is_key = |value: Node<'_>| value.get("kty").is_some();
    let is_certificate = |value: Node<'_>| {
        value.as_str().is_some_and(|text| text.starts_with("-----BEGIN CERTIFICATE-----"))
    };
    match root.kind() {
        Kind::Object if is_key(root) => "it is a single JWK: wrap it in {\"keys\": [\u{2026}]}",
        Kind::Object if root.get("jwks_uri").is_some() => {
            "it is a discovery document: use RemoteKeys::discovery, or RemoteKeys::jwks with the \
             `jwks_uri` in it"
        }
        Kind::Object if root.members().any(|(_, value)| is_certificate(value)) => {
            "it is a list of certificates: use the address of the issuer's JWK Set instead"
        }
        Kind::Array if root.elements().any(is_key) => {
            "it is an array of keys: wrap it in {\"keys\": \u{2026}}"
        }
        _ => "it has no array `keys`",
    }
}

/// The keys that may verify a token.
pub(crate) type Candidates<'a> = Result<[Option<&'a ParsedPublicKey>; 2], &'static str>;

impl Eq for Keys {}

impl PartialEq for Keys {
    // Skipped keys verify nothing, so they make no difference.
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

/// The skipped keys of a set. Positions count from one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct SkippedKeys {
    first: Vec<(usize, SkipReason)>,
    count: usize,
}

impl SkippedKeys {
    fn of(all: &[(usize, SkipReason)]) -> Self {
        Self { first: all.iter().take(MAX_REASONS).copied().collect(), count: all.len() }
    }

    /// Logs the skipped keys of a set from `source`.
    pub(super) fn warn(&self, source: impl fmt::Display, usable: usize) {
        if self.count > 0 {
            let (skipped, reasons) = (self.count, self);
            tracing::warn!(%source, keys = usable, skipped, %reasons, "skipped keys of the set");
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
    fn long_list_of_skipped_keys_is_cut() {
        let two = SkippedKeys::of(&[(2, SkipReason::Symmetric), (3, SkipReason::Missing("n"))]);
        assert_eq!(two.to_string(), "#2: the key is symmetric, #3: n is missing");
        let all: Vec<_> = (1..=50_000).map(|position| (position, SkipReason::Type)).collect();
        let many = SkippedKeys::of(&all);
        assert!(many.to_string().ends_with("#8: kty is not supported, and 49992 more"), "{many}");
        assert_eq!(many.first.len(), MAX_REASONS);
    }
}
