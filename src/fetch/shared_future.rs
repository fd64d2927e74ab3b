//! One future that several waiters poll. No task drives it.
//!
//! Any waiter may poll the future. It passes a waker that wakes every waiter. When a waiter is
//! dropped another one polls the same future. When the last waiter is dropped the slot keeps the
//! future for the next waiter.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::wait_permit::WaitPermit;
use crate::lock::Lock;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct SharedFuture<T> {
    state: Lock<PollState<T>>,
    waiters: Arc<WaiterList>,
}

enum PollState<T> {
    /// No waiter polls the future.
    Idle(BoxFuture<T>),
    /// A waiter polls the future. It checks for wake-ups before it puts the future back.
    Polling,
    /// The future is finished. `None` means that it panicked.
    Done(Option<T>),
}

/// Holds the current future so that later requests find it. The slot also keeps the future alive
/// while nobody waits.
pub(crate) struct FetchSlot<T>(Option<Arc<SharedFuture<T>>>);

impl<T> Default for FetchSlot<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> FetchSlot<T> {
    /// Puts `future` into the slot and returns its first waiter.
    pub(crate) fn start(&mut self, future: BoxFuture<T>, permit: WaitPermit) -> Waiter<T> {
        let shared =
            SharedFuture { state: Lock::new(PollState::Idle(future)), waiters: Arc::default() };
        let shared = Arc::new(shared);
        self.0 = Some(Arc::clone(&shared));
        Waiter::new(shared, permit)
    }

    /// Returns the current future unless it is finished.
    pub(crate) fn in_progress(&self) -> Option<InProgress<T>> {
        self.0.as_ref().filter(|shared| !shared.is_done()).cloned().map(InProgress)
    }

    /// Empties the slot. The returned slot may own the future, so it must be dropped outside of
    /// locks.
    pub(crate) fn abandon(&mut self) -> Self {
        Self(self.0.take())
    }
}

/// A future that was unfinished when the slot was read.
pub(crate) struct InProgress<T>(Arc<SharedFuture<T>>);

impl<T> InProgress<T> {
    pub(crate) fn wait(self, permit: WaitPermit) -> Waiter<T> {
        Waiter::new(self.0, permit)
    }

    pub(crate) fn has_no_waiters(&self) -> bool {
        self.0.waiters.wakers.lock().is_empty()
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

/// Waits for a shared future. Resolves to `None` if the future panicked.
pub(crate) struct Waiter<T> {
    shared: Arc<SharedFuture<T>>,
    id: u64,
    _permit: WaitPermit,
}

impl<T> Waiter<T> {
    fn new(shared: Arc<SharedFuture<T>>, permit: WaitPermit) -> Self {
        let id = shared.waiters.next_id.fetch_add(1, SeqCst);
        // Registered before the first poll. Otherwise the future would look abandoned.
        shared.waiters.register(id, Waker::noop());
        Self { shared, id, _permit: permit }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let shared = &self.shared;
        // Registered before the state is read. A waiter that finds `Polling` relies on the polling
        // waiter to wake it.
        shared.waiters.register(self.id, cx.waker());
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
                // The future may own the caller's values. They are dropped before the other waiters
                // wake up.
                drop(future);
                shared.finish(Some(output.clone()));
                Poll::Ready(Some(output))
            }
            Poll::Pending => {
                *shared.state.lock() = PollState::Idle(future);
                // Waiters that were woken during the poll found `Polling` and went back to sleep.
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
        // No wake-up is lost. Each one reaches every waiter.
        self.shared.waiters.remove(self.id);
    }
}

/// Finishes the future when its poll panics, so that no waiter waits for ever.
struct PanicGuard<'a, T>(&'a SharedFuture<T>);

impl<T> Drop for PanicGuard<'_, T> {
    fn drop(&mut self) {
        self.0.finish(None);
    }
}

// === impl WaiterList ===

/// The waker that the future receives. It does not own the future, so a stored waker does not keep
/// the future alive.
#[derive(Default)]
struct WaiterList {
    woken: AtomicBool,
    next_id: AtomicU64,
    wakers: Lock<BTreeMap<u64, Waker>>,
}

impl WaiterList {
    fn register(&self, id: u64, waker: &Waker) {
        // The replaced waker runs foreign code when it is dropped. That happens after the lock.
        let _replaced = self.wakers.lock().insert(id, waker.clone());
    }

    fn remove(&self, id: u64) {
        let _removed = self.wakers.lock().remove(&id);
    }

    fn wake_all(&self) {
        let wakers: Vec<_> = self.wakers.lock().values().cloned().collect();
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

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::{super::wait_permit::WaitPermits, *};

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

    /// Makes a future that finishes when the gate opens. Stores the last waker.
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
    fn every_waiter_is_woken_and_any_can_finish_the_future() {
        let gate = Gate::default();
        let mut slot = FetchSlot::default();
        let mut one = slot.start(gate.future(), permit());
        let mut two = slot.in_progress().unwrap().wait(permit());
        let ((flag_one, waker_one), (flag_two, waker_two)) = (flag(), flag());
        assert!(poll(&mut one, &waker_one).is_pending());
        assert!(poll(&mut two, &waker_two).is_pending());
        gate.open();
        assert!(flag_one.take() && flag_two.take());
        // The waiter that started the future never polls again.
        assert_eq!(poll(&mut two, &waker_two), Poll::Ready(Some(7)));
        assert!(flag_one.take());
        assert!(slot.in_progress().is_none());
        assert_eq!(poll(&mut one, &waker_one), Poll::Ready(Some(7)));
    }

    #[test]
    fn wake_during_a_poll_is_not_lost() {
        let mut slot = FetchSlot::default();
        let second = Arc::new(Lock::new(None::<Waiter<u8>>));
        let (flag_two, waker_two) = flag();
        let future = {
            let (second, flag_two, waker_two) =
                (Arc::clone(&second), Arc::clone(&flag_two), waker_two);
            poll_fn(move |cx| {
                let waiter = second.lock().take();
                if let Some(mut waiter) = waiter {
                    // The second waiter polls while the first one polls. The future is woken. The
                    // second waiter polls again before the first one puts the future back.
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
        // The second waiter must be woken, because the first one may never poll again.
        assert!(flag_two.take());
        second.lock().take();
    }

    #[test]
    fn future_without_waiters_is_kept_until_it_is_abandoned() {
        struct DropFlag(Arc<AtomicBool>);
        impl Drop for DropFlag {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let gate = Gate::default();
        let mut slot = FetchSlot::default();
        let future = {
            let (guard, future) = (DropFlag(Arc::clone(&dropped)), gate.future());
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
        assert!(!dropped.load(SeqCst));
        // The waker that the gate stored does not keep the future alive.
        drop(slot.abandon());
        assert!(dropped.load(SeqCst));
        assert!(slot.in_progress().is_none());
        gate.open();
    }

    #[test]
    fn panic_finishes_the_future_for_every_waiter() {
        let mut slot = FetchSlot::<u8>::default();
        let mut one = slot.start(Box::pin(async { panic!("expected by the test") }), permit());
        let mut two = slot.in_progress().unwrap().wait(permit());
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut one, &flag().1)));
        assert!(panicked.is_err());
        assert_eq!(poll(&mut two, &flag().1), Poll::Ready(None));
        assert!(slot.in_progress().is_none());
    }

    #[test]
    fn waiters_on_many_threads_share_one_future() {
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
                                // Polls once and is dropped.
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
