use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use smallvec::SmallVec;

use crate::{body, load_limit::LoadPermit};

/// The frames of data that came before the first content. Most streams have one.
pub(super) type Held = SmallVec<[Bytes; 2]>;

pin_project! {
    /// Response body for [`Fallback`](super::Fallback): what came before the first content, then the
    /// inner body, or a rejection.
    pub struct ResponseBody<B, E> {
        // The last one first.
        held: Held,
        #[pin]
        rest: Rest<B, E>,
        // Released at the end of the body or on drop.
        permit: Option<LoadPermit>,
    }
}

pin_project! {
    #[project = RestProj]
    pub(super) enum Rest<B, E> {
        Body { #[pin] body: body::ResponseBody<B> },
        // Boxed, because few bodies have trailers before any content.
        Trailers { trailers: Option<Box<HeaderMap>> },
        Failed { error: Option<E> },
        End,
    }
}

impl<B, E> ResponseBody<B, E> {
    pub(super) fn passed(body: B) -> Self {
        Self::plain(body::ResponseBody::inner(body))
    }

    pub(super) fn plain(body: body::ResponseBody<B>) -> Self {
        Self::of(Held::new(), Rest::Body { body })
    }

    /// Creates a body of held frames in their order and the rest.
    pub(super) fn of(mut held: Held, rest: Rest<B, E>) -> Self {
        held.reverse();
        Self { held, rest, permit: None }
    }
}

impl<B: Body<Data = Bytes>, E> ResponseBody<B, E> {
    /// Keeps a permit to the end of the body.
    pub(super) fn with_permit(mut self, permit: Option<LoadPermit>, has_body: bool) -> Self {
        self.permit = permit.filter(|_| has_body && !(self.held.is_empty() && self.rest.is_end()));
        self
    }
}

impl<B: Body<Data = Bytes>, E> Rest<B, E> {
    fn is_end(&self) -> bool {
        match self {
            Self::Body { body } => body.is_end_stream(),
            Self::Trailers { trailers } => trailers.is_none(),
            Self::Failed { error } => error.is_none(),
            Self::End => true,
        }
    }
}

/// An empty body.
impl<B, E> Default for ResponseBody<B, E> {
    fn default() -> Self {
        Self::of(Held::new(), Rest::End)
    }
}

impl<B> Body for ResponseBody<B, B::Error>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = if let Some(data) = this.held.pop() {
            Some(Ok(Frame::data(data)))
        } else {
            match this.rest.as_mut().project() {
                RestProj::Body { body } => ready!(body.poll_frame(cx)),
                RestProj::Trailers { trailers } => {
                    trailers.take().map(|trailers| Ok(Frame::trailers(*trailers)))
                }
                RestProj::Failed { error } => error.take().map(Err),
                RestProj::End => None,
            }
        };
        let is_last = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || this.held.is_empty() && this.rest.is_end(),
            Some(Err(_)) | None => true,
        };
        if is_last {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Rest::Body { body } => body.size_hint(),
            // A body that fails has no known length.
            Rest::Failed { .. } => SizeHint::default(),
            Rest::Trailers { .. } | Rest::End => SizeHint::with_exact(0),
        };
        body::size_with(&rest, self.held.iter().map(|data| data.len() as u64).sum())
    }
}

impl<B, E> fmt::Debug for ResponseBody<B, E> {
    // Without the data, which is part of a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("held", &self.held.len()).finish_non_exhaustive()
    }
}
