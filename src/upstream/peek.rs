//! The start of a body that is read before its head is passed on.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{busy::MAX_BODY_BYTES, failure::log_failure};
use crate::{body::size_with, context::RequestContext, log_limit::LogLimit};

/// How long the head of a short error waits for its body.
const PEEK_TIMEOUT: Duration = Duration::from_secs(2);
/// Empty frames are not bytes.
const MAX_FRAMES: usize = 256;

pin_project! {
    /// A body, or a body whose start was read already.
    #[project = PeekableProj]
    #[derive(Debug)]
    pub(super) enum Peekable<B> {
        Unread { #[pin] body: B },
        // Boxed, since only an upstream that is busy or cold is read ahead.
        Peeked { peeked: Box<Peeked<B>> },
    }
}

/// A body with the frames that were read of it. They are passed on as they came.
pub(super) struct Peeked<B> {
    body: Pin<Box<B>>,
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Whole,
    /// The error is logged already.
    Broken,
}

/// A frame. An error without a value is logged already.
type PeekedFrame<B> = Result<Frame<Bytes>, Option<<B as Body>::Error>>;

impl<B> Peekable<B>
where
    B: Body<Data = Bytes>,
{
    /// Returns the next frame.
    pub(super) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<PeekedFrame<B>>> {
        let frame = match self.project() {
            PeekableProj::Unread { body } => ready!(body.poll_frame(cx)),
            PeekableProj::Peeked { peeked } => {
                if let Some(frame) = peeked.frames.pop_front() {
                    peeked.bytes -= frame.data_ref().map_or(0, Bytes::len);
                    return Poll::Ready(Some(Ok(frame)));
                }
                match peeked.end {
                    None => ready!(peeked.body.as_mut().poll_frame(cx)),
                    Some(End::Whole) => None,
                    Some(End::Broken) => return Poll::Ready(Some(Err(None))),
                }
            }
        };
        Poll::Ready(frame.map(|frame| frame.map_err(Some)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Unread { body } => body.is_end_stream(),
            Self::Peeked { peeked } => peeked.frames.is_empty() && peeked.is_whole(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let (peeked, read) = match self {
            Self::Unread { body } => return body.size_hint(),
            Self::Peeked { peeked } => (peeked, peeked.bytes as u64),
        };
        if peeked.is_whole() {
            return SizeHint::with_exact(read);
        }
        size_with(&peeked.body.size_hint(), read)
    }
}

impl<B: Body> Peeked<B> {
    fn is_whole(&self) -> bool {
        self.end == Some(End::Whole) || self.end.is_none() && self.body.is_end_stream()
    }
}

/// Reads the start of a body.
pub(super) struct Peek<B> {
    peeked: Option<Box<Peeked<B>>>,
    timer: Pin<Box<Sleep>>,
}

impl<B> Peek<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Reads until the end, the bound on bytes or a deadline, which is at most `timeout`.
    pub(super) fn new(body: B, timeout: Duration) -> Self {
        let peeked = Peeked { body: Box::pin(body), frames: VecDeque::new(), bytes: 0, end: None };
        let timer = Box::pin(sleep(timeout.min(PEEK_TIMEOUT)));
        Self { peeked: Some(Box::new(peeked)), timer }
    }

    /// Returns the body with its start, whatever has arrived of it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        log: &LogLimit,
        context: &RequestContext,
    ) -> Poll<(Peekable<B>, Vec<u8>)> {
        // A poll after completion stays pending.
        let Some(peeked) = &mut self.peeked else { return Poll::Pending };
        while peeked.bytes <= MAX_BODY_BYTES && peeked.frames.len() < MAX_FRAMES {
            match peeked.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    peeked.bytes += frame.data_ref().map_or(0, Bytes::len);
                    peeked.frames.push_back(frame);
                }
                Poll::Ready(Some(Err(error))) => {
                    log_failure("the upstream's body broke off", log, Some(context), error);
                    peeked.end = Some(End::Broken);
                    break;
                }
                Poll::Ready(None) => {
                    peeked.end = Some(End::Whole);
                    break;
                }
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    break;
                }
            }
        }
        let Some(peeked) = self.peeked.take() else { return Poll::Pending };
        let data = peeked.frames.iter().filter_map(Frame::data_ref);
        let start = data.flat_map(|data| data.iter().copied()).take(MAX_BODY_BYTES + 1).collect();
        Poll::Ready((Peekable::Peeked { peeked }, start))
    }
}

impl<B> fmt::Debug for Peeked<B> {
    // Without the data, which may repeat a prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Peek<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peek").field("peeked", &self.peeked).finish_non_exhaustive()
    }
}
