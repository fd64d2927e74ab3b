use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    memory_limit::MemoryPermit,
    payload::json::{
        bounds::DocumentBounds,
        document::{Document, Parsing},
        error::DocumentError,
    },
};

/// The next frame of a buffered body.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum NextFrame {
    Data,
    Trailers,
    Nothing,
}

/// The shared part of all clones of a buffered payload.
pub(crate) struct BufferedBody {
    pub(crate) bytes: Bytes,
    // Boxed because requests rarely have trailers.
    pub(crate) trailers: Option<Box<HeaderMap>>,
    bounds: DocumentBounds,
    document: OnceLock<Result<Parsed, DocumentError>>,
    // The permit of bytes that do not carry it themselves. `None` if no limit applies.
    memory: Option<MemoryPermit>,
}

/// A document and the permit for its memory.
type Parsed = (Document, Option<MemoryPermit>);

impl BufferedBody {
    /// Shorter bytes do not carry their permit. It ends with the payload even if a client is still
    /// sending them.
    const SHORT: usize = 16 * 1024;

    /// Creates a body. `memory` has taken its size.
    pub(crate) fn new(
        mut bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
        bounds: DocumentBounds,
        mut memory: Option<MemoryPermit>,
    ) -> Self {
        if bytes.len() > Self::SHORT
            && let Some(memory) = &mut memory
        {
            bytes = memory.split(memory.bytes()).guard(bytes);
        }
        Self { bytes, trailers, bounds, document: OnceLock::new(), memory }
    }

    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    #[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
    pub(crate) const fn bounds(&self) -> DocumentBounds {
        self.bounds
    }

    #[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    pub(crate) const fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    pub(crate) fn document(&self) -> Result<&Document, DocumentError> {
        if self.bytes.is_empty() {
            return Err(DocumentError::Empty);
        }
        let read = || {
            let mut parsing = self.parsing()?;
            loop {
                if let Some(parsed) = parsing.read(usize::MAX)? {
                    return Ok(parsed);
                }
            }
        };
        match self.document.get_or_init(read) {
            Ok((document, _memory)) => Ok(document),
            Err(error) => Err(*error),
        }
    }

    /// Whether a document of more than `length` bytes is not parsed yet.
    pub(crate) fn is_unparsed_beyond(&self, length: usize) -> bool {
        self.bytes.len() > length && self.document.get().is_none()
    }

    /// Starts to parse the document in steps.
    pub(crate) fn parsing(&self) -> Result<Parsing<Option<MemoryPermit>>, DocumentError> {
        let memory = self.memory.as_ref().map(|memory| memory.limit().permit());
        Parsing::new(self.bytes.clone(), self.bounds, memory)
    }

    /// Stores a document that was parsed in steps unless another handle has stored one already.
    pub(crate) fn set_document(&self, parsed: Result<Parsed, DocumentError>) {
        let _read_already = self.document.set(parsed);
    }

    /// Creates a permit of the same limit.
    #[cfg(any(feature = "fallback", feature = "throttle", feature = "transform"))]
    pub(crate) fn new_permit(&self) -> Option<MemoryPermit> {
        self.memory.as_ref().map(|memory| memory.limit().permit())
    }

    /// Returns the document if it is also within `bounds`.
    pub(crate) fn document_within(
        &self,
        bounds: DocumentBounds,
    ) -> Result<&Document, DocumentError> {
        let document = self.document()?;
        if document.depth() > bounds.depth as usize
            || document.value_count() > bounds.values as usize
        {
            // Finds the position at which it exceeds the bounds.
            Document::parse_within(self.bytes.clone(), bounds)?;
        }
        Ok(document)
    }

    /// Returns the frame that follows `given`. `None` asks for the first frame.
    pub(crate) const fn after(&self, given: Option<NextFrame>) -> NextFrame {
        match given {
            None if !self.bytes.is_empty() => NextFrame::Data,
            None | Some(NextFrame::Data) if self.trailers.is_some() => NextFrame::Trailers,
            _ => NextFrame::Nothing,
        }
    }
}
