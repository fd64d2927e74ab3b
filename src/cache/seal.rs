//! What makes a value that was somewhere else our own again.
//!
//! ```text
//! version  mode   the rest
//! 1        0      body, HMAC-SHA256 (32 bytes)
//! 1        1      salt (16), nonce (12), AES-256-GCM of the body, its tag (16)
//! ```
//!
//! Under the tag stand version, mode, purpose and name, each of a fixed length, and the body. All
//! keys come from one secret by HKDF (RFC 5869), each by a label of its own.

use std::fmt;

use aws_lc_rs::{aead, constant_time::verify_slices_are_equal, hkdf, hmac, rand};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{
    generation::Tag,
    key::{Key, Variant},
};
use crate::secret::Secret;

/// What a tier knows a value by: a keyed hash, of which nobody learns what it is for.
pub(super) type Name = [u8; 32];

/// What a value is for. One that is put in the place of another of a different purpose is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Entry,
    Epoch,
}

/// Seals and opens values, and names them.
pub(super) struct Seal {
    names: hmac::Key,
    tags: hmac::Key,
    /// Each value is encrypted by a key of its own, made of this one and a salt: a random nonce under
    /// one key is safe for 2^32 values only (NIST SP 800-38D section 8.3).
    ciphers: hmac::Key,
    encrypts: bool,
}

/// Changes whenever what is under the tag, or the layout, does.
const VERSION: u8 = 1;

const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

const TAG: usize = 32;
const SALT: usize = 16;
const NONCE: usize = aead::NONCE_LEN;
/// Version and mode.
const HEAD: usize = 2;

/// By how much a sealed value is longer than its body, at most.
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

    /// The name of an answer. The scope is in its key.
    pub(super) fn entry(&self, (key, variant): (Key, Variant)) -> Name {
        let variant = match variant {
            Variant::Plain => 0,
            Variant::Stream => 1,
            Variant::StreamWithUsage => 2,
        };
        hash(&self.names, &[&[Purpose::Entry.byte(), variant], &key.0])
    }

    /// The name of what tells when a tag was invalidated; without a tag, when all were.
    pub(super) fn epoch(&self, tag: Option<Tag>) -> Name {
        let purpose = [Purpose::Epoch.byte()];
        match tag {
            Some(Tag(tag)) => hash(&self.names, &[&purpose, &tag.to_be_bytes()]),
            None => hash(&self.names, &[&purpose]),
        }
    }

    /// `None` when the system has no randomness to give.
    pub(super) fn seal(&self, purpose: Purpose, name: &Name, body: &[u8]) -> Option<Bytes> {
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
        let under = aead::Aad::from(under(ENCRYPTED, purpose, name));
        let body = sealed.get_mut(before..)?;
        let tag = self.cipher(&salt)?.seal_in_place_separate_tag(nonce, under, body).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed.into())
    }

    /// The body, if it was sealed by the same secret for the same purpose and name. Both modes are
    /// opened, so that replicas can be told one after the other to encrypt.
    pub(super) fn open(&self, purpose: Purpose, name: &Name, sealed: Bytes) -> Option<Bytes> {
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
                let under = aead::Aad::from(under(ENCRYPTED, purpose, name));
                const BEFORE: usize = HEAD + SALT + NONCE;
                // In place where nobody else has the bytes.
                let mut sealed = Vec::from(sealed);
                let body = cipher.open_in_place(nonce, under, sealed.get_mut(BEFORE..)?).ok()?;
                let length = body.len();
                Some(Bytes::from(sealed).slice(BEFORE..BEFORE + length))
            }
            _ => None,
        }
    }

    fn tag(&self, purpose: Purpose, name: &Name, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.tags);
        context.update(&under(PLAIN, purpose, name));
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

/// The secret by which [`Keys`](super::key::Keys) are made, where replicas share a tier.
pub(super) fn key_secret(secret: &Secret) -> Zeroizing<[u8; 32]> {
    derive(secret, b"tower-inference cache v1 keys")
}

/// As many random bytes.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// What is under the tag before the body.
fn under(mode: u8, purpose: Purpose, name: &Name) -> [u8; 35] {
    let mut under = [0; 35];
    let all = [VERSION, mode, purpose.byte()];
    for (to, from) in under.iter_mut().zip(all.iter().chain(name)) {
        *to = *from;
    }
    under
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

/// 32 bytes by HKDF. It can make so few, so it never fails; if it did, one no one else has would do.
fn derive(secret: &Secret, label: &'static [u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"");
    let made = salt
        .extract(secret.expose().as_bytes())
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|made| made.fill(&mut *key));
    if made.is_err() {
        let _unknown = rand::fill(&mut *key);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::Keys;

    const NAME: Name = [7; 32];
    const BODY: &[u8] = b"an answer";

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
    fn what_was_sealed_is_opened_by_whoever_has_the_secret() {
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
    fn the_empty_body_is_one() {
        for encrypts in [false, true] {
            let seal = seal("secret", encrypts);
            let sealed = seal.seal(Purpose::Epoch, &NAME, b"").unwrap();
            assert!(sealed.len() <= OVERHEAD);
            assert_eq!(seal.open(Purpose::Epoch, &NAME, sealed).as_deref(), Some(&b""[..]));
        }
    }

    #[test]
    fn every_bit_counts() {
        for (seal, sealed) in both() {
            for bit in 0..sealed.len() * 8 {
                let mut spoilt = sealed.to_vec();
                spoilt[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(seal.open(Purpose::Entry, &NAME, spoilt.into()), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_nothing() {
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
    fn what_belongs_elsewhere_is_nothing_here() {
        for (seal, sealed) in both() {
            assert_eq!(seal.open(Purpose::Epoch, &NAME, sealed.clone()), None);
            for byte in 0..NAME.len() {
                let mut other = NAME;
                other[byte] ^= 1;
                assert_eq!(seal.open(Purpose::Entry, &other, sealed.clone()), None, "{byte}");
            }
        }
    }

    /// A value that stands under the key of another scope, or of another variant.
    #[test]
    fn names_tell_scopes_and_variants_and_purposes_and_secrets_apart() {
        let key = |scope: &[u8]| {
            let mut making = Keys::new(&*key_secret(&Secret::new("secret"))).begin();
            making.part(scope);
            making.part(b"the same request");
            making.finish()
        };
        let (one, other) = (seal("secret", false), seal("other", false));
        let mut names = vec![one.epoch(None), one.epoch(Some(Tag(0))), one.epoch(Some(Tag(1)))];
        for seal in [&one, &other] {
            for scope in [&b"one"[..], b"two"] {
                names.extend(Variant::ALL.map(|variant| seal.entry((key(scope), variant))));
            }
        }
        assert_eq!(one.entry((key(b"one"), Variant::Plain)), names[3]);
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
    fn what_is_encrypted_shows_nothing_and_never_twice_the_same() {
        let seal = seal("secret", true);
        let [one, other] = [(), ()].map(|()| seal.seal(Purpose::Entry, &NAME, BODY).unwrap());
        assert_ne!(one, other);
        for sealed in [one, other] {
            assert!(!sealed.windows(BODY.len()).any(|window| window == BODY));
        }
        assert_eq!(format!("{seal:?}"), "Seal(..)");
    }
}
