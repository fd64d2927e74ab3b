//! A body that is kept compressed.

use std::sync::Arc;

use super::entry::{Entry, Pieces};

/// An entry whose body is compressed. Clones are the same one.
#[derive(Clone)]
pub(super) struct Packed(Arc<Body>);

struct Body {
    /// The entry without its body.
    shell: Entry,
    coded: Box<[u8]>,
    /// Of each piece.
    lengths: Box<[u32]>,
    length: usize,
}

/// Streams of events are as good as the same line again and again: more effort gains little.
const LEVEL: zstd_safe::CompressionLevel = 1;

impl Packed {
    /// `None` for what is not longer than `above`, and where less than an eighth is gained.
    pub(super) fn new(entry: &Entry, above: usize) -> Option<Self> {
        let length = entry.length();
        if length <= above {
            return None;
        }
        let mut coded = Vec::with_capacity(length - length / 8);
        // Where it has not room enough, it fails.
        zstd_safe::compress(&mut coded, entry.pieces.body(), LEVEL).ok()?;
        Some(Self(Arc::new(Body {
            shell: entry.shell(),
            coded: coded.into_boxed_slice(),
            lengths: entry.pieces.lengths().into(),
            length,
        })))
    }

    pub(super) fn shell(&self) -> &Entry {
        &self.0.shell
    }

    /// In the pieces in which it came. Takes the memory that the entry says, and no more.
    pub(super) fn entry(&self) -> Option<Entry> {
        let Body { shell, coded, lengths, length } = &*self.0;
        let mut whole = Vec::with_capacity(*length);
        zstd_safe::decompress(&mut whole, coded).ok()?;
        Some(shell.with_pieces(Pieces::from_parts(whole.into(), lengths.clone())?))
    }

    pub(super) fn weight(&self) -> u64 {
        let Body { shell, coded, lengths, .. } = &*self.0;
        shell.weight() + (coded.len() + size_of_val(&**lengths)) as u64
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::cache::entry::tests::entry;

    fn event(number: usize) -> Bytes {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"word {number}\"}}}}]}}\n\n")
            .into()
    }

    #[test]
    fn a_stream_takes_a_fraction_and_comes_back_in_its_pieces() {
        let pieces: Vec<_> = (0..1_000).map(event).collect();
        let entry = entry(&pieces, 60);
        let packed = Packed::new(&entry, 1_000).unwrap();
        assert!(packed.weight() * 5 < entry.weight(), "{} {}", packed.weight(), entry.weight());
        let back = packed.entry().unwrap();
        assert!(back.pieces.iter().eq(pieces.iter().cloned()));
        assert_eq!((back.length(), back.times), (entry.length(), entry.times));
        assert_eq!(back.weight(), entry.weight());
        assert_eq!(packed.shell().length(), 0);
    }

    #[test]
    fn what_is_short_or_gains_nothing_stays_as_it_is() {
        let short = entry(&[Bytes::from(vec![7; 100])], 60);
        assert!(Packed::new(&short, 100).is_none());
        assert!(Packed::new(&short, 99).is_some());
        // A pseudo-random body (Knuth's multiplier): as images are.
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let noise = Bytes::from_iter(noise.take(10_000));
        assert!(Packed::new(&entry(&[noise], 60), 0).is_none());
    }

    proptest! {
        #[test]
        fn any_pieces_come_back(pieces in vec(vec(0_u8..4, 0..300), 0..20)) {
            let pieces: Vec<_> = pieces.into_iter().map(Bytes::from).collect();
            let entry = entry(&pieces, 60);
            if let Some(packed) = Packed::new(&entry, 0) {
                let back = packed.entry().unwrap();
                prop_assert!(back.pieces.iter().eq(pieces.iter().cloned()));
                prop_assert!(packed.weight() <= entry.weight());
            }
        }
    }
}
