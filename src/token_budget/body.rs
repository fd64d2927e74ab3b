use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::reservation::Reservation;
use crate::{
    body::{self, WatchedBody},
    generation::{HideUsage, is_event_stream},
};

pin_project! {
    /// The response body of [`TokenBudget`](super::TokenBudget). Its end settles the reservation.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Plain { #[pin] body: body::ResponseBody<B> },
        Settling { #[pin] body: WatchedBody<B, Reservation> },
        // Boxed, because most bodies are none and each body is moved through all layers.
        WithoutUsage { body: Pin<Box<HideUsage<WatchedBody<B, Reservation>>>> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self::plain(body::ResponseBody::inner(body))
    }

    pub(super) const fn plain(body: body::ResponseBody<B>) -> Self {
        Self { kind: Kind::Plain { body } }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::plain(body::ResponseBody::default())
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// Wraps the response to a request with a reservation.
    pub(super) fn settling(
        response: Response<B>,
        is_for_head: bool,
        reservation: Reservation,
        hide_usage: bool,
    ) -> Response<Self> {
        let hide =
            hide_usage && response.status().is_success() && is_event_stream(response.headers());
        let (head, body) = response.into_parts();
        let body = WatchedBody::of_head(body, &head, is_for_head, reservation);
        if hide {
            HideUsage::of_response(Response::from_parts(head, body))
                .map(|body| Self { kind: Kind::WithoutUsage { body: Box::pin(body) } })
        } else {
            Response::from_parts(head, Self { kind: Kind::Settling { body } })
        }
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
            KindProj::Settling { body } => body.poll_frame(cx),
            KindProj::WithoutUsage { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Settling { body } => body.is_end_stream(),
            Kind::WithoutUsage { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Settling { body } => body.size_hint(),
            Kind::WithoutUsage { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    // Without the bytes, which are a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Plain { .. } => "plain",
            Kind::Settling { .. } => "settling",
            Kind::WithoutUsage { .. } => "settling, usage hidden",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}
