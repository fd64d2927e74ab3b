use std::fmt;

use bytes::{Bytes, BytesMut};

use super::splitter::{Part, Splitter};

/// Cuts a stream of events into frames. See the [module](super).
///
/// The frames one after the other, and then the [rest](Self::finish), are the input, byte for byte.
pub struct Framer {
    splitter: Splitter,
    // The start of a frame that crosses chunks.
    pending: BytesMut,
}

/// The bytes from the end of the frame before to the end of the blank line that closes this one,
/// or a piece of an oversize frame.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    bytes: Bytes,
    oversize: bool,
}

/// The frames that a chunk completes. Those that are not taken are dropped, as with `Vec::drain`.
#[derive(Debug)]
#[must_use = "frames that are not taken are dropped"]
pub struct Frames<'a> {
    framer: &'a mut Framer,
    chunk: Bytes,
    // Found already, but what was pending had to be given first.
    found: Option<Part>,
}

// === impl Framer ===

impl Framer {
    /// The longest frame that is framed as one, by default: 1 MiB.
    pub const DEFAULT_MAX_FRAME: usize = 1024 * 1024;

    /// A framer at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self { splitter: Splitter::new(Self::DEFAULT_MAX_FRAME), pending: BytesMut::new() }
    }

    /// The longest frame, in bytes, that is framed as one. Up to twice as much is held, when it
    /// comes in pieces. By default [`Framer::DEFAULT_MAX_FRAME`].
    #[must_use]
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.splitter.max = bytes;
        self
    }

    /// Takes the next chunk of the stream, and gives the frames that it completes.
    pub fn push(&mut self, chunk: Bytes) -> Frames<'_> {
        Frames { framer: self, chunk, found: None }
    }

    /// Bytes that are held back until their frame is complete.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ends the stream. What no blank line closed is no frame (section 9.2.6); here it is.
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
    // Without what is pending: it is somebody's completion.
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
    /// The bytes as they came.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes as they came.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether this is a piece of a frame beyond the limit, to be passed on but not decoded.
    #[must_use]
    pub const fn is_oversize(&self) -> bool {
        self.oversize
    }
}

impl fmt::Debug for Frame {
    // Without the bytes: they are somebody's completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.bytes.len())
            .field("oversize", &self.oversize)
            .finish()
    }
}
