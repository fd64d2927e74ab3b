//! Hashes of subjects. Each starts with the kind of its subject.

use super::key::{CounterHasher, CounterKey};

pub(super) fn identity(
    hasher: &CounterHasher,
    proof: &str,
    issuer: &str,
    subject: &str,
) -> CounterKey {
    hasher.key([b"identity", proof.as_bytes(), issuer.as_bytes(), subject.as_bytes()])
}

/// Hashes a tenant. Callers of one issuer without a tenant share a key.
pub(super) fn tenant(hasher: &CounterHasher, issuer: &str, tenant: Option<&str>) -> CounterKey {
    of_issuer(hasher, "tenant", issuer, tenant)
}

/// Hashes a claim's value with the hash of its name. Callers of one issuer without a value share a
/// key.
pub(super) fn claim(
    hasher: &CounterHasher,
    name: CounterKey,
    issuer: &str,
    value: Option<&str>,
) -> CounterKey {
    of_issuer(hasher, "claim", issuer, value).of_limit(name)
}

pub(super) fn claim_name(hasher: &CounterHasher, name: &str) -> CounterKey {
    hasher.key([b"claim-name", name.as_bytes()])
}

pub(super) fn address(hasher: &CounterHasher, address: &[u8; 16]) -> CounterKey {
    hasher.key([b"peer", &address[..]])
}

/// Hashes the bytes that a user's function returned.
pub(super) fn custom(hasher: &CounterHasher, bytes: &[u8]) -> CounterKey {
    hasher.key([b"key", bytes])
}

pub(super) fn route(hasher: &CounterHasher, name: &str) -> CounterKey {
    hasher.key([b"route", name.as_bytes()])
}

pub(super) fn global(hasher: &CounterHasher) -> CounterKey {
    hasher.key([b"global".as_slice()])
}

/// Hashes the one subject of all requests whose subject is unknown.
pub(super) fn unknown(hasher: &CounterHasher, kind: &str) -> CounterKey {
    hasher.key([b"unknown", kind.as_bytes()])
}

fn of_issuer(hasher: &CounterHasher, kind: &str, issuer: &str, value: Option<&str>) -> CounterKey {
    match value {
        Some(value) => hasher.key([kind.as_bytes(), issuer.as_bytes(), value.as_bytes()]),
        None => hasher.key([b"unknown", kind.as_bytes(), issuer.as_bytes()]),
    }
}
