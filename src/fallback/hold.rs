//! The beginning of a response, while another attempt may still replace it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, response::Parts};
use http_body::Body;

use super::body::{Held, ResponseBody, Rest};
use crate::{
    body::BodyEnd,
    context::{AbandonReason, StreamEnd, Usage},
    tap::Preview,
};

/// The bytes before the first content after which a response is passed on in any case.
const MAX_BYTES: usize = 64 * 1024;
/// The bytes that a frame counts beside its data.
const FRAME_OVERHEAD: usize = size_of::<Bytes>();

/// The part of a response for which its beginning is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    /// The first content.
    Content,
    /// The usage that a failure reports.
    Usage,
}

/// The beginning of a response.
pub(super) struct Hold<R, E> {
    pub(super) goal: Goal,
    head: Parts,
    body: R,
    held: Held,
    bytes: usize,
    preview: Preview,
    end: HeldEnd<E>,
}

/// The end of a body that came before any content.
enum HeldEnd<E> {
    Open,
    End,
    Trailers(HeaderMap),
    Failed(E),
}

/// The finding in the beginning of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The response is passed on.
    Pass,
    /// Another attempt may follow.
    Failed(AbandonReason),
    /// No content has come in time. Another attempt may follow if it can start at once.
    Late,
}

impl<R, E> Hold<R, E> {
    pub(super) fn new(response: Response<R>, preview: Preview, goal: Goal) -> Self {
        let (head, body) = response.into_parts();
        let (held, bytes, end) = (Held::new(), 0, HeldEnd::Open);
        Self { goal, head, body, held, bytes, preview, end }
    }

    pub(super) const fn head(&self) -> &Parts {
        &self.head
    }

    pub(super) const fn usage(&self) -> Option<Usage> {
        self.preview.usage()
    }

    /// Returns the response with all that came.
    pub(super) fn into_response(self) -> Response<ResponseBody<R, E>> {
        let rest = match self.end {
            HeldEnd::Open => Rest::Body { body: crate::body::ResponseBody::inner(self.body) },
            HeldEnd::End => Rest::End,
            HeldEnd::Trailers(trailers) => Rest::Trailers { trailers: Some(Box::new(trailers)) },
            HeldEnd::Failed(error) => Rest::Failed { error: Some(error) },
        };
        Response::from_parts(self.head, ResponseBody::of(self.held, rest))
    }
}

impl<R: Body<Data = Bytes> + Unpin> Hold<R, R::Error> {
    /// Reads on until it is certain what becomes of the response.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return Poll::Pending,
            };
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        self.end = HeldEnd::Trailers(frame.into_trailers().unwrap_or_default());
                        return Poll::Ready(self.at_end(BodyEnd::Trailers));
                    }
                },
                Some(Err(error)) => {
                    self.end = HeldEnd::Failed(error);
                    return Poll::Ready(self.at_end(BodyEnd::Error));
                }
                None => {
                    self.end = HeldEnd::End;
                    return Poll::Ready(self.at_end(BodyEnd::Complete));
                }
            };
            // HTTP/2 peers may send empty ones without end.
            self.bytes = self.bytes.saturating_add(data.len().saturating_add(FRAME_OVERHEAD));
            if !data.is_empty() {
                self.preview.data(&data);
                self.held.push(data);
            }
            if let Some(verdict) = self.after_data() {
                return Poll::Ready(verdict);
            }
        }
    }

    fn after_data(&self) -> Option<Verdict> {
        if self.goal == Goal::Usage || self.held.is_empty() {
            return (self.bytes > MAX_BYTES).then_some(Verdict::Pass);
        }
        if self.preview.has_content() || !self.preview.reads_stream() {
            return Some(Verdict::Pass);
        }
        match self.preview.end() {
            Some(StreamEnd::Failed) => Some(Verdict::Failed(AbandonReason::ErrorEvent)),
            Some(_) => Some(Verdict::Pass),
            None => (self.bytes > MAX_BYTES).then_some(Verdict::Pass),
        }
    }

    fn at_end(&mut self, end: BodyEnd) -> Verdict {
        self.preview.finish(end);
        if self.goal == Goal::Usage {
            return Verdict::Pass;
        }
        let is_broken = end == BodyEnd::Error;
        if !self.preview.reads_stream() {
            // A document that ends before its first byte is empty.
            return if is_broken { Verdict::Failed(AbandonReason::Broken) } else { Verdict::Pass };
        }
        match self.preview.end() {
            Some(StreamEnd::Failed) => Verdict::Failed(AbandonReason::ErrorEvent),
            Some(StreamEnd::Cut) | None => Verdict::Failed(AbandonReason::Broken),
            Some(StreamEnd::Done) if is_broken => Verdict::Failed(AbandonReason::Broken),
            Some(StreamEnd::Done) => Verdict::Pass,
        }
    }
}
