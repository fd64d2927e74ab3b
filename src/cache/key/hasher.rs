use std::fmt;

use aws_lc_rs::hmac;

use super::{
    canonical::{Sink, put_canonical},
    entry_key::Key,
    invalidation::Tag,
    parts::{KeyParts, PartHasher, Update},
};
use crate::payload::Node;

/// A secret that makes keys: of one layer, or shared by replicas.
#[derive(Clone)]
pub(crate) struct KeySecret {
    hmac: hmac::Key,
}

pub(crate) type KeyHasher = PartHasher<hmac::Context>;

/// The version of the key. Change it with each change of its parts or of their order.
const VERSION: u8 = 1;

impl KeySecret {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self { hmac: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// Returns the tag of a name that can invalidate entries.
    pub(crate) fn tag<const N: usize>(&self, name: [&[u8]; N]) -> Tag {
        let mut hasher = self.hasher();
        hasher.parts(name.into_iter());
        let Key(key) = hasher.finish();
        let (tag, _) = key.split_first_chunk().unwrap_or((&[0; 8], &[]));
        Tag(u64::from_be_bytes(*tag))
    }

    pub(crate) fn hasher(&self) -> KeyHasher {
        let mut hasher = KeyHasher::new(hmac::Context::with_key(&self.hmac));
        hasher.put(&[VERSION]);
        hasher
    }
}

impl KeyHasher {
    /// Hashes a document without the ignored members of its root.
    pub(crate) fn document(&mut self, root: Node<'_>, is_ignored: impl Fn(&str) -> bool) {
        put_canonical(root, is_ignored, self);
    }

    pub(crate) fn finish(self) -> Key {
        let tag = self.into_hash().sign();
        let mut key = [0; 32];
        for (byte, of_tag) in key.iter_mut().zip(tag.as_ref()) {
            *byte = *of_tag;
        }
        Key(key)
    }
}

impl Update for hmac::Context {
    fn update(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payload::Document;

    fn key(secret: &[u8], put: impl FnOnce(&mut KeyHasher)) -> Key {
        let mut hasher = KeySecret::new(secret).hasher();
        put(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn keys_depend_on_the_secret() {
        let one = key(b"one", |hasher| hasher.part(b"a"));
        assert_eq!(one, key(b"one", |hasher| hasher.part(b"a")));
        assert_ne!(one, key(b"two", |hasher| hasher.part(b"a")));
        assert_eq!(format!("{one:?}"), "Key(..)");
    }

    #[test]
    fn the_input_is_the_version_and_each_part_after_its_length() {
        // Others have keys of this version. The long parts exceed the room alone and together.
        for long in [1, 300, 900, 5_000] {
            let length = [long as u8 | 0x80, (long >> 7) as u8];
            let length = if long < 128 { &[long as u8][..] } else { &length };
            let part = vec![7; long];
            let input = [&[VERSION, 2][..], b"ab", length, &part, length, &part, &[1, 0, 0]];
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s"), &input.concat());
            let made = key(b"s", |hasher| {
                hasher.part(b"ab");
                hasher.part(&part);
                hasher.part(&part);
                hasher.optional(Some(b""));
                hasher.optional(None);
            });
            assert_eq!(made.0[..], *tag.as_ref(), "{long}");
        }
    }

    #[test]
    fn a_missing_part_differs_from_an_empty_one() {
        let missing = key(b"", |hasher| hasher.optional(None));
        let empty = key(b"", |hasher| hasher.optional(Some(b"")));
        assert_ne!(missing, empty);
    }

    proptest! {
        // Some parts exceed the room.
        #[test]
        fn keys_are_equal_if_and_only_if_the_parts_are(
            one in prop::collection::vec(0_usize..9_000, 0..4),
            other in prop::collection::vec(0_usize..9_000, 0..4),
        ) {
            let of = |lengths: &[usize]| key(b"s", |hasher| {
                lengths.iter().for_each(|length| hasher.part(&vec![7; *length]));
            });
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        #[test]
        fn equal_documents_give_equal_keys(text in "[a-z]{0,300}", times in 0_usize..60) {
            let elements = vec![format!("\"{text}\""); times].join(",");
            let document = Document::parse(format!("[{elements}]")).unwrap();
            let long = key(b"s", |hasher| hasher.document(document.root(), |_| false));
            let elements = vec![format!(" \"{text}\"\n"); times].join(",");
            let document = Document::parse(format!("[{elements}]")).unwrap();
            prop_assert_eq!(long, key(b"s", |hasher| hasher.document(document.root(), |_| false)));
            let document = Document::parse(format!("[{elements}{}1]", if times > 0 { "," } else { "" })).unwrap();
            prop_assert_ne!(long, key(b"s", |hasher| hasher.document(document.root(), |_| false)));
        }
    }
}
