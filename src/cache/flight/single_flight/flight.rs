use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{
    position::LEADER,
    source::{FlightBounds, FlightEvent, FlightSource, Piece, Step},
    state::{Ended, FlightState},
};
use crate::{lock::Lock, memory_limit::MemoryPermit};

/// A shared call in flight.
pub(crate) struct Flight<H, P> {
    state: Lock<FlightState<H, P>>,
    bounds: FlightBounds,
    /// Wakes every waiting reader.
    waker: Waker,
}

/// A reader of a flight.
pub(crate) struct Reader<H, P: Piece> {
    flight: Arc<Flight<H, P>>,
    id: u64,
}

/// The reason that a flight admits no reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum JoinError {
    /// The flight has ended, or its first pieces are no longer in the log.
    Late,
    /// The flight has its maximum number of readers.
    Full,
}

impl<H, P> Flight<H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    /// Creates a flight without a source and returns its leader. Others can join at once. `permit`
    /// grows with the memory of the flight.
    pub(crate) fn begin(bounds: FlightBounds, permit: MemoryPermit) -> Reader<H, P> {
        let flight = Arc::new_cyclic(|flight: &Weak<Self>| {
            let waker = Waker::from(Arc::new(WakeReaders(Weak::clone(flight))));
            Self { state: Lock::new(FlightState::new(permit)), bounds, waker }
        });
        Reader { flight, id: LEADER }
    }

    /// Adds a reader that begins with the first piece.
    pub(crate) fn join(self: &Arc<Self>) -> Result<Reader<H, P>, JoinError> {
        let mut state = self.state.lock();
        let late = state.ended.is_some() || state.dropped.0 > 0 || state.out_of_memory;
        if late || !state.has_readers() {
            return Err(JoinError::Late);
        }
        if state.positions.len() >= self.bounds.max_readers {
            return Err(JoinError::Full);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.positions.insert(id);
        drop(state);
        Ok(Reader { flight: Arc::clone(self), id })
    }
}

impl<H, P: Piece> Flight<H, P> {
    /// Reads the whole log under the lock. Returns `None` if pieces were dropped from it.
    pub(crate) fn with_log<T>(&self, read: impl FnOnce(&VecDeque<P>) -> T) -> Option<T> {
        let state = self.state.lock();
        state.is_recorded(&self.bounds).then(|| read(&state.log))
    }
}

impl<H, P> fmt::Debug for Flight<H, P> {
    // Without the state: it has bodies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

// === impl Reader ===

impl<H, P> Reader<H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    pub(crate) fn flight(&self) -> &Arc<Flight<H, P>> {
        &self.flight
    }

    /// Gives the flight its source. A leader that is dropped before sends all others away.
    pub(crate) fn launch(&self, source: Pin<Box<dyn FlightSource<H, P>>>) {
        let mut state = self.flight.state.lock();
        state.source = Some(source);
        state.launched = true;
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Polls for the next event. An end is repeated, but its outcome is returned once.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "poll methods take `&mut self`")]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<FlightEvent<H, P>> {
        loop {
            let mut state = self.flight.state.lock();
            let (event, unused) = state.next_event(self.id, &self.flight.bounds);
            if let Some(event) = event {
                let wakers = if unused.is_empty() { Vec::new() } else { state.take_wakers() };
                drop(state);
                // Readers that waited for room may have it now.
                wakers.into_iter().for_each(Waker::wake);
                return Poll::Ready(event);
            }
            let replaced = state.register(self.id, cx.waker());
            let source = if state.has_room(self.id, &self.flight.bounds) {
                state.source.take()
            } else {
                None
            };
            state.woken &= source.is_none();
            let may_wait = state.is_recorded(&self.flight.bounds) || state.has_several_readers();
            drop(state);
            drop(replaced);
            let Some(source) = source else { return Poll::Pending };

            let mut guard = PollGuard { flight: &self.flight, id: self.id, source: Some(source) };
            let polled = guard.poll(&mut Context::from_waker(&self.flight.waker), may_wait);
            if guard.put_back(polled).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Returns how much longer this reader waits for slower ones. Returns `None` if it does not
    /// wait for them.
    pub(crate) fn remaining_delay(&self) -> Option<Duration> {
        let bounds = &self.flight.bounds;
        let mut state = self.flight.state.lock();
        if state.ended.is_some() || !state.is_delayed(self.id, bounds) {
            return None;
        }
        let now = (bounds.now)();
        let since = *state.delayed_since.get_or_insert(now);
        Some(state.delay_limit(bounds).saturating_sub(now.saturating_duration_since(since)))
    }

    /// Cuts the readers that this one waits for, once the delay has reached its limit.
    pub(crate) fn cut_slow_readers(&self) {
        let bounds = &self.flight.bounds;
        let mut state = self.flight.state.lock();
        let Some(since) = state.delayed_since else { return };
        let delay = (bounds.now)().saturating_duration_since(since);
        let early = delay < state.delay_limit(bounds);
        if early || state.ended.is_some() || !state.is_delayed(self.id, bounds) {
            return;
        }
        state.cut_behind(self.id, bounds);
        let unused = state.trim(bounds);
        state.end_delay(bounds);
        let wakers = state.take_wakers();
        drop(state);
        drop(unused);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<H, P: Piece> Drop for Reader<H, P> {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        let position = state.positions.remove(self.id);
        let never_launched = self.id == LEADER && !state.launched;
        if never_launched {
            state.ended = Some(Ended::NotShared(None));
        }
        // The last reader drops the source, which cancels the call. Readers that were cut may never
        // be polled again, so they do not count.
        let source = if state.has_readers() { None } else { state.source.take() };
        let unused = match &position {
            Some(position) if !position.cut => state.leave(position.read, &self.flight.bounds),
            _ => Vec::new(),
        };
        state.end_delay(&self.flight.bounds);
        // The others wait for the launch or for room, or a call of several readers is now that of
        // one. Many readers may leave, so each of them must not wake all others.
        let wakes = never_launched || !unused.is_empty() || !state.has_several_readers();
        let wakers = if wakes { state.take_wakers() } else { Vec::new() };
        drop(state);
        drop((position, source, unused));
        wakers.into_iter().for_each(Waker::wake);
    }
}

// === impl PollGuard ===

/// A source that a reader has taken out to poll it.
struct PollGuard<'a, H, P: Piece> {
    flight: &'a Flight<H, P>,
    /// The reader.
    id: u64,
    source: Option<Pin<Box<dyn FlightSource<H, P>>>>,
}

impl<H, P> PollGuard<'_, H, P>
where
    H: Piece + 'static,
    P: Piece + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>, may_wait: bool) -> Poll<Step<H, P>> {
        match &mut self.source {
            Some(source) => source.as_mut().poll_next(cx, may_wait),
            None => Poll::Pending,
        }
    }

    /// Puts the source back and its step into the log. Returns pending if there was no step and the
    /// source has not woken a reader meanwhile.
    fn put_back(mut self, polled: Poll<Step<H, P>>) -> Poll<()> {
        let source = self.source.take();
        let mut state = self.flight.state.lock();
        let Poll::Ready(step) = polled else {
            let woken = state.woken;
            // If all readers left during the poll then the last one found no source to drop.
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
        let ended = matches!(step, Step::End(_));
        state.add(step);
        let mut finished = None;
        if ended || !state.has_readers() {
            finished = source;
        } else {
            state.source = source;
        }
        let unused = state.trim(&self.flight.bounds);
        state.end_delay(&self.flight.bounds);
        // This reader reads the log next and needs no wake-up.
        let own = state.positions.get_mut(self.id).and_then(|position| position.waker.take());
        let wakers = state.take_wakers();
        drop(state);
        drop((finished, unused, own));
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

impl<H, P: Piece> Drop for PollGuard<'_, H, P> {
    fn drop(&mut self) {
        // The source is still here only after a panic.
        let Some(source) = self.source.take() else { return };
        let mut state = self.flight.state.lock();
        let has_head = state.head.is_some();
        state.ended = Some(if has_head { Ended::Broken } else { Ended::NotShared(None) });
        let unused = state.trim(&self.flight.bounds);
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop((source, unused));
    }
}

/// Wakes every waiting reader of a flight.
struct WakeReaders<H, P>(Weak<Flight<H, P>>);

impl<H, P> Wake for WakeReaders<H, P>
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
