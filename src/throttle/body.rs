use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::on_response::AtEnd;
use crate::{
    body::{self, WatchedBody},
    limits::Release,
};

pin_project! {
    /// The response body of [`Throttle`](super::Throttle). Its end gives permits in flight back.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        // Has nothing to give back.
        Plain { #[pin] body: body::ResponseBody<B> },
        Releasing { #[pin] body: WatchedBody<B, Release> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self::rejection(body::ResponseBody::inner(body))
    }

    pub(super) const fn rejection(body: body::ResponseBody<B>) -> Self {
        Self { kind: Kind::Plain { body } }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::rejection(body::ResponseBody::default())
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// Wraps the response to a request with permits in flight.
    pub(super) fn releasing(response: Response<B>, at_end: AtEnd) -> Response<Self> {
        let AtEnd { release, is_for_head } = at_end;
        let (head, body) = response.into_parts();
        let body = WatchedBody::of_head(body, &head, is_for_head, release);
        Response::from_parts(head, Self { kind: Kind::Releasing { body } })
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx),
            KindProj::Releasing { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Releasing { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Releasing { body } => body.size_hint(),
        }
    }
}
