//! What tells two cached answers apart.

use std::fmt;

use aws_lc_rs::hmac;

use super::{
    canonical::{Sink, put_canonical},
    generation::Tag,
};
use crate::payload::Node;

/// The key of an answer: 256 bits that are a keyed hash of all that may change it. It shows nothing of
/// what went in to whoever sees it without the secret.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Key(pub(super) [u8; 32]);

/// Which of the forms of one answer it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Variant {
    /// At once.
    Plain,
    /// By an event stream.
    Stream,
    /// By an event stream that ends with its usage.
    StreamWithUsage,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Stream, Self::StreamWithUsage];
}

/// A key and a variant: what is kept, and what is shared.
pub(super) type At = (Key, Variant);

/// Hashes with a secret: of the process, or one that replicas share.
#[derive(Clone)]
pub(super) struct Keys {
    secret: hmac::Key,
}

/// A key in the making. Each part carries its length, or count, before it: no two sequences of parts
/// read alike.
pub(super) struct Making {
    context: hmac::Context,
    /// Many small parts are gathered here: a call of the hash costs more than they do.
    gathered: Vec<u8>,
}

/// Changes whenever what goes into a key, or its order, does.
const VERSION: u8 = 1;

impl Keys {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self { secret: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// Of names that entries are invalidated by.
    pub(super) fn tag<const N: usize>(&self, name: [&[u8]; N]) -> Tag {
        let mut making = self.begin();
        making.parts(name.into_iter());
        let Key(key) = making.finish();
        let (tag, _) = key.split_first_chunk().unwrap_or((&[0; 8], &[]));
        Tag(u64::from_be_bytes(*tag))
    }

    pub(super) fn begin(&self) -> Making {
        let context = hmac::Context::with_key(&self.secret);
        let mut making = Making { context, gathered: Vec::with_capacity(GATHERED) };
        making.put(&[VERSION]);
        making
    }
}

/// As much as is gathered: most requests. More than a kibibyte, the system's allocator is slow to give.
const GATHERED: usize = 1_000;

impl Making {
    /// One part.
    pub(super) fn part(&mut self, part: &[u8]) {
        self.put_length(part.len());
        self.put(part);
    }

    /// As many parts as there are, and how many.
    pub(super) fn parts<'a>(&mut self, parts: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.put_length(parts.len());
        parts.for_each(|part| self.part(part));
    }

    /// A part that may be missing. A missing one is none that is empty.
    pub(super) fn optional(&mut self, part: Option<&[u8]>) {
        self.parts(part.into_iter());
    }

    /// What a document says, without these members of its root.
    pub(super) fn document(&mut self, root: Node<'_>, is_ignored: impl Fn(&str) -> bool) {
        put_canonical(root, is_ignored, self);
    }

    pub(super) fn finish(mut self) -> Key {
        self.context.update(&self.gathered);
        let tag = self.context.sign();
        let mut key = [0; 32];
        for (byte, of_tag) in key.iter_mut().zip(tag.as_ref()) {
            *byte = *of_tag;
        }
        Key(key)
    }
}

impl Sink for Making {
    fn put(&mut self, bytes: &[u8]) {
        if self.gathered.len() + bytes.len() > GATHERED {
            self.context.update(&self.gathered);
            self.gathered.clear();
        }
        if bytes.len() > GATHERED {
            self.context.update(bytes);
        } else {
            self.gathered.extend_from_slice(bytes);
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::payload::Document;

    fn key(secret: &[u8], put: impl FnOnce(&mut Making)) -> Key {
        let mut making = Keys::new(secret).begin();
        put(&mut making);
        making.finish()
    }

    #[test]
    fn the_secret_makes_the_key() {
        let one = key(b"one", |making| making.part(b"a"));
        assert_eq!(one, key(b"one", |making| making.part(b"a")));
        assert_ne!(one, key(b"two", |making| making.part(b"a")));
        assert_eq!(format!("{one:?}"), "Key(..)");
    }

    #[test]
    fn a_missing_part_is_not_an_empty_one() {
        let missing = key(b"", |making| making.optional(None));
        let empty = key(b"", |making| making.optional(Some(b"")));
        assert_ne!(missing, empty);
    }

    proptest! {
        /// Whatever lies on the border of what is gathered.
        #[test]
        fn keys_are_equal_if_and_only_if_the_parts_are(
            one in prop::collection::vec(0_usize..9_000, 0..4),
            other in prop::collection::vec(0_usize..9_000, 0..4),
        ) {
            let of = |lengths: &[usize]| key(b"s", |making| {
                lengths.iter().for_each(|length| making.part(&vec![7; *length]));
            });
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        #[test]
        fn what_is_gathered_is_hashed_as_it_came(text in "[a-z]{0,300}", times in 0_usize..60) {
            let elements = vec![format!("\"{text}\""); times].join(",");
            let document = Document::parse(format!("[{elements}]")).unwrap();
            let long = key(b"s", |making| making.document(document.root(), |_| false));
            let elements = vec![format!(" \"{text}\"\n"); times].join(",");
            let document = Document::parse(format!("[{elements}]")).unwrap();
            prop_assert_eq!(long, key(b"s", |making| making.document(document.root(), |_| false)));
            let document = Document::parse(format!("[{elements}{}1]", if times > 0 { "," } else { "" })).unwrap();
            prop_assert_ne!(long, key(b"s", |making| making.document(document.root(), |_| false)));
        }
    }
}
