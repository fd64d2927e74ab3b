use std::fmt;

use bytes::{Bytes, BytesMut};

use super::splitter::{Part, Splitter};

/// Cuts a stream of events into frames. See the [module docs](super).
///
/// The frames in order, followed by the [rest](Self::finish), are the input byte for byte.
pub struct Framer {
    splitter: Splitter,
    // The start of a frame that crosses chunks.
    pending: BytesMut,
}

/// The bytes of one event up to the end of its blank line, or a piece of an oversize frame.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    bytes: Bytes,
    oversize: bool,
}

/// The frames that a chunk completes. Dropping the iterator drops the rest, as with `Vec::drain`.
#[derive(Debug)]
#[must_use = "frames that are not taken are dropped"]
pub struct Frames<'a> {
    framer: &'a mut Framer,
    chunk: Bytes,
    // Found before the pending bytes were returned.
    found: Option<Part>,
}

// === impl Framer ===

impl Framer {
    /// The default bound of a frame: 1 MiB.
    pub const DEFAULT_MAX_FRAME_BYTES: usize = 1024 * 1024;

    /// Creates a framer for a new stream.
    #[must_use]
    pub fn new() -> Self {
        Self { splitter: Splitter::new(Self::DEFAULT_MAX_FRAME_BYTES), pending: BytesMut::new() }
    }

    /// Sets the bound of a frame in bytes. Defaults to [`Framer::DEFAULT_MAX_FRAME_BYTES`].
    ///
    /// The framer buffers up to twice the bound when a frame arrives in pieces.
    #[must_use]
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.splitter.max = bytes;
        self
    }

    /// Takes the next chunk and returns the frames that it completes.
    pub fn push(&mut self, chunk: Bytes) -> Frames<'_> {
        Frames { framer: self, chunk, found: None }
    }

    /// Returns the number of bytes that wait for the end of their frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ends the stream and returns the bytes after the last blank line, which form no frame
    /// (section 9.2.6).
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.pending.freeze()
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Framer {
    // Without the pending bytes, which are part of a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

// === impl Frames ===

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        if self.chunk.is_empty() {
            return None;
        }
        let Framer { splitter, pending } = &mut *self.framer;
        let part = self.found.take().unwrap_or_else(|| splitter.next(&self.chunk));
        if part.oversize && !pending.is_empty() {
            self.found = Some(part);
            return Some(Frame { bytes: pending.split().freeze(), oversize: true });
        }
        let bytes = self.chunk.split_to(part.len);
        if part.oversize || (part.closes && pending.is_empty()) {
            return Some(Frame { bytes, oversize: part.oversize });
        }
        pending.extend_from_slice(&bytes);
        part.closes.then(|| Frame { bytes: pending.split().freeze(), oversize: false })
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

// === impl Frame ===

impl Frame {
    /// Returns the bytes as they arrived.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the bytes as they arrived.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns whether this is a piece of a frame beyond the bound, which no decoder reads.
    #[must_use]
    pub const fn is_oversize(&self) -> bool {
        self.oversize
    }
}

impl fmt::Debug for Frame {
    // Without the bytes, which are part of a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.bytes.len())
            .field("oversize", &self.oversize)
            .finish()
    }
}
