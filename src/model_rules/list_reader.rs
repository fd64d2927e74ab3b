use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{
        ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, ETAG,
        EXPIRES, LAST_MODIFIED, LINK, TRAILER, TRANSFER_ENCODING,
    },
    response::Parts,
};
use http_body::Body;

use super::list_filter::ListFilter;
use crate::{
    body::{ResponseBody, content_length, is_coded, remove_digests},
    memory_limit::MemoryPermit,
    payload::CollectedBody,
    rejection::{Refusal, Rejection},
    yield_now,
};

/// A response to a request for the list of models.
pub(super) enum ListResponse<R> {
    /// The response for the client.
    Complete(Response<ResponseBody<R>>),
    /// A list whose body must be read before it can be filtered.
    Incomplete(ListReader<R>),
}

impl<R: Body> ListResponse<R> {
    pub(super) fn new(filter: ListFilter, response: Response<R>) -> Result<Self, Rejection> {
        if !response.status().is_success() {
            return Ok(Self::Complete(response.map(ResponseBody::inner)));
        }
        let (mut parts, body) = response.into_parts();
        let announced = content_length(&parts.headers).max(Some(body.size_hint().lower()));
        let coded = is_coded(&parts.headers);
        adapt_headers(&mut parts.headers);
        if filter.head_only {
            let body = ResponseBody::full(Bytes::new());
            return Ok(Self::Complete(Response::from_parts(parts, body)));
        }
        if coded || announced > Some(filter.settings.max_list_bytes) {
            return Err(unreadable());
        }
        Ok(Self::Incomplete(ListReader {
            memory: filter.settings.memory.permit(),
            filter,
            parts: Some(parts),
            body: Box::pin(body),
            collected: CollectedBody::default(),
            announced: announced.unwrap_or(0),
            length: 0,
        }))
    }
}

/// Reads a list of models and filters it.
pub(super) struct ListReader<R> {
    filter: ListFilter,
    parts: Option<Parts>,
    body: Pin<Box<R>>,
    collected: CollectedBody,
    // The least number of bytes that the upstream announced.
    announced: u64,
    length: u64,
    memory: MemoryPermit,
}

impl<R: Body<Data = Bytes>> ListReader<R> {
    /// Frames to read before other tasks get their turn.
    const FRAMES_PER_TURN: usize = 64;

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<R>>, Rejection>> {
        for _ in 0..Self::FRAMES_PER_TURN {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(self.finish()),
                Some(Err(_)) => return Poll::Ready(Err(unreadable())),
                Some(Ok(frame)) => {
                    // Trailers are dropped because they describe the unfiltered list.
                    let data = frame.into_data().unwrap_or_default();
                    self.length = self.length.saturating_add(data.len() as u64);
                    if self.length > self.filter.settings.max_list_bytes {
                        return Poll::Ready(Err(unreadable()));
                    }
                    self.collected.push(data, self.announced, &mut self.memory)?;
                }
            }
        }
        yield_now::wake_later(cx);
        Poll::Pending
    }

    fn finish(&mut self) -> Result<Response<ResponseBody<R>>, Rejection> {
        let list = mem::take(&mut self.collected).into_bytes(&mut self.memory);
        // The filtered list has a buffer of the same capacity. Only that buffer stays.
        let capacity = list.len();
        self.memory.grow(capacity)?;
        let filtered = self.filter.apply(list).ok_or_else(unreadable)?;
        let memory = self.memory.split(capacity);
        self.memory.shrink(self.memory.bytes());
        let mut parts = self.parts.take().ok_or_else(unreadable)?;
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(filtered.len()));
        Ok(Response::from_parts(parts, ResponseBody::full(memory.guard(filtered))))
    }
}

/// Removes headers that describe the unfiltered list and forbids others to cache the filtered one.
fn adapt_headers(headers: &mut HeaderMap) {
    for name in [
        ACCEPT_RANGES,
        AGE,
        CONTENT_LENGTH,
        CONTENT_LOCATION,
        CONTENT_RANGE,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
        LINK,
        TRAILER,
        TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
    remove_digests(headers);
    for name in ["cdn-cache-control", "surrogate-control", "x-total-count"] {
        headers.remove(HeaderName::from_static(name));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn unreadable() -> Rejection {
    Rejection::new(Refusal::UpstreamUnavailable)
        .with_detail("the upstream's list of models cannot be read")
}
