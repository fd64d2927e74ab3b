use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    expectation::{Expectation, ResponseCopy},
    fault::ResponseFault,
};
use crate::body::{self, BodyEnd, Watch, WatchedBody};

pin_project! {
    /// The body of the inner service, a body that was held back or a rejection.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<CheckedBody<B>>,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn new(body: body::ResponseBody<CheckedBody<B>>) -> Self {
        Self { body }
    }

    pub(crate) const fn passed(body: B) -> Self {
        Self::new(body::ResponseBody::inner(CheckedBody { kind: BodyState::Passed { body } }))
    }

    pub(crate) fn held(data: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        let data = Some(data).filter(|data| !data.is_empty());
        Self::new(body::ResponseBody::inner(CheckedBody {
            kind: BodyState::Held { data, trailers },
        }))
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::new(body::ResponseBody::default())
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// Streams a body and checks it at its end.
    pub(crate) fn copied(response: Response<B>, expectation: Box<Expectation>) -> Response<Self> {
        let method = expectation.method.clone();
        let copy = Ok(expectation.copy(response.headers()));
        let reporter = ResponseReporter { expectation, copy };
        WatchedBody::of_response(response, &method, reporter).map(|body| {
            let kind = BodyState::Copied { body: Box::pin(body) };
            Self::new(body::ResponseBody::inner(CheckedBody { kind }))
        })
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct CheckedBody<B> {
        #[pin]
        kind: BodyState<B>,
    }
}

pin_project! {
    #[project = BodyStateProj]
    enum BodyState<B> {
        Passed { #[pin] body: B },
        // Boxed, because most bodies are not copied and each body is moved through all layers.
        Copied { body: Pin<Box<WatchedBody<B, ResponseReporter>>> },
        // `None` once it was sent.
        Held { data: Option<Bytes>, trailers: Option<Box<HeaderMap>> },
    }
}

impl<B: Body<Data = Bytes>> Body for CheckedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            BodyStateProj::Passed { body } => body.poll_frame(cx),
            BodyStateProj::Copied { body } => body.as_mut().poll_frame(cx),
            BodyStateProj::Held { data, trailers } => {
                let data = data.take().map(Frame::data);
                let frame = data.or_else(|| trailers.take().map(|all| Frame::trailers(*all)));
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyState::Passed { body } => body.is_end_stream(),
            BodyState::Copied { body } => body.is_end_stream(),
            BodyState::Held { data, trailers } => data.is_none() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyState::Passed { body } => body.size_hint(),
            BodyState::Copied { body } => body.size_hint(),
            BodyState::Held { data, trailers } => {
                let length = data.as_ref().map_or(0, |data| data.len() as u64);
                let mut hint = SizeHint::with_exact(length);
                if trailers.is_some() {
                    // Over HTTP/1.1 a server sends no trailers after a body of known length.
                    hint = SizeHint::default();
                    hint.set_lower(length);
                }
                hint
            }
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for BodyState<B> {
    // Omits the held body, which may be a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { body } => f.debug_struct("Passed").field("body", body).finish(),
            Self::Copied { body } => f.debug_struct("Copied").field("body", body).finish(),
            Self::Held { .. } => f.debug_struct("Held").finish_non_exhaustive(),
        }
    }
}

// === impl ResponseReporter ===

/// Copies a response and checks it at its end.
struct ResponseReporter {
    expectation: Box<Expectation>,
    copy: Result<ResponseCopy, ResponseFault>,
}

impl Watch for ResponseReporter {
    fn data(&mut self, data: &Bytes) {
        if let Ok(whole) = &mut self.copy
            && let Err(fault) = whole.push(data.clone())
        {
            self.copy = Err(fault);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        // A partial response cannot be checked.
        if matches!(end, BodyEnd::Error | BodyEnd::Cancelled) {
            return;
        }
        // The end is reported once, so the placeholder is never read.
        let copy = std::mem::replace(&mut self.copy, Err(ResponseFault::TooLong));
        let checked = copy.and_then(|copy| {
            let (body, _memory) = copy.into_bytes();
            self.expectation.check(body)
        });
        if let Err(fault) = checked {
            self.expectation.log(&fault);
        }
    }
}

impl fmt::Debug for ResponseReporter {
    // Omits the copy, which may be a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseReporter").finish_non_exhaustive()
    }
}
