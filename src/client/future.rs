use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use pin_project_lite::pin_project;

use super::{
    again::Again,
    error::{BodyError, Error, Refused},
    watched::Watch,
};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The future of [`HttpsClient`](super::HttpsClient). Dropping it resets the request's stream, or
/// closes its connection.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<B> {
    state: State<B>,
}

enum State<B> {
    Sent {
        future: legacy::ResponseFuture,
        // `None` once it was used, and for bodies that cannot be sent again.
        // Boxed, since it has a copy of the head.
        again: Option<Box<Again<B>>>,
    },
    // `None` after completion.
    Refused(Option<Refused>),
}

impl<B> ResponseFuture<B> {
    pub(super) const fn new(future: legacy::ResponseFuture, again: Option<Box<Again<B>>>) -> Self {
        Self { state: State::Sent { future, again } }
    }

    pub(super) fn refused(refused: impl Into<Refused>) -> Self {
        Self { state: State::Refused(Some(refused.into())) }
    }
}

impl<B> Future for ResponseFuture<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, again) = match &mut self.state {
            State::Sent { future, again } => (future, again),
            State::Refused(refused) => {
                return refused
                    .take()
                    .map_or(Poll::Pending, |refused| Poll::Ready(Err(Error::refused(refused))));
            }
        };
        loop {
            let error = match ready!(Pin::new(&mut *future).poll(cx)) {
                Ok(mut response) => {
                    // Its share of the body goes now, whenever this future does.
                    *again = None;
                    if let Some(watch) = response.extensions_mut().remove::<Arc<Watch>>() {
                        watch.note_response();
                    }
                    let is_http2 = response.version() == Version::HTTP_2;
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, is_http2))));
                }
                Err(error) => error,
            };
            let allowed = again.take().filter(|again| again.is_allowed(&error));
            match allowed.and_then(|again| again.send()) {
                Some(sent) => *future = sent,
                None => return Poll::Ready(Err(Error::new(error))),
            }
        }
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response. Dropping it before its end resets the stream, or closes the
    /// connection.
    #[derive(Debug)]
    pub struct ResponseBody {
        #[pin]
        body: Incoming,
        is_http2: bool,
    }
}

impl ResponseBody {
    const fn new(body: Incoming, is_http2: bool) -> Self {
        Self { body, is_http2 }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        // hyper ends a body in order when the server resets its stream with `NO_ERROR`. A server may do
        // that after a complete response (RFC 9113 section 8.1). Before its end the body is cut.
        if frame.is_none() && *this.is_http2 && !this.body.is_end_stream() {
            // Once, because the next poll finds no stream.
            *this.is_http2 = false;
            return Poll::Ready(Some(Err(BodyError::reset_without_error())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
