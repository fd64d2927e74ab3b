use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{open_record::OpenRecord, prompt::prompt_of};
use crate::{
    body::{self, BodyEnd, Watch, WatchedBody},
    context::RequestContext,
};

pin_project! {
    /// A request body that counts its bytes.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        body: B,
        // `None` when an outer layer counts or the request is not recorded.
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
        let mut body = this.body;
        let polled = ready!(body.as_mut().poll_frame(cx));
        let Some(counter) = this.counter else { return Poll::Ready(polled) };
        let data = match &polled {
            Some(Ok(frame)) => frame.data_ref(),
            Some(Err(_)) => return Poll::Ready(polled),
            None => None,
        };
        if let Some(data) = data {
            counter.add_bytes_in(data.remaining() as u64);
        }
        if let Some(prompt) = prompt_of(counter) {
            let mut prompt = prompt.lock();
            if let Some(data) = data {
                prompt.chunks(data);
            }
            if polled.is_none() || body.is_end_stream() {
                prompt.end();
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.is_end_stream();
        // Nobody polls such a body.
        if ended && let Some(prompt) = self.counter.as_ref().and_then(prompt_of) {
            prompt.lock().end();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A response body that writes the record at its end.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: WatchedBody<body::ResponseBody<B>, RecordWatch>,
    }
}

/// An empty body without a record.
impl<B: Body<Data = Bytes> + Default> Default for ResponseBody<B> {
    fn default() -> Self {
        let watch = RecordWatch { record: OpenRecord::none() };
        Self { body: WatchedBody::new(body::ResponseBody::inner(B::default()), watch) }
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// The response with its body in this one.
    // The body is moved once, into its place.
    #[inline]
    pub(super) fn new<R>(
        response: Response<R>,
        wrap: impl FnOnce(R) -> body::ResponseBody<B>,
        mut record: OpenRecord,
    ) -> Response<Self> {
        record.head(response.status(), response.headers());
        let is_for_head = record.method() == Some(&Method::HEAD);
        let (head, body) = response.into_parts();
        let watch = RecordWatch { record };
        let body = WatchedBody::of_head(wrap(body), &head, is_for_head, watch);
        Response::from_parts(head, Self { body })
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut body = self.project().body;
        body.as_mut().watch_mut().record.enter_service();
        let polled = body.as_mut().poll_frame(cx);
        body.watch_mut().record.leave_service();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Feeds the frames of a response body to its record.
#[derive(Debug)]
struct RecordWatch {
    record: OpenRecord,
}

impl Watch for RecordWatch {
    fn data(&mut self, data: &Bytes) {
        self.record.data(data);
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.record.trailers(trailers);
    }

    fn end(&mut self, end: BodyEnd) {
        self.record.close(end);
    }
}
