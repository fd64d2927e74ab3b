use std::fmt;

use aws_lc_rs::hmac;

use super::{
    canonical::{Sink, put_canonical},
    entry_key::Key,
    invalidation::Tag,
    parts::KeyParts,
};
use crate::payload::Node;

/// A secret that makes keys: of one layer, or shared by replicas.
#[derive(Clone)]
pub(crate) struct KeySecret {
    hmac: hmac::Key,
}

/// Hashes the parts of a key. Each part is preceded by its length or count.
pub(crate) struct KeyHasher {
    context: hmac::Context,
    /// Collects small parts: a call of the hash costs more than copying them.
    buffer: Vec<u8>,
}

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
        let context = hmac::Context::with_key(&self.hmac);
        let mut hasher = KeyHasher { context, buffer: Vec::with_capacity(BUFFER) };
        hasher.put(&[VERSION]);
        hasher
    }
}

/// Room for most requests. The system's allocator is slow to give more than a kibibyte.
const BUFFER: usize = 1_000;

impl KeyHasher {
    /// Hashes a document without the ignored members of its root.
    pub(crate) fn document(&mut self, root: Node<'_>, is_ignored: impl Fn(&str) -> bool) {
        put_canonical(root, is_ignored, self);
    }

    pub(crate) fn finish(mut self) -> Key {
        self.context.update(&self.buffer);
        let tag = self.context.sign();
        let mut key = [0; 32];
        for (byte, of_tag) in key.iter_mut().zip(tag.as_ref()) {
            *byte = *of_tag;
        }
        Key(key)
    }
}

impl KeyParts for KeyHasher {
    fn part(&mut self, part: &[u8]) {
        self.put_length(part.len());
        self.put(part);
    }

    fn count(&mut self, count: usize) {
        self.put_length(count);
    }
}

impl Sink for KeyHasher {
    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.context.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() > BUFFER {
            self.context.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
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
    fn a_missing_part_differs_from_an_empty_one() {
        let missing = key(b"", |hasher| hasher.optional(None));
        let empty = key(b"", |hasher| hasher.optional(Some(b"")));
        assert_ne!(missing, empty);
    }

    proptest! {
        // Some parts exceed the buffer.
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
