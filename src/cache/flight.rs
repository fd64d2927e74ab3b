//! One answer for many readers, each at its own pace.
//!
//! There is no driver: whoever needs more than the log holds takes the source out, polls it with a
//! waker that wakes all who wait, and puts it back. So any reader may leave, or never poll again, and
//! the rest go on; when the last leaves, the source is dropped, which cancels the call upstream.
//!
//! Nothing is polled, woken or dropped under the lock.
//!
//! A reader that is slow costs the others time only where the log has no room left. All such time of a
//! flight is one sum, whichever reader was slow. Each time, a quarter of what is left of it may pass
//! until those who are behind are cut: so the sum is never exceeded, however many stall one after the
//! other, and a reader that was merely late to be polled is not cut for what others have spent.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::places::{ORIGINATOR, Place, Places};
use crate::{lock::Lock, memory_limit::MemoryPermit};

/// What a flight reads from: a head, then pieces, then an end.
pub(super) trait Source<H, P>: Send {
    /// Never called again once it has given an [`End`]. A piece that `waits` may stay in memory for a
    /// reader that is yet to come, or slow.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>, waits: bool) -> Poll<Step<H, P>>;
}

/// What a source gives.
pub(super) enum Step<H, P> {
    Head(H),
    Piece(P),
    End(End),
}

/// How a source ended.
pub(super) enum End {
    /// With all that there was to come.
    Complete,
    /// With something that is for the originator alone: an error, or a refusal of our own. Always
    /// in place of a head.
    Unshared(Box<dyn Any + Send>),
    /// After the head: no more will come, and not all has.
    Broken,
}

/// Something of a length, of which the readers get copies: a head, or a piece of a body.
pub(super) trait Piece: Clone + Send {
    fn length(&self) -> usize;
}

/// What a reader is told.
#[derive(Debug)]
pub(super) enum News<H, P> {
    Head(H),
    Piece(P),
    Complete,
    /// To the originator alone.
    Unshared(Box<dyn Any + Send>),
    /// To all others: this flight is none of theirs. They have been told nothing before.
    Alone,
    Broken,
    /// It was behind, and the others had waited for as long as they do.
    Cut,
}

/// A reader of a flight.
pub(super) struct Reader<H, P: Piece> {
    flight: Arc<Flight<H, P>>,
    id: u64,
}

/// Why there is no more joining.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// It is over, or its start is no longer there.
    Late,
    /// Its readers are as many as may be.
    Full,
}

/// Bounds of a flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many may read at once.
    pub(super) readers: usize,
    /// How much is kept for whoever may still come. A longer answer admits no more readers.
    pub(super) record: usize,
    /// How much the fastest may be ahead of the slowest, once nothing is kept.
    pub(super) window: usize,
    /// For how long readers wait for slower ones, in all.
    pub(super) patience: Duration,
    pub(super) now: fn() -> Instant,
}

pub(super) struct Flight<H, P> {
    state: Lock<State<H, P>>,
    bounds: Bounds,
    /// Wakes all who wait.
    fan: Waker,
}

struct State<H, P> {
    /// `None` until it is launched, while someone polls it, and when it is over.
    source: Option<Pin<Box<dyn Source<H, P>>>>,
    launched: bool,
    /// Someone woke since the source was taken out. Then whoever has it polls it again: the others
    /// were woken and found no source, and it may never be polled again itself.
    woken: bool,
    head: Option<H>,
    log: VecDeque<P>,
    /// Pieces, and their bytes, that stood before the log.
    dropped: (usize, usize),
    /// Bytes in the log.
    length: usize,
    /// Memory that the head and the log take.
    memory: usize,
    permit: MemoryPermit,
    /// There was no memory for all of the log: from then on, nothing waits in it.
    starved: bool,
    /// Since when readers have waited for slower ones, while they do.
    held_since: Option<Instant>,
    /// For how long they had waited before that, in all.
    held: Duration,
    over: Option<Over>,
    readers: Places,
    next_id: u64,
}

enum Over {
    Complete,
    Broken,
    /// With what the originator takes.
    Unshared(Option<Box<dyn Any + Send>>),
}

impl<H, P> Flight<H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    /// Begins one, which others may join before it has anything to read from. The reader is its
    /// originator. Its `permit` grows with what it holds in memory.
    pub(super) fn begin(bounds: Bounds, permit: MemoryPermit) -> Reader<H, P> {
        let state = State {
            source: None,
            launched: false,
            woken: false,
            head: None,
            log: VecDeque::new(),
            dropped: (0, 0),
            length: 0,
            memory: permit.bytes(),
            permit,
            starved: false,
            held_since: None,
            held: Duration::ZERO,
            over: None,
            readers: Places::of_originator(),
            next_id: ORIGINATOR + 1,
        };
        let flight = Arc::new_cyclic(|flight: &Weak<Self>| {
            let fan = Waker::from(Arc::new(Fan(Weak::clone(flight))));
            Self { state: Lock::new(state), bounds, fan }
        });
        Reader { flight, id: ORIGINATOR }
    }

    /// One more reader, from the start.
    pub(super) fn join(self: &Arc<Self>) -> Result<Reader<H, P>, Closed> {
        let mut state = self.state.lock();
        if state.over.is_some() || state.dropped.0 > 0 || state.starved || !state.has_readers() {
            return Err(Closed::Late);
        }
        if state.readers.len() >= self.bounds.readers {
            return Err(Closed::Full);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.readers.insert(id);
        drop(state);
        Ok(Reader { flight: Arc::clone(self), id })
    }
}

impl<H, P: Piece> Flight<H, P> {
    /// Reads all pieces that have come, under the lock. `None` when they are not all there any more.
    pub(super) fn with_log<T>(&self, read: impl FnOnce(&VecDeque<P>) -> T) -> Option<T> {
        let state = self.state.lock();
        state.is_kept(&self.bounds).then(|| read(&state.log))
    }
}

impl<H, P> Reader<H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    pub(super) fn flight(&self) -> &Arc<Flight<H, P>> {
        &self.flight
    }

    /// Gives the flight what it reads from. An originator that leaves without sends all others away.
    pub(super) fn launch(&self, source: Pin<Box<dyn Source<H, P>>>) {
        let mut state = self.flight.state.lock();
        state.source = Some(source);
        state.launched = true;
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What comes next. After an end, the same end again; but [`Unshared`](News::Unshared), which is
    /// told once and is [`Alone`](News::Alone) from then on.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "like all that is polled")]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<News<H, P>> {
        loop {
            let mut state = self.flight.state.lock();
            let (news, unused) = state.next_of(self.id, &self.flight.bounds);
            if let Some(news) = news {
                let wakers = if unused.is_empty() { Vec::new() } else { state.take_wakers() };
                drop(state);
                // Who waited for room may have it now.
                wakers.into_iter().for_each(Waker::wake);
                return Poll::Ready(news);
            }
            let replaced = state.register(self.id, cx.waker());
            let source = if state.has_room(self.id, &self.flight.bounds) {
                state.source.take()
            } else {
                None
            };
            state.woken &= source.is_none();
            let waits =
                state.is_kept(&self.flight.bounds) || state.readers.reading().nth(1).is_some();
            drop(state);
            drop(replaced);
            let Some(source) = source else { return Poll::Pending };

            let mut out = Out { flight: &self.flight, id: self.id, source: Some(source) };
            let polled = out.poll(&mut Context::from_waker(&self.flight.fan), waits);
            if out.put_back(polled).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// For how much longer this one waits for others who are behind. `None` when it does not.
    pub(super) fn patience(&self) -> Option<Duration> {
        let bounds = &self.flight.bounds;
        let mut state = self.flight.state.lock();
        if state.over.is_some() || !state.is_held_up(self.id, bounds) {
            return None;
        }
        let now = (bounds.now)();
        let since = *state.held_since.get_or_insert(now);
        Some(state.patience(bounds).saturating_sub(now.saturating_duration_since(since)))
    }

    /// Cuts those who are behind, so that this one can go on: unless they may still catch up.
    pub(super) fn cut_those_behind(&self) {
        let bounds = &self.flight.bounds;
        let mut state = self.flight.state.lock();
        let Some(since) = state.held_since else { return };
        let waited = (bounds.now)().saturating_duration_since(since);
        let patient = waited < state.patience(bounds);
        if patient || state.over.is_some() || !state.is_held_up(self.id, bounds) {
            return;
        }
        let (window, own) = (state.window(bounds), state.readers.get(self.id));
        let own = own.map_or(0, |place| place.read.1);
        for place in state.readers.all_mut() {
            place.cut |= own.saturating_sub(place.read.1) >= window;
        }
        let unused = state.trim(bounds);
        state.settle(bounds);
        let wakers = state.take_wakers();
        drop(state);
        drop(unused);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<H, P: Piece> Drop for Reader<H, P> {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        let place = state.readers.remove(self.id);
        if self.id == ORIGINATOR && !state.launched {
            state.over = Some(Over::Unshared(None));
        }
        // That of the last reader: the source is dropped, which cancels it. Readers that were cut,
        // and may never be polled again to see it, do not count.
        let source = if state.has_readers() { None } else { state.source.take() };
        let unused = state.trim(&self.flight.bounds);
        state.settle(&self.flight.bounds);
        let wakers = state.take_wakers();
        drop(state);
        drop((place, source, unused));
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A source that was taken out.
struct Out<'a, H, P> {
    flight: &'a Flight<H, P>,
    /// By this reader.
    id: u64,
    source: Option<Pin<Box<dyn Source<H, P>>>>,
}

impl<H, P> Out<'_, H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<Step<H, P>> {
        match &mut self.source {
            Some(source) => source.as_mut().poll_next(cx, waits),
            None => Poll::Pending,
        }
    }

    /// Puts the source back, and what it gave into the log. Pending when nothing came, and nobody
    /// woke meanwhile.
    fn put_back(mut self, polled: Poll<Step<H, P>>) -> Poll<()> {
        let source = self.source.take();
        let mut state = self.flight.state.lock();
        let Poll::Ready(step) = polled else {
            // All have left while it was polled: whoever was last found no source to drop.
            let woken = state.woken;
            let unused = if state.has_readers() {
                state.source = source;
                None
            } else {
                source
            };
            drop(state);
            drop(unused);
            return if woken { Poll::Ready(()) } else { Poll::Pending };
        };
        let mut over = None;
        match step {
            Step::Head(head) => {
                state.take_memory(memory_of(&head));
                state.head = Some(head);
            }
            Step::Piece(piece) => {
                state.take_memory(memory_of(&piece));
                state.length += piece.length();
                state.log.push_back(piece);
            }
            Step::End(End::Complete) => over = Some(Over::Complete),
            Step::End(End::Broken) => over = Some(Over::Broken),
            Step::End(End::Unshared(what)) => over = Some(Over::Unshared(Some(what))),
        }
        let ended = over.is_some();
        if ended {
            state.over = over;
        }
        let mut finished = None;
        if ended || !state.has_readers() {
            finished = source;
        } else {
            state.source = source;
        }
        let unused = state.trim(&self.flight.bounds);
        state.settle(&self.flight.bounds);
        // It looks again by itself.
        let own = state.readers.get_mut(self.id).and_then(|place| place.waker.take());
        let wakers = state.take_wakers();
        drop(state);
        drop((finished, unused, own));
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

impl<H, P> Drop for Out<'_, H, P> {
    fn drop(&mut self) {
        // Put back by now, unless it panicked.
        let Some(source) = self.source.take() else { return };
        let mut state = self.flight.state.lock();
        let has_head = state.head.is_some();
        state.over = Some(if has_head { Over::Broken } else { Over::Unshared(None) });
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(source);
    }
}

/// Wakes all who wait, while there are any.
struct Fan<H, P>(Weak<Flight<H, P>>);

impl<H, P> Wake for Fan<H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(flight) = self.0.upgrade() else { return };
        let mut state = flight.state.lock();
        state.woken = true;
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<H, P> State<H, P> {
    fn take_wakers(&mut self) -> Vec<Waker> {
        self.readers.all_mut().filter_map(|place| place.waker.take()).collect()
    }

    /// Whether anyone reads, or may.
    fn has_readers(&self) -> bool {
        self.readers.reading().next().is_some()
    }

    /// Counts so much more memory. Where there is none, what comes from now on waits for nobody.
    fn take_memory(&mut self, bytes: usize) {
        self.memory += bytes;
        self.starved |= self.permit.grow(bytes).is_err();
    }

    fn give_memory_back(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
        // What was starved has taken less than it holds.
        self.permit.shrink(self.permit.bytes().saturating_sub(self.memory));
    }

    /// For how long readers wait for slower ones this time.
    fn patience(&self, bounds: &Bounds) -> Duration {
        bounds.patience.saturating_sub(self.held) / 4
    }
}

impl<H, P: Piece> State<H, P> {
    /// What there is for this reader, and what nobody needs from then on.
    fn next_of(&mut self, id: u64, bounds: &Bounds) -> (Option<News<H, P>>, Vec<P>)
    where
        H: Clone,
    {
        let Some(place) = self.readers.get_mut(id) else { return (Some(News::Cut), Vec::new()) };
        if place.cut {
            return (Some(News::Cut), Vec::new());
        }
        if !place.has_head
            && let Some(head) = &self.head
        {
            place.has_head = true;
            return (Some(News::Head(head.clone())), Vec::new());
        }
        let at = place.read.0.saturating_sub(self.dropped.0);
        if let Some(piece) = self.log.get(at) {
            let piece = piece.clone();
            place.read = (place.read.0 + 1, place.read.1 + piece.length());
            // The slowest is looked for among all readers: only when it may have moved on.
            let unused = if at == 0 { self.trim(bounds) } else { Vec::new() };
            if !unused.is_empty() {
                self.settle(bounds);
            }
            return (Some(News::Piece(piece)), unused);
        }
        let news = match &mut self.over {
            None => None,
            Some(Over::Complete) => Some(News::Complete),
            Some(Over::Broken) => Some(News::Broken),
            Some(Over::Unshared(what)) if id == ORIGINATOR => {
                Some(what.take().map_or(News::Alone, News::Unshared))
            }
            Some(Over::Unshared(_)) => Some(News::Alone),
        };
        (news, Vec::new())
    }

    /// Keeps the waker for when there is more. The one before, for the caller to drop.
    fn register(&mut self, id: u64, waker: &Waker) -> Option<Waker> {
        let place = self.readers.get_mut(id)?;
        if place.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        place.waker.replace(waker.clone())
    }

    /// Whether one more piece may be fetched for this reader.
    fn has_room(&self, id: u64, bounds: &Bounds) -> bool {
        let Some(place) = self.readers.get(id) else { return false };
        // Where not all is kept, the log begins with the slowest.
        self.is_kept(bounds) || place.read.1.saturating_sub(self.dropped.1) < self.window(bounds)
    }

    /// Whether this reader has all that came, and no room for more.
    fn is_held_up(&self, id: u64, bounds: &Bounds) -> bool {
        let has_all = |place: &Place| !place.cut && place.read.0 == self.dropped.0 + self.log.len();
        self.readers.get(id).is_some_and(has_all) && !self.has_room(id, bounds)
    }

    /// Counts the time for which readers have waited for slower ones, if that is over now.
    fn settle(&mut self, bounds: &Bounds) {
        let Some(since) = self.held_since else { return };
        let all = self.dropped.0 + self.log.len();
        let ahead = self.length >= self.window(bounds) && !self.is_kept(bounds);
        let waits = |place: &Place| place.read.0 == all;
        if self.over.is_none() && ahead && self.readers.reading().any(waits) {
            return;
        }
        self.held_since = None;
        self.held = self.held.saturating_add((bounds.now)().saturating_duration_since(since));
    }

    /// How many bytes may wait for the slowest reader.
    fn window(&self, bounds: &Bounds) -> usize {
        if self.starved { 1 } else { bounds.window.max(1) }
    }

    /// Whether all is kept, for whoever may still come.
    fn is_kept(&self, bounds: &Bounds) -> bool {
        self.over.is_none() && !self.starved && self.dropped.0 == 0 && self.length <= bounds.record
    }

    /// The pieces, and their bytes, that every reader has.
    fn slowest(&self) -> (usize, usize) {
        self.readers.reading().map(|place| place.read).min().unwrap_or_default()
    }

    /// Takes out what all have read, unless all is kept.
    fn trim(&mut self, bounds: &Bounds) -> Vec<P> {
        if self.is_kept(bounds) || !self.has_readers() {
            return Vec::new();
        }
        let slowest = self.slowest();
        let count = slowest.0.saturating_sub(self.dropped.0).min(self.log.len());
        let unused: Vec<P> = self.log.drain(..count).collect();
        if !unused.is_empty() {
            self.length -= slowest.1 - self.dropped.1;
            self.dropped = slowest;
            self.give_memory_back(unused.iter().map(memory_of).sum());
        }
        unused
    }
}

/// Memory that a piece takes in a log that grows by doubling, with its part of what is left over at
/// the end of a block.
fn memory_of<T: Piece>(piece: &T) -> usize {
    const OF_PLACE: usize = 32;
    let length = piece.length();
    length + length / 4 + OF_PLACE
}

impl<H, P> fmt::Debug for Flight<H, P> {
    // Without what it carries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
