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
    Bounds, Document, Malformed, PayloadError,
    flow::{Flow, Limits, Source},
};
use crate::{
    context::RequestContext,
    lock::Lock,
    rejection::{Refusal, Rejection},
};

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
    document: OnceLock<Result<Document, Malformed>>,
}

impl Payload {
    /// A body that is there as a whole. Its document is held to the default [`Bounds`].
    pub fn buffered(bytes: impl Into<Bytes>) -> Self {
        Self::of(Arc::new(Buffered::new(bytes.into(), None, Bounds::new())))
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
    pub(super) const fn new(
        bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
        bounds: Bounds,
    ) -> Self {
        Self { bytes, trailers, bounds, document: OnceLock::new() }
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
        let read = || Document::parse_within(self.bytes.clone(), self.bounds);
        self.document.get_or_init(read).as_ref().map_err(|malformed| (*malformed).into())
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

/// Why a payload has no JSON document.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is streamed: the route takes bodies without looking into them.
    Streamed,
    /// There is no body.
    Empty,
    /// It is not strict JSON.
    Malformed(Malformed),
}

impl DocumentError {
    /// The refusal of a layer that must look into the body: `unsupported-media-type` for one that
    /// is streamed, `malformed-payload` else, with the position.
    #[must_use]
    pub fn rejection(self) -> Rejection {
        let malformed = Rejection::new(Refusal::MalformedPayload);
        match self {
            Self::Streamed => Rejection::new(Refusal::UnsupportedMediaType)
                .with_detail("bodies are not read here, so they cannot be checked"),
            Self::Empty => malformed.with_detail("the body is empty").with_position(0),
            Self::Malformed(Malformed { reason, position }) => {
                malformed.with_detail(reason.as_str()).with_position(position)
            }
        }
    }
}

impl From<Malformed> for DocumentError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streamed => f.write_str("the body is streamed"),
            Self::Empty => f.write_str("the body is empty"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

impl Error for DocumentError {}
