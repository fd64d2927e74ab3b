use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    body::{self, BodyEnd, Watch, WatchedBody},
    context::RequestContext,
    generation::{HideUsage, is_event_stream},
    tap::Tap,
};

pin_project! {
    /// The body of an answer, as the caller gets it.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Shown<B>,
    }
}

pin_project! {
    #[project = ShownProj]
    enum Shown<B> {
        All { #[pin] body: body::ResponseBody<B> },
        WithoutUsage { #[pin] body: HideUsage<WatchedBody<B, Tapped>> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn plain(body: body::ResponseBody<B>) -> Self {
        Self { kind: Shown::All { body } }
    }
}

/// Hides the usage chunk, if the answer is an event stream that can be read.
pub(super) fn hide<B: Body<Data = Bytes>>(
    response: Response<B>,
    context: &RequestContext,
) -> Response<ResponseBody<B>> {
    if !response.status().is_success() || !is_event_stream(response.headers()) {
        return response.map(body::ResponseBody::inner).map(ResponseBody::plain);
    }
    // Layers further out will not see the usage: it is read here.
    let tap = Tap::claim(context, response.status(), response.headers());
    let response = WatchedBody::of_response(response, &Method::POST, Tapped(tap));
    HideUsage::of_response(response).map(|body| ResponseBody { kind: Shown::WithoutUsage { body } })
}

/// What reads the usage, unless a layer further in does.
#[derive(Debug)]
struct Tapped(Option<Tap>);

impl Watch for Tapped {
    fn data(&mut self, data: &Bytes) {
        if let Some(tap) = &mut self.0 {
            tap.data(data);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(tap) = &mut self.0 {
            tap.trailers(trailers);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(tap) = &mut self.0 {
            tap.end(end);
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
            ShownProj::All { body } => body.poll_frame(cx),
            ShownProj::WithoutUsage { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Shown::All { body } => body.is_end_stream(),
            Shown::WithoutUsage { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Shown::All { body } => body.size_hint(),
            Shown::WithoutUsage { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    // Without the bytes: they are somebody's completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hides = matches!(self.kind, Shown::WithoutUsage { .. });
        f.debug_struct("ResponseBody").field("hides_usage", &hides).finish_non_exhaustive()
    }
}
