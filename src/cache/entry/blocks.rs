//! Copies of header values and body chunks.
//!
//! The originals are slices of the connection's read buffer, which hyper grows to some 400 KiB. A
//! slice of one byte keeps the whole buffer in memory. The cache therefore copies everything that
//! outlives the request or waits for a slow reader.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

/// Copies into blocks, so that many small chunks share one allocation.
#[derive(Debug)]
pub(crate) struct Blocks {
    block: BytesMut,
    copied: usize,
}

/// The smallest block after the first one.
const MIN_BLOCK: usize = 1024;

/// The largest block that chunks share. One chunk keeps its whole block in memory.
const MAX_BLOCK: usize = 16 * 1024;

/// A chunk of this size has a block of its own.
const LARGE_CHUNK: usize = 4 * 1024;

impl Blocks {
    /// Allocates the first block.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { block: BytesMut::with_capacity(bytes), copied: 0 }
    }

    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        let room = self.block.capacity();
        if bytes.len() > room && bytes.len() >= LARGE_CHUNK {
            self.copied += bytes.len();
            return Bytes::copy_from_slice(bytes);
        }
        if bytes.len() > room {
            // An eighth of all copies, so that the unused end of a block is small beside them.
            let size = (self.copied / 8).clamp(MIN_BLOCK, MAX_BLOCK).max(bytes.len());
            self.block = BytesMut::with_capacity(size);
        }
        self.copied += bytes.len();
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    pub(crate) fn copy_value(&mut self, value: &HeaderValue) -> HeaderValue {
        // Valid, because the original is.
        let copy = HeaderValue::from_maybe_shared(self.copy(value.as_bytes()));
        let mut copy = copy.unwrap_or(HeaderValue::from_static(""));
        copy.set_sensitive(value.is_sensitive());
        copy
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn copies_do_not_hold_the_buffer() {
        let buffer = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut blocks = Blocks::with_capacity(8);
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(..20)).unwrap();
        value.set_sensitive(true);
        let copies = [0, 1, 8, 100, LARGE_CHUNK, 40 * 1024]
            .map(|length| blocks.copy(&buffer[..length]).len());
        assert_eq!(copies, [0, 1, 8, 100, LARGE_CHUNK, 40 * 1024]);
        let copy = blocks.copy_value(&value);
        assert_eq!((&copy, copy.is_sensitive()), (&value, true));
        drop(value);
        assert!(buffer.is_unique());
    }

    proptest! {
        #[test]
        fn copies_equal_their_originals(
            first in 0_usize..100,
            pieces in vec(vec(any::<u8>(), 0..3 * LARGE_CHUNK), 0..20),
        ) {
            let mut blocks = Blocks::with_capacity(first);
            let copies: Vec<_> = pieces.iter().map(|piece| blocks.copy(piece)).collect();
            prop_assert_eq!(copies, pieces);
        }
    }
}
