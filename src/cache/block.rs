//! Memory of the cache's own.
//!
//! Header values and pieces of a body are slices of the connection's read buffer, which hyper grows to
//! some 400 KiB: a slice of one byte keeps all of that in memory. So whatever outlives the request, or
//! waits for a slow reader, is copied.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

/// Copies into blocks, so that many small pieces share one allocation.
#[derive(Debug)]
pub(super) struct Blocks {
    block: BytesMut,
    copied: usize,
}

/// The smallest block that follows the first one.
const SMALLEST: usize = 1024;

/// The largest block for pieces to share. One piece that is still read keeps all of its block.
const LARGEST: usize = 16 * 1024;

/// A piece of this size has a block of its own.
const LARGE: usize = 4 * 1024;

impl Blocks {
    /// Allocates the first block.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { block: BytesMut::with_capacity(bytes), copied: 0 }
    }

    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        let room = self.block.capacity();
        if bytes.len() > room && bytes.len() >= LARGE {
            self.copied += bytes.len();
            return Bytes::copy_from_slice(bytes);
        }
        if bytes.len() > room {
            // An eighth of what there is, so that the unused end of a block stays small beside it.
            let size = (self.copied / 8).clamp(SMALLEST, LARGEST).max(bytes.len());
            self.block = BytesMut::with_capacity(size);
        }
        self.copied += bytes.len();
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    pub(super) fn copy_value(&mut self, value: &HeaderValue) -> HeaderValue {
        // It was a legal value before.
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
    fn copies_keep_nothing_of_the_buffer() {
        let buffer = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut blocks = Blocks::with_capacity(8);
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(..20)).unwrap();
        value.set_sensitive(true);
        let copies =
            [0, 1, 8, 100, LARGE, 40 * 1024].map(|length| blocks.copy(&buffer[..length]).len());
        assert_eq!(copies, [0, 1, 8, 100, LARGE, 40 * 1024]);
        let copy = blocks.copy_value(&value);
        assert_eq!((&copy, copy.is_sensitive()), (&value, true));
        drop(value);
        assert!(buffer.is_unique());
    }

    proptest! {
        #[test]
        fn copies_are_what_was_copied(
            first in 0_usize..100,
            pieces in vec(vec(any::<u8>(), 0..3 * LARGE), 0..20),
        ) {
            let mut blocks = Blocks::with_capacity(first);
            let copies: Vec<_> = pieces.iter().map(|piece| blocks.copy(piece)).collect();
            prop_assert_eq!(copies, pieces);
        }
    }
}
