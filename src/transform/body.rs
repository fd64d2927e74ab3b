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
    /// Response body for [`Transform`](super::Transform): the inner body, without the usage chunk when
    /// only the gateway requested it, or a rejection.
    pub struct ResponseBody<B> {
        #[pin]
        kind: BodyKind<B>,
    }
}

pin_project! {
    #[project = BodyKindProj]
    enum BodyKind<B> {
        Unchanged { #[pin] body: body::ResponseBody<B> },
        // Boxed, because most bodies are none and each body is moved through all layers.
        WithoutUsage { body: Pin<Box<HideUsage<WatchedBody<B, UsageWatch>>>> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn inner(body: B) -> Self {
        Self::unchanged(body::ResponseBody::inner(body))
    }

    pub(super) const fn unchanged(body: body::ResponseBody<B>) -> Self {
        Self { kind: BodyKind::Unchanged { body } }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::unchanged(body::ResponseBody::default())
    }
}

/// Hides the usage chunk of a response that is a readable event stream.
pub(super) fn hide_usage<B: Body<Data = Bytes>>(
    response: Response<B>,
    context: &RequestContext,
) -> Response<ResponseBody<B>> {
    if !response.status().is_success() || !is_event_stream(response.headers()) {
        return response.map(ResponseBody::inner);
    }
    // Layers further out do not see the usage, so it is read here.
    let tap = Tap::claim(context, response.status(), response.headers());
    let response = WatchedBody::of_response(response, &Method::POST, UsageWatch(tap));
    HideUsage::of_response(response)
        .map(|body| ResponseBody { kind: BodyKind::WithoutUsage { body: Box::pin(body) } })
}

/// Reads the usage unless a layer further in reads it.
#[derive(Debug)]
struct UsageWatch(Option<Tap>);

impl Watch for UsageWatch {
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
            BodyKindProj::Unchanged { body } => body.poll_frame(cx),
            BodyKindProj::WithoutUsage { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Unchanged { body } => body.is_end_stream(),
            BodyKind::WithoutUsage { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Unchanged { body } => body.size_hint(),
            BodyKind::WithoutUsage { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    // Without the bytes, which are part of a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hides_usage = matches!(self.kind, BodyKind::WithoutUsage { .. });
        f.debug_struct("ResponseBody").field("hides_usage", &hides_usage).finish_non_exhaustive()
    }
}
