use std::{
    any::Any,
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{
    Bounds, Document, DocumentError, PayloadError,
    document::Parsing,
    flow::{Flow, Limits, Source},
};
use crate::{context::RequestContext, lock::Lock, memory_limit::MemoryPermit};

/// A request's body, as the layers that inspect it see it.
///
/// Either *buffered*: its bytes are there, and so is its JSON [`Document`], which is read on first
/// use and shared with all copies; or *streamed*: it flows past, and nobody looks into it.
///
/// ```
/// use tower_inference::payload::Payload;
///
/// let payload = Payload::buffered(r#"{"model": "m"}"#);
/// assert_eq!(payload.document()?.root().get("model").unwrap().raw(), b"\"m\"");
/// assert_eq!(payload.try_clone().unwrap().bytes().unwrap(), r#"{"model": "m"}"#);
/// # Ok::<(), tower_inference::payload::DocumentError>(())
/// ```
pub struct Payload {
    kind: Kind,
}

enum Kind {
    Buffered { buffered: Arc<Buffered>, next: Next },
    // In a lock, because a boxed body need not be `Sync`; a request that holds it is all the same.
    Streamed { flow: Lock<Pin<Box<Flow<dyn Source + Send>>>> },
}

/// What a buffered body gives away next.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Next {
    Data,
    Trailers,
    Nothing,
}

/// What the copies of a buffered payload share.
pub(super) struct Buffered {
    bytes: Bytes,
    // Boxed, because hardly any request has them.
    trailers: Option<Box<HeaderMap>>,
    bounds: Bounds,
    document: OnceLock<Result<Parsed, DocumentError>>,
    // Of the bytes, unless they carry it themselves. `None` where no limit holds.
    memory: Option<MemoryPermit>,
}

/// A document, and the permit for what it takes beside its bytes.
type Parsed = (Document, Option<MemoryPermit>);

impl Payload {
    /// A body that is there as a whole. Its document is held to the default [`Bounds`].
    pub fn buffered(bytes: impl Into<Bytes>) -> Self {
        Self::of(Arc::new(Buffered::new(bytes.into(), None, Bounds::new(), None)))
    }

    /// A body that flows past. A [`Payload`] stays as it is, buffered or not.
    pub fn streamed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // What is a `Payload` already is taken out by its own type, and not boxed again.
        let mut body = Some(body);
        if let Some(own) = (&mut body as &mut dyn Any).downcast_mut::<Option<Self>>()
            && let Some(own) = own.take()
        {
            return own;
        }
        let Some(body) = body else { return Self::buffered(Bytes::new()) };
        Self {
            kind: Kind::Streamed { flow: Lock::new(Box::pin(Flow::new(body, Limits::NONE, None))) },
        }
    }

    /// All its bytes, however much of them was given away; `None` when it is streamed.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.shared().map(|buffered| &buffered.bytes)
    }

    /// Its JSON document, which is read the first time that any copy is asked for it.
    ///
    /// # Errors
    ///
    /// When it is streamed, empty, or not strict JSON. [`DocumentError::rejection`] turns that into
    /// an answer.
    pub fn document(&self) -> Result<&Document, DocumentError> {
        self.shared().ok_or(DocumentError::Streamed)?.document()
    }

    /// A copy of a buffered body, which is given away from its start again; `None` when it is
    /// streamed.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        self.shared().cloned().map(Self::of)
    }

    /// Whether it flows past, unread.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        matches!(self.kind, Kind::Streamed { .. })
    }

    pub(super) fn of(buffered: Arc<Buffered>) -> Self {
        let next = buffered.after(None);
        Self { kind: Kind::Buffered { buffered, next } }
    }

    /// Holds a streamed body to `limits`.
    pub(super) fn bind(&mut self, limits: Limits, context: &RequestContext) {
        if let Kind::Streamed { flow } = &mut self.kind {
            flow.get_mut().as_mut().bind(limits, context);
        }
    }

    pub(super) const fn shared(&self) -> Option<&Arc<Buffered>> {
        match &self.kind {
            Kind::Buffered { buffered, .. } => Some(buffered),
            Kind::Streamed { .. } => None,
        }
    }
}

/// An empty body.
impl Default for Payload {
    fn default() -> Self {
        Self::buffered(Bytes::new())
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = PayloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        match &mut self.get_mut().kind {
            Kind::Buffered { buffered, next } => {
                let after = buffered.after(Some(*next));
                let frame = match mem::replace(next, after) {
                    Next::Data => Some(Frame::data(buffered.bytes.clone())),
                    Next::Trailers => buffered.trailers.as_deref().cloned().map(Frame::trailers),
                    Next::Nothing => None,
                };
                Poll::Ready(frame.map(Ok))
            }
            Kind::Streamed { flow } => flow.get_mut().as_mut().poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Buffered { next, .. } => *next == Next::Nothing,
            Kind::Streamed { flow } => flow.lock().has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Buffered { buffered, next: Next::Data } => {
                SizeHint::with_exact(buffered.bytes.len() as u64)
            }
            Kind::Buffered { .. } => SizeHint::with_exact(0),
            Kind::Streamed { flow } => flow.lock().hint(),
        }
    }
}

impl fmt::Debug for Payload {
    // Without its content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(bytes) => f.debug_struct("Payload").field("buffered", &bytes.len()).finish(),
            None => f.debug_struct("Payload").field("streamed", &self.size_hint()).finish(),
        }
    }
}

// === impl Buffered ===

impl Buffered {
    /// Shorter bytes do not carry their permit: it ends with the payload, while a client may still
    /// be sending them.
    const SHORT: usize = 16 * 1024;

    /// `memory` holds the weight of the bytes.
    pub(super) fn new(
        mut bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
        bounds: Bounds,
        mut memory: Option<MemoryPermit>,
    ) -> Self {
        if bytes.len() > Self::SHORT
            && let Some(memory) = &mut memory
        {
            bytes = memory.split(memory.bytes()).guard(bytes);
        }
        Self { bytes, trailers, bounds, document: OnceLock::new(), memory }
    }

    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    pub(super) const fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    pub(super) fn document(&self) -> Result<&Document, DocumentError> {
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
    pub(super) fn is_unread_beyond(&self, length: usize) -> bool {
        self.bytes.len() > length && self.document.get().is_none()
    }

    /// Begins to read the document in turns.
    pub(super) fn parsing(&self) -> Result<Parsing<Option<MemoryPermit>>, DocumentError> {
        let memory = self.memory.as_ref().map(|memory| memory.limit().permit());
        Parsing::new(self.bytes.clone(), self.bounds, memory)
    }

    /// Keeps what was read in turns, unless the document was read meanwhile.
    pub(super) fn set_document(&self, parsed: Result<Parsed, DocumentError>) {
        let _read_already = self.document.set(parsed);
    }

    /// A permit of the same limit.
    #[cfg(any(feature = "throttle", feature = "transform"))]
    pub(super) fn new_permit(&self) -> Option<MemoryPermit> {
        self.memory.as_ref().map(|memory| memory.limit().permit())
    }

    /// The document, if it is within `bounds` too.
    pub(super) fn document_within(&self, bounds: Bounds) -> Result<&Document, DocumentError> {
        let document = self.document()?;
        if document.depth() > bounds.depth as usize || document.nodes() > bounds.nodes as usize {
            // Says where it goes beyond.
            Document::parse_within(self.bytes.clone(), bounds)?;
        }
        Ok(document)
    }

    /// What is given away after `given`; at first, after nothing.
    const fn after(&self, given: Option<Next>) -> Next {
        match given {
            None if !self.bytes.is_empty() => Next::Data,
            None | Some(Next::Data) if self.trailers.is_some() => Next::Trailers,
            _ => Next::Nothing,
        }
    }
}
