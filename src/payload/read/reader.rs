use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, request::Parts};
use http_body::Frame;
use tower_service::Service;

use super::{
    collect::CollectedBody,
    settings::{BodyHead, PARSE_STEP, ReadSettings},
};
use crate::{
    context::{Layer, RequestContext},
    memory_limit::MemoryPermit,
    payload::{
        body::{
            bounded::{BoundedBody, ErasedBody},
            buffered::BufferedBody,
            payload::Payload,
        },
        coding::{error::too_short, header::remove_coding_headers},
        content_type::json_required,
        error::PayloadError,
        json::document::Parsing,
    },
    rejection::{PendingRejection, Rejection, Responder},
    yield_now,
};

/// A request whose body is being read, and the service that receives it.
pub(crate) struct BodyReader<S> {
    inner: S,
    settings: ReadSettings,
    // `None` once the body was accepted or rejected.
    parts: Option<Parts>,
    context: RequestContext,
    responder: Responder,
    head: BodyHead,
    collected: CollectedBody,
    // For the collected bytes.
    memory: MemoryPermit,
    trailers: Option<Box<HeaderMap>>,
    // The payload of an outer layer if the received bytes are its own.
    known: Option<Arc<BufferedBody>>,
    // Boxed because few documents need more than one step.
    parsing: Option<Box<PartialDocument>>,
}

/// A payload whose long document is being parsed.
struct PartialDocument {
    buffered: Arc<BufferedBody>,
    parsing: Parsing<Option<MemoryPermit>>,
}

impl<S> BodyReader<S> {
    /// Frames and decoding steps until the task yields.
    const MAX_STEPS: usize = 64;
    pub(crate) fn new(
        inner: S,
        settings: ReadSettings,
        parts: Parts,
        context: RequestContext,
        responder: Responder,
        head: BodyHead,
    ) -> Self {
        let memory = settings.permit();
        Self {
            inner,
            settings,
            parts: Some(parts),
            context,
            responder,
            head,
            collected: CollectedBody::Nothing,
            memory,
            trailers: None,
            known: None,
            parsing: None,
        }
    }

    /// Reads the body to its end and then parses its document if it is long.
    pub(crate) fn poll<B: ErasedBody>(
        &mut self,
        body: Pin<&mut BoundedBody<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<BufferedBody>, Rejection>> {
        if self.parsing.is_none() {
            ready!(self.poll_body(body, cx))?;
            let buffered = self.assemble()?;
            if !self.settings.parses_in_steps(&buffered) {
                return Poll::Ready(Ok(buffered));
            }
            match buffered.parsing() {
                Ok(parsing) => self.parsing = Some(Box::new(PartialDocument { buffered, parsing })),
                Err(error) => {
                    // The error is returned where the document is read.
                    buffered.set_document(Err(error));
                    return Poll::Ready(Ok(buffered));
                }
            }
        }
        let Some(partial) = &mut self.parsing else { return Poll::Pending };
        let parsed = match partial.parsing.read(PARSE_STEP) {
            Ok(None) => {
                yield_now::wake_later(cx);
                return Poll::Pending;
            }
            Ok(Some(parsed)) => Ok(parsed),
            Err(error) => Err(error),
        };
        partial.buffered.set_document(parsed);
        Poll::Ready(Ok(Arc::clone(&partial.buffered)))
    }

    /// Reads the body to its end.
    fn poll_body<B: ErasedBody>(
        &mut self,
        mut body: Pin<&mut BoundedBody<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Rejection>> {
        for _ in 0..Self::MAX_STEPS {
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
        // The timeout must also end a body that is always ready without data, and one that decodes
        // slowly.
        let timed_out = PayloadError::TimedOut(body.timeout());
        let deadline = body.poll_timeout(cx).map(|()| Err(timed_out.rejection()));
        yield_now::wake_later(cx);
        deadline
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Rejection> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if self.head.mistyped {
                    return Err(json_required());
                }
                self.known = match (&self.collected, self.head.coding) {
                    (CollectedBody::Nothing, None) => self.recognise(&data),
                    (CollectedBody::Nothing, Some(coding)) => {
                        self.collected =
                            CollectedBody::coded(coding, self.settings.max_body_bytes());
                        None
                    }
                    _ => None,
                };
                if self.known.is_some() {
                    // Its memory is counted where it was read.
                    self.collected = CollectedBody::One(data);
                } else {
                    self.collected.push(data, self.head.announced, &mut self.memory)?;
                }
            }
            Err(frame) => self.trailers = frame.into_trailers().ok().map(Box::new),
        }
        Ok(())
    }

    /// Returns the payload of an outer layer that owns these bytes. They have the same address and
    /// length. The address stays unique while the payload is alive.
    fn recognise(&self, data: &Bytes) -> Option<Arc<BufferedBody>> {
        let known: Arc<BufferedBody> = self.context.payload()?.downcast().ok()?;
        let bytes = known.bytes();
        (bytes.as_ptr() == data.as_ptr() && bytes.len() == data.len()).then_some(known)
    }

    /// Creates a payload of the collected bytes.
    fn assemble(&mut self) -> Result<Arc<BufferedBody>, Rejection> {
        let mut trailers = self.trailers.take();
        if self.head.coding.is_some() {
            if matches!(self.collected, CollectedBody::Nothing) && !self.head.bodiless {
                return Err(too_short());
            }
            trailers.as_deref_mut().map(remove_coding_headers);
        }
        let bytes = mem::take(&mut self.collected).into_bytes(&mut self.memory);
        Ok(match self.known.take() {
            Some(known) if trailers.is_none() && !known.has_trailers() => known,
            _ => {
                let memory = self.memory.split(self.memory.bytes());
                self.settings.buffer(bytes, trailers, memory, &self.context)
            }
        })
    }

    /// Calls the inner service unless the body is rejected. Returns `None` if it has done so before.
    ///
    /// The service is called in its place, because a move of it costs more than the call.
    pub(crate) fn finish(
        &mut self,
        read: Result<Arc<BufferedBody>, Rejection>,
    ) -> Option<Result<S::Future, PendingRejection>>
    where
        S: Service<Request<Payload>>,
    {
        let mut parts = self.parts.take()?;
        let checked = read.and_then(|buffered| {
            self.settings.check_body(&buffered, &self.head, &self.context)?;
            Ok(buffered)
        });
        let buffered = match checked {
            Ok(buffered) => buffered,
            Err(rejection) => {
                return Some(Err(self.responder.pending(rejection, self.context.clone())));
            }
        };
        if self.head.coding.is_some() {
            remove_coding_headers(&mut parts.headers);
        }
        self.head.set_framing(&mut parts.headers, &buffered);
        self.context.pass(Layer::Payload);
        Some(Ok(self.inner.call(Request::from_parts(parts, Payload::of(buffered)))))
    }
}
