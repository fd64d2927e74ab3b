use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    body,
    cache::{
        counts::EventCounters,
        entry::Entry,
        flight::{Chunk, Flight, FlightEvent, Head, Reader},
    },
    context::RequestContext,
};

/// Error of a [`ResponseBody`].
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// Returned when the inner service's body fails and is not shared.
    Inner(Box<dyn Error + Send + Sync>),
    /// Returned when the inner service's body fails and is shared.
    Broken,
    /// Returned when the other readers of a shared body have waited for this one as long as
    /// [`slow_reader_timeout`](crate::cache::SharedCalls::slow_reader_timeout) allows.
    TooSlow,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the response body failed",
            Self::Broken => "the shared response body failed",
            Self::TooSlow => "the reader was too slow for the other readers of the shared body",
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
    /// Response body of [`Cache`](super::Cache).
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

    pub(super) fn replay(entry: Entry, context: RequestContext) -> Self {
        let replay = Replay { entry, context, position: (0, 0), trailers_sent: false };
        replay.record();
        Self { kind: Kind::Replay { replay } }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::plain(body::ResponseBody::default())
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
            Kind::Read { reading } => reading.ended,
            Kind::Replay { replay } => replay.is_complete(),
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

/// The body of a shared response, for one of its readers.
pub(super) struct Reading {
    reader: Reader<Head, Chunk>,
    /// Remaining bytes, if the length is known.
    remaining: Option<u64>,
    /// Runs while this reader waits for slower ones. Boxed because that is rare.
    timer: Option<Pin<Box<Sleep>>>,
    role: Role,
    ended: bool,
}

/// The receiver of the call's result at its end.
pub(super) enum Role {
    /// The leader's context.
    Leader(ContextMerge),
    /// The counters, which count the saved cost, and the follower's context.
    Follower { head: Head, counters: Arc<EventCounters>, own: RequestContext },
}

impl Reading {
    pub(super) const fn new(
        reader: Reader<Head, Chunk>,
        remaining: Option<u64>,
        role: Role,
    ) -> Self {
        Self { reader, remaining, timer: None, role, ended: false }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            let event = match self.reader.poll_next(cx) {
                Poll::Ready(event) => event,
                Poll::Pending => {
                    ready!(self.poll_delay(cx));
                    self.reader.cut_slow_readers();
                    continue;
                }
            };
            self.timer = None;
            let frame = match event {
                FlightEvent::Head(_) => continue,
                FlightEvent::Piece(Chunk::Data(data)) => {
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    if let Role::Follower { counters, .. } = &self.role {
                        counters.add_bytes(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                FlightEvent::Piece(Chunk::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers.to_map(0)))));
                }
                FlightEvent::Complete => None,
                FlightEvent::Cut => Some(Err(BodyError::TooSlow)),
                // `NotShared` never follows a head.
                FlightEvent::Broken | FlightEvent::NotShared(_) => Some(Err(BodyError::Broken)),
            };
            self.ended = true;
            match &mut self.role {
                // Before the end is returned: an outer layer reads the context at the end.
                Role::Leader(merge) => merge.finish(),
                Role::Follower { head, counters, own } if frame.is_none() => {
                    counters.saved(head.cost.get().copied().unwrap_or_default());
                    if let Some(call) = &head.call {
                        own.take_over(call);
                    }
                }
                Role::Follower { .. } => {}
            }
            return Poll::Ready(frame);
        }
    }

    /// Returns ready once this reader has waited long enough for slower ones.
    fn poll_delay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(remaining) = self.reader.remaining_delay() else {
            self.timer = None;
            return Poll::Pending;
        };
        if !remaining.is_zero() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(remaining)));
            ready!(timer.as_mut().poll(cx));
        }
        self.timer = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for Reading {
    // Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// Merges the context of a shared call into the context of its leader, on request and on drop.
pub(super) struct ContextMerge {
    pub(super) own: RequestContext,
    pub(super) call: RequestContext,
    /// The call goes on while a reader has the flight.
    pub(super) flight: Weak<Flight<Head, Chunk>>,
    pub(super) is_finished: bool,
}

impl ContextMerge {
    pub(super) fn merge(&self) {
        self.own.adopt(&self.call);
    }

    /// Merges the context of a call that has ended.
    pub(super) fn finish(&mut self) {
        self.merge();
        self.is_finished = true;
    }
}

impl Drop for ContextMerge {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        self.merge();
        // The leader's own reader is dropped before.
        if self.flight.strong_count() > 0 {
            self.own.leave_call(&self.call);
        }
    }
}

// === impl Replay ===

/// The body of an entry, in its original chunks.
#[derive(Debug)]
struct Replay {
    entry: Entry,
    context: RequestContext,
    /// The next chunk and its first byte.
    position: (usize, usize),
    trailers_sent: bool,
}

impl Replay {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let (number, start) = self.position;
        if let Some(chunk) = self.entry.body.get(number, start) {
            self.position = (number + 1, start + chunk.len());
            // Before the chunk is returned: its reader may be satisfied with it.
            self.record();
            return Some(Frame::data(chunk));
        }
        let sent = std::mem::replace(&mut self.trailers_sent, true);
        let trailers = self.entry.trailers.as_ref().filter(|_| !sent);
        trailers.map(|trailers| Frame::trailers(trailers.to_map(0)))
    }

    /// Records what an outer layer would read from the chunks so far.
    fn record(&self) {
        let (facts, length) = (&self.entry.origin.facts, self.entry.length());
        // By its bytes: a reader with a `content-length` does not read an empty last chunk.
        if self.position.1 >= length {
            facts.record(&self.context);
        } else {
            facts.record_part(&self.context, (self.position.1, length));
        }
    }

    fn has_all_chunks(&self) -> bool {
        self.position.0 >= self.entry.body.lengths().len()
    }

    fn is_complete(&self) -> bool {
        let trailers_left = self.entry.trailers.is_some() && !self.trailers_sent;
        self.has_all_chunks() && !trailers_left
    }

    fn size_hint(&self) -> SizeHint {
        if self.entry.trailers.is_some() {
            // HTTP/1.1 drops the trailers of a body with a known length.
            return SizeHint::default();
        }
        SizeHint::with_exact(self.entry.length().saturating_sub(self.position.1) as u64)
    }
}
