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
    kind: Storage,
}

enum Storage {
    Buffered { buffered: Arc<BufferedBody>, next: NextFrame },
    // In a lock, because a boxed body need not be `Sync`; a request that holds it is all the same.
    Streamed { flow: Lock<Pin<Box<BoundedBody<dyn ErasedBody + Send>>>> },
}

impl Payload {
    /// A body that is there as a whole. Its document is held to the default [`DocumentBounds`].
    pub fn buffered(bytes: impl Into<Bytes>) -> Self {
        Self::of(Arc::new(BufferedBody::new(bytes.into(), None, DocumentBounds::new(), None)))
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
            kind: Storage::Streamed {
                flow: Lock::new(Box::pin(BoundedBody::new(body, BodyLimits::NONE, None))),
            },
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
        matches!(self.kind, Storage::Streamed { .. })
    }

    pub(crate) fn of(buffered: Arc<BufferedBody>) -> Self {
        let next = buffered.after(None);
        Self { kind: Storage::Buffered { buffered, next } }
    }

    /// Holds a streamed body to `limits`.
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
    // Without its content, which may be a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(bytes) => f.debug_struct("Payload").field("buffered", &bytes.len()).finish(),
            None => f.debug_struct("Payload").field("streamed", &self.size_hint()).finish(),
        }
    }
}
