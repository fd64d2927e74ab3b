use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::record::Entry;
use crate::{
    body::{BodyEnd, Watch, WatchedBody},
    context::RequestContext,
};

pin_project! {
    /// The request's body, whose bytes are counted as they are read.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        body: B,
        // `None` when nobody wants to know, or somebody further out counts.
        counter: Option<RequestContext>,
    }
}

impl<B> RequestBody<B> {
    pub(super) const fn new(body: B, counter: Option<RequestContext>) -> Self {
        Self { body, counter }
    }
}

impl<B: Body> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = ready!(this.body.poll_frame(cx));
        if let (Some(counter), Some(Ok(frame))) = (this.counter, &polled)
            && let Some(data) = frame.data_ref()
        {
            counter.add_bytes_in(data.remaining() as u64);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The answer's body, at whose end the record is written.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: WatchedBody<B, Meter>,
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    pub(super) fn of(response: Response<B>, mut entry: Entry) -> Response<Self> {
        entry.head(response.status(), response.headers());
        let method = entry.method().cloned().unwrap_or(Method::GET);
        WatchedBody::of_response(response, &method, Meter { entry }).map(|body| Self { body })
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

/// The one place that sees all of an answer: made with its head, told of each frame and of the end.
#[derive(Debug)]
struct Meter {
    entry: Entry,
}

impl Watch for Meter {
    fn data(&mut self, data: &Bytes) {
        self.entry.data(data);
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.entry.trailers(trailers);
    }

    fn end(&mut self, end: BodyEnd) {
        self.entry.close(end);
    }
}
