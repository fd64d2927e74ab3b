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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Flag {
        fn take(&self) -> bool {
            self.0.swap(false, SeqCst)
        }
    }

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    fn flag() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag::default());
        (Arc::clone(&flag), Waker::from(flag))
    }

    fn poll<T: Clone>(waiter: &mut Waiter<T>, waker: &Waker) -> Poll<Option<T>> {
        Pin::new(waiter).poll(&mut Context::from_waker(waker))
    }

    fn seat() -> Seat {
        Seats::default().take(1).unwrap()
    }

    /// A future that ends when told, and keeps the waker it was last polled with.
    #[derive(Clone, Default)]
    struct Gate(Arc<Lock<(bool, Option<Waker>)>>);

    impl Gate {
        fn future(&self) -> Boxed<u8> {
            let gate = self.clone();
            Box::pin(poll_fn(move |cx| {
                let mut gate = gate.0.lock();
                gate.1 = Some(cx.waker().clone());
                if gate.0 { Poll::Ready(7) } else { Poll::Pending }
            }))
        }

        fn open(&self) {
            let waker = {
                let mut gate = self.0.lock();
                gate.0 = true;
                gate.1.take()
            };
            waker.unwrap().wake();
        }
    }

    #[test]
    fn all_are_woken_and_any_of_them_can_go_on() {
        let gate = Gate::default();
        let mut departure = Departure::default();
        let mut one = departure.start(gate.future(), seat());
        let mut two = departure.under_way().unwrap().wait(seat());
        let ((flag_one, waker_one), (flag_two, waker_two)) = (flag(), flag());
        assert!(poll(&mut one, &waker_one).is_pending());
        assert!(poll(&mut two, &waker_two).is_pending());
        gate.open();
        assert!(flag_one.take() && flag_two.take());
        // The one that began it never polls again.
        assert_eq!(poll(&mut two, &waker_two), Poll::Ready(Some(7)));
        assert!(flag_one.take());
        assert!(departure.under_way().is_none());
        assert_eq!(poll(&mut one, &waker_one), Poll::Ready(Some(7)));
    }

    #[test]
    fn one_who_found_it_taken_is_woken_when_it_was_woken_meanwhile() {
        let mut departure = Departure::default();
        let second = Arc::new(Lock::new(None::<Waiter<u8>>));
        let (flag_two, waker_two) = flag();
        let future = {
            let (second, flag_two, waker_two) =
                (Arc::clone(&second), Arc::clone(&flag_two), waker_two);
            poll_fn(move |cx| {
                let waiter = second.lock().take();
                if let Some(mut waiter) = waiter {
                    // While the first polls: the second comes, the future is woken, and the second
                    // looks again before the first has put it back.
                    assert!(poll(&mut waiter, &waker_two).is_pending());
                    cx.waker().wake_by_ref();
                    assert!(flag_two.take());
                    assert!(poll(&mut waiter, &waker_two).is_pending());
                    *second.lock() = Some(waiter);
                }
                Poll::Pending
            })
        };
        let mut one = departure.start(Box::pin(future), seat());
        *second.lock() = Some(departure.under_way().unwrap().wait(seat()));
        assert!(poll(&mut one, &flag().1).is_pending());
        // Should the first never poll again, the second must know.
        assert!(flag_two.take());
        second.lock().take();
    }

    #[test]
    fn the_last_one_to_go_takes_the_future_with_it() {
        struct Gone(Arc<AtomicBool>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let gone = Arc::new(AtomicBool::new(false));
        let gate = Gate::default();
        let mut departure = Departure::default();
        let future = {
            let (guard, future) = (Gone(Arc::clone(&gone)), gate.future());
            Box::pin(async move {
                let _guard = guard;
                future.await
            })
        };
        let mut one = departure.start(future, seat());
        let two = departure.under_way().unwrap().wait(seat());
        assert!(poll(&mut one, &flag().1).is_pending());
        drop(one);
        assert!(!gone.load(SeqCst));
        // The waker that the future has given away keeps nothing.
        drop(two);
        assert!(gone.load(SeqCst));
        assert!(departure.under_way().is_none());
        gate.open();
    }

    #[test]
    fn a_panic_lands_it_for_all() {
        let mut departure = Departure::<u8>::default();
        let mut one = departure.start(Box::pin(async { panic!("as the test wants it") }), seat());
        let mut two = departure.under_way().unwrap().wait(seat());
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut one, &flag().1)));
        assert!(panicked.is_err());
        assert_eq!(poll(&mut two, &flag().1), Poll::Ready(None));
        assert!(departure.under_way().is_none());
    }

    #[test]
    fn seats_are_bounded_and_come_back() {
        let seats = Seats::default();
        assert!(seats.take(0).is_none());
        let (one, two) = (seats.take(2), seats.take(2));
        assert!(one.is_some() && two.is_some() && seats.take(2).is_none());
        drop(one);
        assert!(seats.take(2).is_some());
    }

    #[test]
    fn many_threads_wait_for_one_future() {
        for _ in 0..200 {
            let gate = Gate::default();
            let mut departure = Departure::default();
            let first = departure.start(gate.future(), seat());
            let waiters = (0..4).map(|_| departure.under_way().unwrap().wait(seat()));
            let waiters: Vec<_> = waiters.chain([first]).collect();
            std::thread::scope(|scope| {
                for (index, waiter) in waiters.into_iter().enumerate() {
                    scope.spawn(move || {
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().build().unwrap();
                        runtime.block_on(async {
                            let mut waiter = pin!(waiter);
                            if index == 0 {
                                // Polls once, and goes.
                                poll_fn(|cx| Poll::Ready(waiter.as_mut().poll(cx).is_ready()))
                                    .await;
                            } else {
                                assert_eq!(waiter.await, Some(7));
                            }
                        });
                    });
                }
                while gate.0.lock().1.is_none() {
                    std::thread::yield_now();
                }
                gate.open();
            });
        }
    }
}
