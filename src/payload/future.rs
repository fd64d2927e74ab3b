use std::{
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Payload, PayloadError, PayloadLayer,
    body::Buffered,
    coding::{forget_coding, uncoded},
    collect::Collected,
    document::Parsing,
    flow::{Flow, Source},
    layer::{Head, TURN, is_bodiless},
    media::only_json,
};
use crate::{
    body::{ResponseBody, content_length},
    context::RequestContext,
    memory_limit::MemoryPermit,
    rejection::{Rejection, Responder},
    turn,
};

pin_project! {
    /// The answer of a [`BufferPayload`](super::BufferPayload).
    pub struct ResponseFuture<B, S, F> {
        #[pin]
        state: State<B, S, F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwn]
    enum State<B, S, F> {
        Reading { #[pin] body: Flow<B>, reading: Reading<S> },
        Calling { #[pin] future: F },
        Refused { refused: Refused },
        Done,
    }
}

impl<B, S, F> ResponseFuture<B, S, F> {
    pub(super) const fn reading(body: Flow<B>, reading: Reading<S>) -> Self {
        Self { state: State::Reading { body, reading } }
    }

    pub(super) const fn calling(future: F) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) const fn refused(refused: Refused) -> Self {
        Self { state: State::Refused { refused } }
    }
}

impl<B, S, R> Future for ResponseFuture<B, S, S::Future>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Service<Request<Payload>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let read = match state.as_mut().project() {
                StateProj::Reading { body, reading } => Some(ready!(reading.poll(body, cx))),
                StateProj::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Refused { .. } | StateProj::Done => None,
            };
            // ## Reading => (Calling | Refused)
            // ## Refused => Done
            let next = match state.as_mut().project_replace(State::Done) {
                StateOwn::Reading { reading, .. } => match read.map(|read| reading.finish(read)) {
                    Some(Ok(future)) => State::Calling { future },
                    Some(Err(refused)) => State::Refused { refused },
                    None => return Poll::Pending,
                },
                StateOwn::Refused { refused } => return Poll::Ready(Ok(refused.respond())),
                StateOwn::Calling { .. } | StateOwn::Done => return Poll::Pending,
            };
            state.set(next);
        }
    }
}

impl<B, S, F> fmt::Debug for ResponseFuture<B, S, F> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(match &self.state {
                State::Reading { .. } => &"reading",
                State::Calling { .. } => &"calling",
                State::Refused { .. } => &"refused",
                State::Done => &"done",
            })
            .finish()
    }
}

// === impl Refused ===

/// A refusal that is about to be rendered.
pub(super) struct Refused {
    rejection: Rejection,
    responder: Responder,
    context: RequestContext,
}

impl Refused {
    pub(super) fn new(
        rejection: Rejection,
        responder: Responder,
        context: &RequestContext,
    ) -> Self {
        Self { rejection, responder, context: context.clone() }
    }

    fn respond<R>(self) -> Response<ResponseBody<R>> {
        self.responder.respond(self.rejection, &self.context)
    }
}

// === impl Reading ===

/// A request whose body is being read, and who shall have it.
pub(super) struct Reading<S> {
    inner: S,
    layer: PayloadLayer,
    parts: Parts,
    context: RequestContext,
    responder: Responder,
    head: Head,
    collected: Collected,
    // Of what is collected.
    memory: MemoryPermit,
    trailers: Option<Box<HeaderMap>>,
    // The payload of a layer further out, if its bytes are the very ones that came.
    known: Option<Arc<Buffered>>,
    // Boxed, because few documents are read in more than one turn.
    parsing: Option<Box<InTurns>>,
}

/// A payload whose long document is being read.
struct InTurns {
    buffered: Arc<Buffered>,
    parsing: Parsing<Option<MemoryPermit>>,
}

impl<S> Reading<S> {
    /// Frames that are taken, and steps of decoding that are done, before others get their turn.
    const AT_ONCE: usize = 64;
    pub(super) fn new(
        inner: S,
        layer: PayloadLayer,
        parts: Parts,
        context: RequestContext,
        responder: Responder,
        head: Head,
    ) -> Self {
        let memory = layer.permit();
        Self {
            inner,
            layer,
            parts,
            context,
            responder,
            head,
            collected: Collected::Nothing,
            memory,
            trailers: None,
            known: None,
            parsing: None,
        }
    }

    /// Reads to the end of the body, and then its document, if that is long.
    fn poll<B: Source>(
        &mut self,
        body: Pin<&mut Flow<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<Buffered>, Rejection>> {
        if self.parsing.is_none() {
            ready!(self.poll_body(body, cx))?;
            let buffered = self.assemble()?;
            if !self.layer.reads_in_turns(&buffered) {
                return Poll::Ready(Ok(buffered));
            }
            match buffered.parsing() {
                Ok(parsing) => self.parsing = Some(Box::new(InTurns { buffered, parsing })),
                Err(error) => {
                    // Refused where the document is asked for.
                    buffered.set_document(Err(error));
                    return Poll::Ready(Ok(buffered));
                }
            }
        }
        let Some(in_turns) = &mut self.parsing else { return Poll::Pending };
        let parsed = match in_turns.parsing.read(TURN) {
            Ok(None) => {
                turn::end(cx);
                return Poll::Pending;
            }
            Ok(Some(parsed)) => Ok(parsed),
            Err(error) => Err(error),
        };
        in_turns.buffered.set_document(parsed);
        Poll::Ready(Ok(Arc::clone(&in_turns.buffered)))
    }

    /// Reads to the end of the body.
    fn poll_body<B: Source>(
        &mut self,
        mut body: Pin<&mut Flow<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Rejection>> {
        for _ in 0..Self::AT_ONCE {
            if self.collected.is_busy() {
                self.collected.step(&mut self.memory)?;
            } else {
                match ready!(body.as_mut().poll_next(cx)) {
                    None => {}
                    Some(Err(error)) => return Poll::Ready(Err(error.rejection())),
                    Some(Ok(frame)) => self.take(frame)?,
                }
            }
            if body.has_ended() {
                self.collected.end();
                if !self.collected.is_busy() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        // A body that is always ready, and gives nothing, must run into the deadline as well; so
        // must one that takes long to decode.
        let timed_out = PayloadError::TimedOut(body.deadline());
        let deadline = body.poll_deadline(cx).map(|()| Err(timed_out.rejection()));
        turn::end(cx);
        deadline
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Rejection> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if self.head.mistyped {
                    return Err(only_json());
                }
                self.known = match (&self.collected, self.head.coding) {
                    (Collected::Nothing, None) => self.recognise(&data),
                    (Collected::Nothing, Some(coding)) => {
                        self.collected = Collected::coded(coding, self.layer.limit_in_bytes());
                        None
                    }
                    _ => None,
                };
                if self.known.is_some() {
                    // It is weighed where it was read.
                    self.collected = Collected::One(data);
                } else {
                    self.collected.push(data, self.head.announced, &mut self.memory)?;
                }
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
        Ok(())
    }

    /// The payload that these very bytes belong to: at the same place in memory, and of the same
    /// length. While it is held, nothing else can stand there.
    fn recognise(&self, data: &Bytes) -> Option<Arc<Buffered>> {
        let known: Arc<Buffered> = self.context.payload()?.downcast().ok()?;
        let bytes = known.bytes();
        (bytes.as_ptr() == data.as_ptr() && bytes.len() == data.len()).then_some(known)
    }

    /// Makes a payload of what was collected.
    fn assemble(&mut self) -> Result<Arc<Buffered>, Rejection> {
        let mut trailers = self.trailers.take();
        if self.head.coding.is_some() {
            if matches!(self.collected, Collected::Nothing) && !is_bodiless(&self.parts.method) {
                return Err(uncoded());
            }
            forget_coding(&mut self.parts.headers);
            trailers.as_deref_mut().map(forget_coding);
        }
        let bytes = mem::take(&mut self.collected).into_bytes(&mut self.memory);
        Ok(match self.known.take() {
            Some(known) if trailers.is_none() && !known.has_trailers() => known,
            _ => {
                let memory = self.memory.split(self.memory.bytes());
                self.layer.buffer(bytes, trailers, memory, &self.context)
            }
        })
    }

    /// Hands the request on, unless the body is refused.
    fn finish(mut self, read: Result<Arc<Buffered>, Rejection>) -> Result<S::Future, Refused>
    where
        S: Service<Request<Payload>>,
    {
        let checked = read.and_then(|buffered| {
            let (charset, method) = (self.head.charset, &self.parts.method);
            self.layer.check_body(&buffered, charset, method, &self.context)?;
            Ok(buffered)
        });
        let buffered = match checked {
            Ok(buffered) => buffered,
            Err(rejection) => return Err(Refused::new(rejection, self.responder, &self.context)),
        };
        set_framing(&mut self.parts.headers, &buffered);
        Ok(self.inner.call(Request::from_parts(self.parts, Payload::of(buffered))))
    }
}

/// Makes the fields say the length that is known now (RFC 9112 section 6.1): what an outer layer
/// left there may be another body's.
pub(super) fn set_framing(headers: &mut HeaderMap, buffered: &Buffered) {
    if buffered.has_trailers() && headers.contains_key(TRANSFER_ENCODING) {
        // It stays chunked: nothing else can carry trailers.
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let length = buffered.bytes().len() as u64;
    let chunked = headers.remove(TRANSFER_ENCODING).is_some();
    // Where neither was sent, as HTTP/2 allows, the client that sends it on knows by itself.
    let said = headers.contains_key(CONTENT_LENGTH);
    if (chunked || said) && content_length(headers) != Some(length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
