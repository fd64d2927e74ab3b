//! One future that many wait for, without a task that drives it.
//!
//! Whoever polls while nobody else does polls the future, with a waker that wakes all who wait. When
//! a waiter goes, any other goes on with the same future; when the last one goes, the future is kept
//! for the next one who comes.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::lock::Lock;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The future and who waits for it.
struct SharedFuture<T> {
    state: Lock<PollState<T>>,
    waiters: Arc<WaiterList>,
}

enum PollState<T> {
    /// Nobody polls.
    Idle(BoxFuture<T>),
    /// Someone polls, and looks again at who else woke before it parks.
    Polling,
    /// Done; `None` when it panicked.
    Done(Option<T>),
}

/// Where a shared is found by those who come later. It keeps the shared, so that one who starts it
/// and leaves takes it from nobody.
pub(super) struct FetchSlot<T>(Option<Arc<SharedFuture<T>>>);

impl<T> Default for FetchSlot<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> FetchSlot<T> {
    /// Starts `future` and waits for it.
    pub(super) fn start(&mut self, future: BoxFuture<T>, permit: WaitPermit) -> Waiter<T> {
        let shared = SharedFuture { state: Lock::new(PollState::Idle(future)), waiters: Arc::default() };
        let shared = Arc::new(shared);
        self.0 = Some(Arc::clone(&shared));
        Waiter::new(shared, permit)
    }

    /// The one that is under way, if one is.
    pub(super) fn in_progress(&self) -> Option<InProgress<T>> {
        self.0.as_ref().filter(|shared| !shared.is_done()).cloned().map(InProgress)
    }

    /// Gives up the shared. What comes back must not be dropped under a lock: the future may go
    /// with it.
    pub(super) fn abandon(&mut self) -> Self {
        Self(self.0.take())
    }
}

/// A shared that had not landed a moment ago.
pub(super) struct InProgress<T>(Arc<SharedFuture<T>>);

impl<T> InProgress<T> {
    pub(super) fn wait(self, permit: WaitPermit) -> Waiter<T> {
        Waiter::new(self.0, permit)
    }

    /// Whether those who waited have all gone.
    pub(super) fn has_no_waiters(&self) -> bool {
        self.0.waiters.list.lock().is_empty()
    }
}

impl<T> SharedFuture<T> {
    fn is_done(&self) -> bool {
        matches!(*self.state.lock(), PollState::Done(_))
    }

    fn finish(&self, output: Option<T>) {
        *self.state.lock() = PollState::Done(output);
        self.waiters.wake_all();
    }
}

/// Waits for a shared. `None` when the future panicked.
pub(super) struct Waiter<T> {
    shared: Arc<SharedFuture<T>>,
    number: u64,
    _seat: WaitPermit,
}

impl<T> Waiter<T> {
    fn new(shared: Arc<SharedFuture<T>>, permit: WaitPermit) -> Self {
        let number = shared.waiters.next.fetch_add(1, SeqCst);
        // At once, so that nobody takes the shared for deserted.
        shared.waiters.register(number, Waker::noop());
        Self { shared, number, _seat: permit }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let shared = &self.shared;
        // Before the future is looked for: whoever finds it taken must be woken by whoever has it.
        shared.waiters.register(self.number, cx.waker());
        let mut future = {
            let mut state = shared.state.lock();
            match std::mem::replace(&mut *state, PollState::Polling) {
                PollState::Idle(future) => future,
                PollState::Polling => return Poll::Pending,
                PollState::Done(output) => {
                    *state = PollState::Done(output.clone());
                    return Poll::Ready(output);
                }
            }
        };

        shared.waiters.woken.store(false, SeqCst);
        let guard = PanicGuard(shared);
        let waker = Waker::from(Arc::clone(&shared.waiters));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        std::mem::forget(guard);

        match polled {
            Poll::Ready(output) => {
                // Its parts may be anybody's, so they go before anyone is told.
                drop(future);
                shared.finish(Some(output.clone()));
                Poll::Ready(Some(output))
            }
            Poll::Pending => {
                *shared.state.lock() = PollState::Idle(future);
                // Those who were woken meanwhile found it taken and went back to sleep.
                if shared.waiters.woken.load(SeqCst) {
                    shared.waiters.wake_all();
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        self.shared.waiters.remove(self.number);
        // A wake-up reaches every waiter, so none is lost with this one.
    }
}

/// Lands the shared when the future panics, so that nobody waits for what will not come.
struct PanicGuard<'a, T>(&'a SharedFuture<T>);

impl<T> Drop for PanicGuard<'_, T> {
    fn drop(&mut self) {
        self.0.finish(None);
    }
}

// === impl WaiterList ===

/// The waker that the future gets. Apart from the shared, so that whoever keeps the waker does not
/// keep the future.
#[derive(Default)]
struct WaiterList {
    woken: AtomicBool,
    next: AtomicU64,
    list: Lock<BTreeMap<u64, Waker>>,
}

impl WaiterList {
    fn register(&self, number: u64, waker: &Waker) {
        // The one that it replaces is foreign: it goes after the lock.
        let _replaced = self.list.lock().insert(number, waker.clone());
    }

    fn remove(&self, number: u64) {
        let _gone = self.list.lock().remove(&number);
    }

    fn wake_all(&self) {
        let wakers: Vec<_> = self.list.lock().values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Wake for WaiterList {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.wake_all();
    }
}

// === impl WaitPermits ===

/// Bounds how many wait at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitPermits(Arc<AtomicUsize>);

impl WaitPermits {
    /// `None` when `most` are taken.
    pub(super) fn acquire(&self, max: usize) -> Option<WaitPermit> {
        let permit = |taken: usize| (taken < max).then_some(taken + 1);
        self.0.fetch_update(SeqCst, SeqCst, permit).ok().map(|_| WaitPermit(Arc::clone(&self.0)))
    }
}

/// The right to wait; given back when dropped.
#[derive(Debug)]
pub(super) struct WaitPermit(Arc<AtomicUsize>);

impl Drop for WaitPermit {
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

    fn permit() -> WaitPermit {
        WaitPermits::default().acquire(1).unwrap()
    }

    /// A future that ends when told, and keeps the waker it was last polled with.
    #[derive(Clone, Default)]
    struct Gate(Arc<Lock<(bool, Option<Waker>)>>);

    impl Gate {
        fn future(&self) -> BoxFuture<u8> {
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
        let mut slot = FetchSlot::default();
        let mut one = slot.start(gate.future(), permit());
        let mut two = slot.in_progress().unwrap().wait(permit());
        let ((flag_one, waker_one), (flag_two, waker_two)) = (flag(), flag());
        assert!(poll(&mut one, &waker_one).is_pending());
        assert!(poll(&mut two, &waker_two).is_pending());
        gate.open();
        assert!(flag_one.take() && flag_two.take());
        // The one that began it never polls again.
        assert_eq!(poll(&mut two, &waker_two), Poll::Ready(Some(7)));
        assert!(flag_one.take());
        assert!(slot.in_progress().is_none());
        assert_eq!(poll(&mut one, &waker_one), Poll::Ready(Some(7)));
    }

    #[test]
    fn one_who_found_it_taken_is_woken_when_it_was_woken_meanwhile() {
        let mut slot = FetchSlot::default();
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
        let mut one = slot.start(Box::pin(future), permit());
        *second.lock() = Some(slot.in_progress().unwrap().wait(permit()));
        assert!(poll(&mut one, &flag().1).is_pending());
        // Should the first never poll again, the second must know.
        assert!(flag_two.take());
        second.lock().take();
    }

    #[test]
    fn the_future_is_kept_until_it_is_given_up() {
        struct Gone(Arc<AtomicBool>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let gone = Arc::new(AtomicBool::new(false));
        let gate = Gate::default();
        let mut slot = FetchSlot::default();
        let future = {
            let (guard, future) = (Gone(Arc::clone(&gone)), gate.future());
            Box::pin(async move {
                let _guard = guard;
                future.await
            })
        };
        let mut one = slot.start(future, permit());
        let two = slot.in_progress().unwrap().wait(permit());
        assert!(poll(&mut one, &flag().1).is_pending());
        assert!(!slot.in_progress().unwrap().has_no_waiters());
        drop(one);
        drop(two);
        assert!(slot.in_progress().unwrap().has_no_waiters());
        assert!(!gone.load(SeqCst));
        // The waker that the future has given away keeps nothing.
        drop(slot.abandon());
        assert!(gone.load(SeqCst));
        assert!(slot.in_progress().is_none());
        gate.open();
    }

    #[test]
    fn a_panic_lands_it_for_all() {
        let mut slot = FetchSlot::<u8>::default();
        let mut one = slot.start(Box::pin(async { panic!("as the test wants it") }), permit());
        let mut two = slot.in_progress().unwrap().wait(permit());
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut one, &flag().1)));
        assert!(panicked.is_err());
        assert_eq!(poll(&mut two, &flag().1), Poll::Ready(None));
        assert!(slot.in_progress().is_none());
    }

    #[test]
    fn seats_are_bounded_and_come_back() {
        let wait_permits = WaitPermits::default();
        assert!(wait_permits.acquire(0).is_none());
        let (one, two) = (wait_permits.acquire(2), wait_permits.acquire(2));
        assert!(one.is_some() && two.is_some() && wait_permits.acquire(2).is_none());
        drop(one);
        assert!(wait_permits.acquire(2).is_some());
    }

    #[test]
    fn many_threads_wait_for_one_future() {
        for _ in 0..200 {
            let gate = Gate::default();
            let mut slot = FetchSlot::default();
            let first = slot.start(gate.future(), permit());
            let waiters = (0..4).map(|_| slot.in_progress().unwrap().wait(permit()));
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
