use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{
    counts::Counters,
    entry::Entry,
    flight::{News, Reader},
    head::{Chunk, Head},
};
use crate::{body, context::RequestContext};

/// Why the body of an answer broke off.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The inner service's body failed, of an answer that is not shared.
    Inner(Box<dyn Error + Send + Sync>),
    /// The inner service's body failed, of an answer that several may read.
    Broken,
    /// Others that read the same response waited for this reader for as long as
    /// [`slowest_deadline`](super::CacheLayer::slowest_deadline) allows.
    TooSlow,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the body failed",
            Self::Broken => "the shared body broke off",
            Self::TooSlow => "the reader was too slow for those it shared the body with",
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Inner(error) => Some(&**error),
            Self::Broken | Self::TooSlow => None,
        }
    }
}

pin_project! {
    /// The inner service's body, one that is shared with others, one that was kept, or a refusal.
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
        Plain { #[pin] body: body::ResponseBody<B> },
        Read { reading: Reading },
        Replay { replay: Replay },
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn plain(body: body::ResponseBody<B>) -> Self {
        Self { kind: Kind::Plain { body } }
    }

    pub(super) const fn reading(reading: Reading) -> Self {
        Self { kind: Kind::Read { reading } }
    }

    pub(super) fn replay(entry: Entry) -> Self {
        Self { kind: Kind::Replay { replay: Replay { entry, at: (0, 0), trailers_given: false } } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => {
                let polled = ready!(body.poll_frame(cx));
                let inner = |error: B::Error| BodyError::Inner(error.into());
                Poll::Ready(polled.map(|frame| frame.map_err(inner)))
            }
            KindProj::Read { reading } => reading.poll_frame(cx),
            KindProj::Replay { replay } => Poll::Ready(replay.next().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Read { reading } => reading.over,
            Kind::Replay { replay } => replay.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Read { reading } => {
                reading.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Kind::Replay { replay } => replay.size_hint(),
        }
    }
}

// === impl Reading ===

/// What one reads of an answer that several may read.
pub(super) struct Reading {
    reader: Reader<Head, Chunk>,
    /// Bytes still to come, if that is known.
    remaining: Option<u64>,
    /// Runs while this one waits for others. Boxed: hardly anyone does.
    timer: Option<Pin<Box<Sleep>>>,
    role: Role,
    over: bool,
}

/// What is told of the call at the end.
pub(super) enum Role {
    /// To the originator's record.
    Originator(Adoption),
    /// What it did not cost, to the counters.
    Follower(Head, Arc<Counters>),
}

impl Reading {
    pub(super) const fn new(
        reader: Reader<Head, Chunk>,
        remaining: Option<u64>,
        role: Role,
    ) -> Self {
        Self { reader, remaining, timer: None, role, over: false }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        loop {
            let news = match self.reader.poll_next(cx) {
                Poll::Ready(news) => news,
                Poll::Pending => {
                    ready!(self.poll_patience(cx));
                    self.reader.cut_those_behind();
                    continue;
                }
            };
            self.timer = None;
            let frame = match news {
                News::Head(_) => continue,
                News::Piece(Chunk::Data(data)) => {
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    if let Role::Follower(_, counters) = &self.role {
                        counters.add_bytes(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                News::Piece(Chunk::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers.to_map(0)))));
                }
                News::Complete => None,
                News::Cut => Some(Err(BodyError::TooSlow)),
                // The head was told: nothing else follows it.
                News::Broken | News::Alone | News::Unshared(_) => Some(Err(BodyError::Broken)),
            };
            self.over = true;
            match &self.role {
                // Before the end is told: who watches this body looks into the record then.
                Role::Originator(adoption) => adoption.adopt(),
                Role::Follower(head, counters) if frame.is_none() => {
                    counters.saved(head.cost.get().copied().unwrap_or_default());
                }
                Role::Follower(..) => {}
            }
            return Poll::Ready(frame);
        }
    }

    /// Ready when this one has waited for others for as long as it has to.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.reader.patience() else {
            self.timer = None;
            return Poll::Pending;
        };
        if !left.is_zero() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(left)));
            ready!(timer.as_mut().poll(cx));
        }
        self.timer = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for Reading {
    // Without what it reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// Tells the record of the request that began a call what became of the call: when it is asked to,
/// and when it is dropped.
pub(super) struct Adoption {
    pub(super) own: RequestContext,
    pub(super) call: RequestContext,
}

impl Adoption {
    pub(super) fn adopt(&self) {
        self.own.adopt(&self.call);
    }
}

impl Drop for Adoption {
    fn drop(&mut self) {
        self.adopt();
    }
}

// === impl Replay ===

/// Gives an answer that was kept, in the pieces in which it came.
#[derive(Debug)]
struct Replay {
    entry: Entry,
    /// Of the next piece, and of its first byte.
    at: (usize, usize),
    trailers_given: bool,
}

impl Replay {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let (number, start) = self.at;
        if let Some(piece) = self.entry.pieces.get(number, start) {
            self.at = (number + 1, start + piece.len());
            return Some(Frame::data(piece));
        }
        let given = std::mem::replace(&mut self.trailers_given, true);
        let trailers = self.entry.trailers.as_ref().filter(|_| !given);
        trailers.map(|trailers| Frame::trailers(trailers.to_map(0)))
    }

    fn is_over(&self) -> bool {
        let trailers_left = self.entry.trailers.is_some() && !self.trailers_given;
        self.at.0 >= self.entry.pieces.lengths().len() && !trailers_left
    }

    fn size_hint(&self) -> SizeHint {
        if self.entry.trailers.is_some() {
            // Over HTTP/1.1 a body with a length has no trailers.
            return SizeHint::default();
        }
        SizeHint::with_exact(self.entry.length().saturating_sub(self.at.1) as u64)
    }
}
