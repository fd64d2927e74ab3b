//! One future that many wait for, without a task that drives it.
//!
//! Whoever polls while nobody else does polls the future, with a waker that wakes all who wait. When
//! a waiter goes, any other goes on with the same future; when the last one goes, so does the future.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::lock::Lock;

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The future and who waits for it. Only waiters hold one, so that the last one's drop ends it.
struct Flight<T> {
    state: Lock<State<T>>,
    waiters: Arc<Waiters>,
}

enum State<T> {
    /// Nobody polls.
    Parked(Boxed<T>),
    /// Someone polls, and looks again at who else woke before it parks.
    Polled,
    /// Done; `None` when it panicked.
    Landed(Option<T>),
}

/// Where a flight is found by those who come later.
pub(super) struct Departure<T>(Weak<Flight<T>>);

impl<T> Default for Departure<T> {
    fn default() -> Self {
        Self(Weak::new())
    }
}

impl<T> Departure<T> {
    /// Starts `future` and waits for it.
    pub(super) fn start(&mut self, future: Boxed<T>, seat: Seat) -> Waiter<T> {
        let flight = Flight { state: Lock::new(State::Parked(future)), waiters: Arc::default() };
        let flight = Arc::new(flight);
        self.0 = Arc::downgrade(&flight);
        Waiter::new(flight, seat)
    }

    /// The one that is under way, if one is. Must not be dropped under a lock: the future may go
    /// with it.
    pub(super) fn under_way(&self) -> Option<UnderWay<T>> {
        self.0.upgrade().filter(|flight| !flight.landed()).map(UnderWay)
    }
}

/// A flight that had not landed a moment ago.
pub(super) struct UnderWay<T>(Arc<Flight<T>>);

impl<T> UnderWay<T> {
    pub(super) fn wait(self, seat: Seat) -> Waiter<T> {
        Waiter::new(self.0, seat)
    }
}

impl<T> Flight<T> {
    fn landed(&self) -> bool {
        matches!(*self.state.lock(), State::Landed(_))
    }

    fn land(&self, output: Option<T>) {
        *self.state.lock() = State::Landed(output);
        self.waiters.wake_all();
    }
}

/// Waits for a flight. `None` when the future panicked.
pub(super) struct Waiter<T> {
    flight: Arc<Flight<T>>,
    number: u64,
    _seat: Seat,
}

impl<T> Waiter<T> {
    fn new(flight: Arc<Flight<T>>, seat: Seat) -> Self {
        let number = flight.waiters.next.fetch_add(1, SeqCst);
        Self { flight, number, _seat: seat }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let flight = &self.flight;
        // Before the future is looked for: whoever finds it taken must be woken by whoever has it.
        flight.waiters.register(self.number, cx.waker());
        let mut future = {
            let mut state = flight.state.lock();
            match std::mem::replace(&mut *state, State::Polled) {
                State::Parked(future) => future,
                State::Polled => return Poll::Pending,
                State::Landed(output) => {
                    *state = State::Landed(output.clone());
                    return Poll::Ready(output);
                }
            }
        };

        flight.waiters.woken.store(false, SeqCst);
        let crash = Crash(flight);
        let waker = Waker::from(Arc::clone(&flight.waiters));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        std::mem::forget(crash);

        match polled {
            Poll::Ready(output) => {
                // Its parts may be anybody's, so they go before anyone is told.
                drop(future);
                flight.land(Some(output.clone()));
                Poll::Ready(Some(output))
            }
            Poll::Pending => {
                *flight.state.lock() = State::Parked(future);
                // Those who were woken meanwhile found it taken and went back to sleep.
                if flight.waiters.woken.load(SeqCst) {
                    flight.waiters.wake_all();
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.flight.waiters.forget(self.number);
        // A wake-up reaches every waiter, so none is lost with this one.
    }
}

/// Lands the flight when the future panics, so that nobody waits for what will not come.
struct Crash<'a, T>(&'a Flight<T>);

impl<T> Drop for Crash<'_, T> {
    fn drop(&mut self) {
        self.0.land(None);
    }
}

// === impl Waiters ===

/// The waker that the future gets. Apart from the flight, so that whoever keeps the waker does not
/// keep the future.
#[derive(Default)]
struct Waiters {
    woken: AtomicBool,
    next: AtomicU64,
    list: Lock<BTreeMap<u64, Waker>>,
}

impl Waiters {
    fn register(&self, number: u64, waker: &Waker) {
        // The one that it replaces is foreign: it goes after the lock.
        let _replaced = self.list.lock().insert(number, waker.clone());
    }

    fn forget(&self, number: u64) {
        let _gone = self.list.lock().remove(&number);
    }

    fn wake_all(&self) {
        let wakers: Vec<_> = self.list.lock().values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.wake_all();
    }
}

// === impl Seats ===

/// Bounds how many wait at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<AtomicUsize>);

impl Seats {
    /// `None` when `most` are taken.
    pub(super) fn take(&self, most: usize) -> Option<Seat> {
        let seat = |taken: usize| (taken < most).then_some(taken + 1);
        self.0.fetch_update(SeqCst, SeqCst, seat).ok().map(|_| Seat(Arc::clone(&self.0)))
    }
}

/// The right to wait; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
