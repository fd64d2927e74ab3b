use std::sync::Arc;

use super::entry::{ChunkedBody, Entry};

/// An entry with a compressed body. Clones share it.
#[derive(Clone)]
pub(crate) struct CompressedEntry(Arc<Compressed>);

struct Compressed {
    /// The entry without its body.
    entry: Entry,
    compressed: Box<[u8]>,
    /// Lengths of the chunks.
    lengths: Box<[u32]>,
    length: usize,
}

/// Event streams repeat almost the same line. Higher levels gain little.
const LEVEL: zstd_safe::CompressionLevel = 1;

impl CompressedEntry {
    /// Returns `None` if the body has at most `above` bytes or compression saves less than an eighth.
    pub(crate) fn new(entry: &Entry, above: usize) -> Option<Self> {
        let length = entry.length();
        if length <= above {
            return None;
        }
        let mut compressed = Vec::with_capacity(length - length / 8);
        // It fails if the result exceeds the capacity.
        zstd_safe::compress(&mut compressed, entry.body.bytes(), LEVEL).ok()?;
        Some(Self(Arc::new(Compressed {
            entry: entry.without_body(),
            compressed: compressed.into_boxed_slice(),
            lengths: entry.body.lengths().into(),
            length,
        })))
    }

    pub(crate) fn without_body(&self) -> &Entry {
        &self.0.entry
    }

    /// Returns the entry with its original chunks. Takes no more memory than its length.
    pub(crate) fn decompress(&self) -> Option<Entry> {
        let Compressed { entry, compressed, lengths, length } = &*self.0;
        let mut body = Vec::with_capacity(*length);
        zstd_safe::decompress(&mut body, compressed).ok()?;
        Some(entry.with_body(ChunkedBody::from_parts(body.into(), lengths.clone())?))
    }

    pub(crate) fn weight(&self) -> u64 {
        let Compressed { entry, compressed, lengths, .. } = &*self.0;
        entry.weight() + (compressed.len() + size_of_val(&**lengths)) as u64
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::cache::entry::entry;

    fn event(number: usize) -> Bytes {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"word {number}\"}}}}]}}\n\n")
            .into()
    }

    #[test]
    fn a_stream_shrinks_and_keeps_its_chunks() {
        let chunks: Vec<_> = (0..1_000).map(event).collect();
        let entry = entry(&chunks, 60);
        let compressed = CompressedEntry::new(&entry, 1_000).unwrap();
        assert!(
            compressed.weight() * 5 < entry.weight(),
            "{} {}",
            compressed.weight(),
            entry.weight()
        );
        let back = compressed.decompress().unwrap();
        assert!(back.body.iter().eq(chunks.iter().cloned()));
        assert_eq!((back.length(), back.lifetime), (entry.length(), entry.lifetime));
        assert_eq!(back.weight(), entry.weight());
        assert_eq!(compressed.without_body().length(), 0);
    }

    #[test]
    fn a_short_or_incompressible_body_is_not_compressed() {
        let short = entry(&[Bytes::from(vec![7; 100])], 60);
        assert!(CompressedEntry::new(&short, 100).is_none());
        assert!(CompressedEntry::new(&short, 99).is_some());
        // A pseudo-random body (Knuth's multiplier) is as incompressible as an image.
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let noise = Bytes::from_iter(noise.take(10_000));
        assert!(CompressedEntry::new(&entry(&[noise], 60), 0).is_none());
    }

    proptest! {
        #[test]
        fn chunks_survive_compression(chunks in vec(vec(0_u8..4, 0..300), 0..20)) {
            let chunks: Vec<_> = chunks.into_iter().map(Bytes::from).collect();
            let entry = entry(&chunks, 60);
            if let Some(compressed) = CompressedEntry::new(&entry, 0) {
                let back = compressed.decompress().unwrap();
                prop_assert!(back.body.iter().eq(chunks.iter().cloned()));
                prop_assert!(compressed.weight() <= entry.weight());
            }
        }
    }
}
