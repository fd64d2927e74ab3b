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

/// What a buffered body gives away next.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum NextFrame {
    Data,
    Trailers,
    Nothing,
}

/// What the copies of a buffered payload share.
pub(crate) struct BufferedBody {
    pub(crate) bytes: Bytes,
    // Boxed, because hardly any request has them.
    pub(crate) trailers: Option<Box<HeaderMap>>,
    bounds: DocumentBounds,
    document: OnceLock<Result<Parsed, DocumentError>>,
    // Of the bytes, unless they carry it themselves. `None` where no limit holds.
    memory: Option<MemoryPermit>,
}

/// A document, and the permit for what it takes beside its bytes.
type Parsed = (Document, Option<MemoryPermit>);

impl BufferedBody {
    /// Shorter bytes do not carry their permit: it ends with the payload, while a client may still
    /// be sending them.
    const SHORT: usize = 16 * 1024;

    /// `memory` holds the weight of the bytes.
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

    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) const fn bounds(&self) -> DocumentBounds {
        self.bounds
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
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

    /// Whether there is a document of more than `length` bytes to read.
    pub(crate) fn is_unparsed_beyond(&self, length: usize) -> bool {
        self.bytes.len() > length && self.document.get().is_none()
    }

    /// Begins to read the document in turns.
    pub(crate) fn parsing(&self) -> Result<Parsing<Option<MemoryPermit>>, DocumentError> {
        let memory = self.memory.as_ref().map(|memory| memory.limit().permit());
        Parsing::new(self.bytes.clone(), self.bounds, memory)
    }

    /// Keeps what was read in turns, unless the document was read meanwhile.
    pub(crate) fn set_document(&self, parsed: Result<Parsed, DocumentError>) {
        let _read_already = self.document.set(parsed);
    }

    /// A permit of the same limit.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(crate) fn new_permit(&self) -> Option<MemoryPermit> {
        self.memory.as_ref().map(|memory| memory.limit().permit())
    }

    /// The document, if it is within `bounds` too.
    pub(crate) fn document_within(
        &self,
        bounds: DocumentBounds,
    ) -> Result<&Document, DocumentError> {
        let document = self.document()?;
        if document.depth() > bounds.depth as usize
            || document.value_count() > bounds.values as usize
        {
            // Says where it goes beyond.
            Document::parse_within(self.bytes.clone(), bounds)?;
        }
        Ok(document)
    }

    /// What is given away after `given`; at first, after nothing.
    pub(crate) const fn after(&self, given: Option<NextFrame>) -> NextFrame {
        match given {
            None if !self.bytes.is_empty() => NextFrame::Data,
            None | Some(NextFrame::Data) if self.trailers.is_some() => NextFrame::Trailers,
            _ => NextFrame::Nothing,
        }
    }
}
