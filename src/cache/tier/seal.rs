//! Authenticates and encrypts the values of a tier.
//!
//! ```text
//! version  mode   rest
//! 1        0      body, HMAC-SHA256 (32 bytes)
//! 1        1      salt (16), nonce (12), AES-256-GCM of the body, its tag (16)
//! ```
//!
//! The tag covers version, mode, purpose and name, each of a fixed length, and the body. HKDF (RFC
//! 5869) derives all keys from one secret, each with a label of its own.

use std::fmt;

use aws_lc_rs::{aead, constant_time::verify_slices_are_equal, hkdf, hmac, rand};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    cache::key::{EntryKey, Tag, Variant},
    secret::Secret,
};

/// The key of a value in a tier: a keyed hash, which reveals nothing.
pub(super) type RecordName = [u8; 32];

/// The purpose of a value. A value is invalid for another purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Entry,
    Epoch,
}

/// Seals and opens values, and names them.
pub(super) struct Seal {
    names: hmac::Key,
    tags: hmac::Key,
    /// Derives a key for each value with a salt. Random nonces under one key are safe for 2^32 values
    /// only (NIST SP 800-38D section 8.3).
    ciphers: hmac::Key,
    encrypts: bool,
}

/// The version of the layout. Change it with each change of the layout or of the tag.
const VERSION: u8 = 1;

const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

const TAG: usize = 32;
const SALT: usize = 16;
const NONCE: usize = aead::NONCE_LEN;
/// The length of version and mode.
const HEAD: usize = 2;

/// The maximum difference between the lengths of a sealed value and its body.
pub(super) const OVERHEAD: usize = HEAD + SALT + NONCE + TAG;

impl Seal {
    pub(super) fn new(secret: &Secret, encrypts: bool) -> Self {
        let key = |label| hmac::Key::new(hmac::HMAC_SHA256, &*derive(secret, label));
        Self {
            names: key(b"tower-inference cache v1 names"),
            tags: key(b"tower-inference cache v1 tags"),
            ciphers: key(b"tower-inference cache v1 ciphers"),
            encrypts,
        }
    }

    /// Returns the name of an entry. Its key includes the scope.
    pub(super) fn entry_name(&self, (key, variant): EntryKey) -> RecordName {
        let variant = match variant {
            Variant::Plain => 0,
            Variant::Stream => 1,
            Variant::StreamWithUsage => 2,
        };
        hash(&self.names, &[&[Purpose::Entry.byte(), variant], &key.0])
    }

    /// Returns the name of the epoch of a tag, or of all entries without a tag.
    pub(super) fn epoch_name(&self, tag: Option<Tag>) -> RecordName {
        let purpose = [Purpose::Epoch.byte()];
        match tag {
            Some(Tag(tag)) => hash(&self.names, &[&purpose, &tag.to_be_bytes()]),
            None => hash(&self.names, &[&purpose]),
        }
    }

    /// Seals a body. Returns `None` if the system has no randomness.
    pub(super) fn seal(&self, purpose: Purpose, name: &RecordName, body: &[u8]) -> Option<Bytes> {
        let mut sealed = Vec::with_capacity(OVERHEAD + body.len());
        if !self.encrypts {
            sealed.extend([VERSION, PLAIN]);
            sealed.extend_from_slice(body);
            sealed.extend(self.tag(purpose, name, body).as_ref());
            return Some(sealed.into());
        }
        let (salt, nonce): ([u8; SALT], [u8; NONCE]) = (random()?, random()?);
        sealed.extend([VERSION, ENCRYPTED]);
        sealed.extend(salt);
        sealed.extend(nonce);
        let before = sealed.len();
        sealed.extend_from_slice(body);
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let header = aead::Aad::from(tag_header(ENCRYPTED, purpose, name));
        let body = sealed.get_mut(before..)?;
        let tag = self.cipher(&salt)?.seal_in_place_separate_tag(nonce, header, body).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed.into())
    }

    /// Returns the body if it was sealed with the same secret, purpose and name. Both modes are opened,
    /// so that encryption can be rolled out gradually.
    pub(super) fn open(&self, purpose: Purpose, name: &RecordName, sealed: Bytes) -> Option<Bytes> {
        match *sealed.get(..HEAD)? {
            [VERSION, PLAIN] => {
                let (body, tag) = sealed.get(HEAD..)?.split_last_chunk::<TAG>()?;
                let ours = self.tag(purpose, name, body);
                verify_slices_are_equal(ours.as_ref(), tag).ok()?;
                Some(sealed.slice(HEAD..HEAD + body.len()))
            }
            [VERSION, ENCRYPTED] => {
                let (salt, rest) = sealed.get(HEAD..)?.split_first_chunk::<SALT>()?;
                let (nonce, _) = rest.split_first_chunk::<NONCE>()?;
                let cipher = self.cipher(salt)?;
                let nonce = aead::Nonce::assume_unique_for_key(*nonce);
                let header = aead::Aad::from(tag_header(ENCRYPTED, purpose, name));
                const BEFORE: usize = HEAD + SALT + NONCE;
                // Without a copy if the bytes are not shared.
                let mut sealed = Vec::from(sealed);
                let body = cipher.open_in_place(nonce, header, sealed.get_mut(BEFORE..)?).ok()?;
                let length = body.len();
                Some(Bytes::from(sealed).slice(BEFORE..BEFORE + length))
            }
            _ => None,
        }
    }

    fn tag(&self, purpose: Purpose, name: &RecordName, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.tags);
        context.update(&tag_header(PLAIN, purpose, name));
        context.update(body);
        context.sign()
    }

    fn cipher(&self, salt: &[u8; SALT]) -> Option<aead::LessSafeKey> {
        let key = Zeroizing::new(hash(&self.ciphers, &[salt]));
        aead::UnboundKey::new(&aead::AES_256_GCM, &*key).ok().map(aead::LessSafeKey::new)
    }
}

impl Purpose {
    const fn byte(self) -> u8 {
        match self {
            Self::Entry => 1,
            Self::Epoch => 2,
        }
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

/// Derives the secret of cache keys, which replicas share.
pub(super) fn key_secret(secret: &Secret) -> Zeroizing<[u8; 32]> {
    derive(secret, b"tower-inference cache v1 keys")
}

/// Returns random bytes.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Returns the part before the body that the tag covers.
fn tag_header(mode: u8, purpose: Purpose, name: &RecordName) -> [u8; 35] {
    let mut header = [0; 35];
    let all = [VERSION, mode, purpose.byte()];
    for (to, from) in header.iter_mut().zip(all.iter().chain(name)) {
        *to = *from;
    }
    header
}

fn hash(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    hash
}

/// Derives 32 bytes with HKDF, which cannot fail for so few. A random key would be safe.
fn derive(secret: &Secret, label: &'static [u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"");
    let made = salt
        .extract(secret.expose().as_bytes())
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|made| made.fill(&mut *key));
    if made.is_err() {
        let _random = rand::fill(&mut *key);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::{KeyParts as _, KeySecret};

    const NAME: RecordName = [7; 32];
    const BODY: &[u8] = b"a response";

    fn seal(secret: &str, encrypts: bool) -> Seal {
        Seal::new(&Secret::new(secret), encrypts)
    }

    fn both() -> [(Seal, Bytes); 2] {
        [false, true].map(|encrypts| {
            let seal = seal("secret", encrypts);
            let sealed = seal.seal(Purpose::Entry, &NAME, BODY).unwrap();
            (seal, sealed)
        })
    }

    #[test]
    fn only_the_same_secret_opens_a_value() {
        for (_, sealed) in both() {
            for encrypts in [false, true] {
                let other = seal("secret", encrypts);
                let opened = other.open(Purpose::Entry, &NAME, sealed.clone());
                assert_eq!(opened.as_deref(), Some(BODY));
            }
            for wrong in ["secre", "secret ", ""] {
                let other = seal(wrong, true);
                assert_eq!(other.open(Purpose::Entry, &NAME, sealed.clone()), None, "{wrong}");
            }
        }
    }

    #[test]
    fn an_empty_body_is_sealed() {
        for encrypts in [false, true] {
            let seal = seal("secret", encrypts);
            let sealed = seal.seal(Purpose::Epoch, &NAME, b"").unwrap();
            assert!(sealed.len() <= OVERHEAD);
            assert_eq!(seal.open(Purpose::Epoch, &NAME, sealed).as_deref(), Some(&b""[..]));
        }
    }

    #[test]
    fn every_changed_bit_invalidates_a_value() {
        for (seal, sealed) in both() {
            for bit in 0..sealed.len() * 8 {
                let mut spoilt = sealed.to_vec();
                spoilt[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(seal.open(Purpose::Entry, &NAME, spoilt.into()), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_truncated_or_longer_value_is_invalid() {
        for (seal, sealed) in both() {
            for length in 0..sealed.len() {
                let cut = sealed.slice(..length);
                assert_eq!(seal.open(Purpose::Entry, &NAME, cut), None, "{length}");
                let cut = sealed.slice(sealed.len() - length..);
                assert_eq!(seal.open(Purpose::Entry, &NAME, cut), None, "the last {length}");
            }
            let longer = [&sealed[..], b"\0"].concat();
            assert_eq!(seal.open(Purpose::Entry, &NAME, longer.into()), None);
        }
    }

    #[test]
    fn another_purpose_or_name_invalidates_a_value() {
        for (seal, sealed) in both() {
            assert_eq!(seal.open(Purpose::Epoch, &NAME, sealed.clone()), None);
            for byte in 0..NAME.len() {
                let mut other = NAME;
                other[byte] ^= 1;
                assert_eq!(seal.open(Purpose::Entry, &other, sealed.clone()), None, "{byte}");
            }
        }
    }

    #[test]
    fn names_differ_by_scope_variant_purpose_and_secret() {
        let key = |scope: &[u8]| {
            let mut hasher = KeySecret::new(&*key_secret(&Secret::new("secret"))).hasher();
            hasher.part(scope);
            hasher.part(b"the same request");
            hasher.finish()
        };
        let (one, other) = (seal("secret", false), seal("other", false));
        let mut names =
            vec![one.epoch_name(None), one.epoch_name(Some(Tag(0))), one.epoch_name(Some(Tag(1)))];
        for seal in [&one, &other] {
            for scope in [&b"one"[..], b"two"] {
                names.extend(Variant::ALL.map(|variant| seal.entry_name((key(scope), variant))));
            }
        }
        assert_eq!(one.entry_name((key(b"one"), Variant::Plain)), names[3]);
        let sealed = one.seal(Purpose::Entry, &names[3], BODY).unwrap();
        for (at, name) in names.iter().enumerate() {
            assert_eq!(one.open(Purpose::Entry, name, sealed.clone()).is_some(), at == 3, "{at}");
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn encrypted_values_hide_the_body_and_differ() {
        let seal = seal("secret", true);
        let [one, other] = [(), ()].map(|()| seal.seal(Purpose::Entry, &NAME, BODY).unwrap());
        assert_ne!(one, other);
        for sealed in [one, other] {
            assert!(!sealed.windows(BODY.len()).any(|window| window == BODY));
        }
        assert_eq!(format!("{seal:?}"), "Seal(..)");
    }
}
