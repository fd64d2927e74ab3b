use std::{
    any::Any,
    error::Error,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    bounded::{BodyLimits, BoundedBody, ErasedBody},
    buffered::{BufferedBody, NextFrame},
};
use crate::{
    context::RequestContext,
    lock::Lock,
    payload::{
        error::PayloadError,
        json::{bounds::DocumentBounds, document::Document, error::DocumentError},
    },
};

/// A request's body for layers that inspect it.
///
/// A *buffered* payload has its bytes and a JSON [`Document`]. The document is parsed on first use
/// and shared with all clones. A *streamed* payload passes through without inspection.
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
    kind: Storage,
}

enum Storage {
    Buffered { buffered: Arc<BufferedBody>, next: NextFrame },
    // A lock makes this `Sync`, because a boxed body need not be.
    Streamed { flow: Lock<Pin<Box<BoundedBody<dyn ErasedBody + Send>>>> },
}

impl Payload {
    /// Creates a buffered payload. Its document must be within the default [`DocumentBounds`].
    pub fn buffered(bytes: impl Into<Bytes>) -> Self {
        Self::of(Arc::new(BufferedBody::new(bytes.into(), None, DocumentBounds::new(), None)))
    }

    /// Creates a streamed payload. A [`Payload`] stays as it is.
    pub fn streamed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // A `Payload` is taken out by its own type so that it is not boxed again.
        let mut body = Some(body);
        if let Some(own) = (&mut body as &mut dyn Any).downcast_mut::<Option<Self>>()
            && let Some(own) = own.take()
        {
            return own;
        }
        let Some(body) = body else { return Self::buffered(Bytes::new()) };
        Self {
            kind: Storage::Streamed {
                flow: Lock::new(Box::pin(BoundedBody::new(body, BodyLimits::NONE, None))),
            },
        }
    }

    /// Returns all bytes, including those already sent. Returns `None` if the payload is streamed.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        self.shared().map(|buffered| &buffered.bytes)
    }

    /// Returns the JSON document. It is parsed on the first call on any clone.
    ///
    /// # Errors
    ///
    /// Returns an error if the payload is streamed, empty or not strict JSON.
    /// [`DocumentError::rejection`] converts the error into a response.
    pub fn document(&self) -> Result<&Document, DocumentError> {
        self.shared().ok_or(DocumentError::Streamed)?.document()
    }

    /// Clones a buffered payload. The clone starts at the first byte. Returns `None` if the payload
    /// is streamed.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        self.shared().cloned().map(Self::of)
    }

    /// Returns whether the payload is streamed.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        matches!(self.kind, Storage::Streamed { .. })
    }

    pub(crate) fn of(buffered: Arc<BufferedBody>) -> Self {
        let next = buffered.after(None);
        Self { kind: Storage::Buffered { buffered, next } }
    }

    /// Applies `limits` to a streamed body.
    pub(crate) fn bind(&mut self, limits: BodyLimits, context: &RequestContext) {
        if let Storage::Streamed { flow } = &mut self.kind {
            flow.get_mut().as_mut().bind(limits, context);
        }
    }

    pub(crate) const fn shared(&self) -> Option<&Arc<BufferedBody>> {
        match &self.kind {
            Storage::Buffered { buffered, .. } => Some(buffered),
            Storage::Streamed { .. } => None,
        }
    }
}

/// An empty payload.
/// Creates a buffered payload.
impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::buffered(bytes)
    }
}

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
            Storage::Buffered { buffered, next } => {
                let after = buffered.after(Some(*next));
                let frame = match mem::replace(next, after) {
                    NextFrame::Data => Some(Frame::data(buffered.bytes.clone())),
                    NextFrame::Trailers => {
                        buffered.trailers.as_deref().cloned().map(Frame::trailers)
                    }
                    NextFrame::Nothing => None,
                };
                Poll::Ready(frame.map(Ok))
            }
            Storage::Streamed { flow } => flow.get_mut().as_mut().poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Storage::Buffered { next, .. } => *next == NextFrame::Nothing,
            Storage::Streamed { flow } => flow.lock().has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Storage::Buffered { buffered, next: NextFrame::Data } => {
                SizeHint::with_exact(buffered.bytes.len() as u64)
            }
            Storage::Buffered { .. } => SizeHint::with_exact(0),
            Storage::Streamed { flow } => flow.lock().hint(),
        }
    }
}

impl fmt::Debug for Payload {
    // Omits the content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(bytes) => f.debug_struct("Payload").field("buffered", &bytes.len()).finish(),
            None => f.debug_struct("Payload").field("streamed", &self.size_hint()).finish(),
        }
    }
}
