use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
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
        again: Option<Again<B>>,
    },
    // `None` after completion.
    Refused(Option<Refused>),
}

impl<B> ResponseFuture<B> {
    pub(super) const fn new(future: legacy::ResponseFuture, again: Option<Again<B>>) -> Self {
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
                    return Poll::Ready(Ok(response.map(ResponseBody::new)));
                }
                Err(error) => error,
            };
            let allowed = again.take().filter(|again| again.is_allowed(&error));
            match allowed.and_then(Again::send) {
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
    }
}

impl ResponseBody {
    const fn new(body: Incoming) -> Self {
        Self { body }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().body.poll_frame(cx).map_err(BodyError)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
