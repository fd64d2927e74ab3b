use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::owed::Owed;
use crate::body::{self, WatchedBody};

pin_project! {
    /// The body of an answer, which gives back its places among those in flight at its end; or a
    /// refusal.
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
        // Nothing is given back at its end.
        Free { #[pin] body: body::ResponseBody<B> },
        Owing { #[pin] body: WatchedBody<B, Owed> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self::refusal(body::ResponseBody::inner(body))
    }

    pub(super) const fn refusal(body: body::ResponseBody<B>) -> Self {
        Self { kind: Kind::Free { body } }
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// The answer to a `method` request that owes.
    pub(super) fn owing(response: Response<B>, method: &Method, owed: Owed) -> Response<Self> {
        WatchedBody::of_response(response, method, owed)
            .map(|body| Self { kind: Kind::Owing { body } })
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
            KindProj::Free { body } => body.poll_frame(cx),
            KindProj::Owing { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Free { body } => body.is_end_stream(),
            Kind::Owing { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Free { body } => body.size_hint(),
            Kind::Owing { body } => body.size_hint(),
        }
    }
}
