//! Waits for something rare beside something that is polled often.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use pin_project_lite::pin_project;

pin_project! {
    /// Polls a future only after its own wake, not with each wake of its task.
    ///
    /// The task of a connection wakes several times for each request, and the end of the connection is then
    /// no nearer.
    pub(crate) struct Seldom<F> {
        #[pin]
        future: F,
        bell: Arc<Bell>,
        // The bell as a waker.
        waker: Waker,
        // The task that the bell wakes.
        task: Option<Waker>,
    }
}

/// Remembers a wake and passes it on to the task.
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        // The first poll is due.
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::new(None) });
        let waker = Waker::from(Arc::clone(&bell));
        Self { future, bell, waker, task: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *this.task = Some(cx.waker().clone());
            // Before the look at the bell: a wake that missed this waker has rung it.
            *this.bell.task.lock().unwrap_or_else(PoisonError::into_inner) = this.task.clone();
        }
        if this.bell.rung.load(SeqCst) {
            this.bell.rung.store(false, SeqCst);
            return this.future.poll(&mut Context::from_waker(this.waker));
        }
        Poll::Pending
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use super::*;

    /// Counts its wakes.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn it_is_polled_after_its_own_wake_alone() {
        let mut polls = 0;
        let mut seldom = Box::pin(Seldom::new(poll_fn(|_cx| {
            polls += 1;
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })));
        let tasks: [Arc<Task>; 2] = Default::default();
        let wakes = || tasks.each_ref().map(|task| task.0.load(SeqCst));
        let mut poll = |task: &Arc<Task>| {
            let waker = Waker::from(Arc::clone(task));
            let polled = seldom.as_mut().poll(&mut Context::from_waker(&waker));
            (polled, seldom.bell.rung.load(SeqCst), seldom.waker.clone())
        };
        let [one, other] = &tasks;
        let (polled, rung, waker) = poll(one);
        assert!(polled.is_pending() && !rung);
        // Polls without a wake do not reach it.
        assert!(poll(one).0.is_pending() && poll(other).0.is_pending());
        // The last task that polled is woken.
        waker.wake_by_ref();
        assert_eq!(wakes(), [0, 1]);
        assert!(poll(one).0.is_pending());
        waker.wake_by_ref();
        assert_eq!(wakes(), [1, 1]);
        assert!(poll(one).0.is_ready());
        drop(seldom);
        assert_eq!(polls, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_its_future_does() {
        let second = std::time::Duration::from_secs(1);
        let start = tokio::time::Instant::now();
        Seldom::new(tokio::time::sleep(second)).await;
        assert_eq!(start.elapsed(), second);
    }

    #[tokio::test]
    async fn a_wake_within_its_poll_is_not_lost() {
        Seldom::new(tokio::task::yield_now()).await;
        let mut polls = 0;
        Seldom::new(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
    }
}
