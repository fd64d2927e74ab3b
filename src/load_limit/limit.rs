use std::{
    fmt,
    hash::Hash,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    callers::{Caller, Callers},
    queue::{Queue, Waiter},
    share::Share,
};
use crate::{
    body::{BodyEnd, Watch},
    lock::Lock,
};

/// A limit on requests in flight. Clones share one limit. A setter creates a free one.
#[derive(Clone)]
pub(crate) struct LoadLimit {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Settings {
    max_in_flight: usize,
    max_queued: usize,
    queue_timeout: Duration,
    share: Share,
}

struct Shared {
    settings: Settings,
    taken: AtomicUsize,
    callers: Callers,
    // Mirrors the length of the queue, so that the pass path does not lock it. A request that begins to
    // wait raises it before its last try for a permit, and a permit is returned before it is read.
    // `SeqCst` on both makes one of the two see the other.
    waiting: AtomicUsize,
    queue: Lock<Queue>,
}

/// The outcome of a request for a permit.
pub(crate) enum Acquired {
    Now(LoadPermit),
    Later(LoadWait),
    Rejected(NoPermit),
}

/// The reason why a request gets no permit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoPermit {
    /// All permits and all places are taken.
    Full,
    /// The caller has its share and what is free is reserved for other callers.
    Share,
}

impl LoadLimit {
    /// Creates a limit of `max_in_flight` requests without a queue and without shares. Zero rejects
    /// every request.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self::from_settings(Settings {
            max_in_flight,
            max_queued: 0,
            queue_timeout: Duration::from_secs(30),
            share: Share::ALL,
        })
    }

    /// Sets the number of permits. Zero rejects every request.
    pub(crate) fn max_in_flight(self, requests: usize) -> Self {
        self.change(|settings| settings.max_in_flight = requests)
    }

    /// Sets how many requests may wait. Defaults to 0.
    pub(crate) fn max_queued(self, requests: usize) -> Self {
        self.change(|settings| settings.max_queued = requests)
    }

    /// Sets how long a request may wait. Defaults to 30 seconds.
    pub(crate) fn queue_timeout(self, timeout: Duration) -> Self {
        self.change(|settings| settings.queue_timeout = timeout)
    }

    /// Sets the share of permits and places in percent that one caller may take while fewer than a
    /// quarter of all are free. Defaults to 100.
    pub(crate) fn caller_share(self, percent: u8) -> Self {
        self.change(|settings| settings.share = Share::of_percent(percent))
    }

    /// Creates a free limit with the same settings.
    pub(crate) fn free(self) -> Self {
        self.change(|_| {})
    }

    fn change(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Self::from_settings(settings)
    }

    fn from_settings(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                taken: AtomicUsize::new(0),
                callers: Callers::new(),
                waiting: AtomicUsize::new(0),
                queue: Lock::default(),
            }),
        }
    }

    /// Returns the number of permits.
    pub(crate) fn max(&self) -> usize {
        self.shared.settings.max_in_flight
    }

    /// Returns how many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        self.shared.taken.load(SeqCst)
    }

    /// Returns how many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(SeqCst)
    }

    /// Returns whether one caller may take everything.
    pub(crate) fn has_shares(&self) -> bool {
        !self.shared.settings.share.is_all()
    }

    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.shared.callers.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.shared.callers.capacity()
    }

    /// Returns the caller with `key`.
    pub(crate) fn caller(&self, key: impl Hash) -> Caller {
        self.shared.callers.caller(key)
    }

    /// Takes a permit or a place in the queue. A request without a caller has no share.
    pub(crate) fn acquire(&self, caller: Option<Caller>) -> Acquired {
        let shared = &self.shared;
        // A request that comes later does not overtake a waiting one.
        if shared.waiting.load(SeqCst) > 0 {
            return self.acquire_slowly(caller);
        }
        match shared.take(caller) {
            Ok(()) => Acquired::Now(LoadPermit { shared: Some(Arc::clone(shared)), caller }),
            Err(reason) if shared.settings.max_queued == 0 => Acquired::Rejected(reason),
            Err(_) => self.acquire_slowly(caller),
        }
    }

    #[cold]
    fn acquire_slowly(&self, caller: Option<Caller>) -> Acquired {
        let shared = &self.shared;
        let settings = &shared.settings;
        let mut queue = shared.queue.lock();
        let woken = shared.grant(&mut queue);
        // Announced before the last try. See `Shared::waiting`.
        shared.waiting.store(queue.waiting() + 1, SeqCst);
        let acquired = match shared.take(caller) {
            Ok(()) => Acquired::Now(LoadPermit { shared: Some(Arc::clone(shared)), caller }),
            Err(reason) if settings.max_in_flight == 0 => Acquired::Rejected(reason),
            Err(reason) => match queue.push(caller, settings.max_queued, settings.share) {
                Some(waiter) => Acquired::Later(LoadWait {
                    shared: Some(Arc::clone(shared)),
                    waiter,
                    caller,
                    reason,
                    deadline: Instant::now().checked_add(settings.queue_timeout),
                    timer: None,
                }),
                // Another caller would have got a place.
                None if queue.waiting() < settings.max_queued => {
                    Acquired::Rejected(NoPermit::Share)
                }
                None => Acquired::Rejected(reason),
            },
        };
        shared.waiting.store(queue.waiting(), SeqCst);
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
        acquired
    }
}

impl fmt::Debug for LoadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadLimit")
            .field("settings", &self.shared.settings)
            .field("taken", &self.taken())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Takes a permit for `caller`.
    fn take(&self, caller: Option<Caller>) -> Result<(), NoPermit> {
        let Settings { max_in_flight: max, share, .. } = self.settings;
        match caller {
            None => self.take_below(max),
            Some(caller) => {
                self.callers.add_if(caller, |own| self.take_below(share.limit(max, own)))
            }
        }
    }

    /// Returns why the waiting requests of `caller` have no permit.
    fn reason(&self, caller: Option<Caller>) -> NoPermit {
        let Settings { max_in_flight: max, share, .. } = self.settings;
        let taken = self.taken.load(SeqCst);
        let limit = caller.map_or(max, |caller| share.limit(max, self.callers.permits(caller)));
        if taken >= limit && taken < max { NoPermit::Share } else { NoPermit::Full }
    }

    /// Takes a permit unless `limit` permits are taken.
    fn take_below(&self, limit: usize) -> Result<(), NoPermit> {
        let next = |taken: usize| (taken < limit).then(|| taken + 1);
        match self.taken.fetch_update(SeqCst, SeqCst, next) {
            Ok(_before) => Ok(()),
            Err(taken) if taken < self.settings.max_in_flight => Err(NoPermit::Share),
            Err(_taken) => Err(NoPermit::Full),
        }
    }

    /// Releases a permit and gives it to the next waiting request.
    fn release(&self, caller: Option<Caller>) {
        self.taken.fetch_sub(1, SeqCst);
        if let Some(caller) = caller {
            self.callers.remove(caller);
        }
        if self.waiting.load(SeqCst) > 0 {
            let mut queue = self.queue.lock();
            let woken = self.grant(&mut queue);
            self.waiting.store(queue.waiting(), SeqCst);
            drop(queue);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives free permits to waiting requests. Returns their wakers to wake outside of the lock.
    fn grant(&self, queue: &mut Queue) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.taken.load(SeqCst) < self.settings.max_in_flight
            && let Some(waiter) = queue.next(|caller| self.take(caller).is_ok())
        {
            woken.extend(waiter.grant());
        }
        woken
    }
}

/// The permit of one request. The end of a watched body or a drop releases it once.
pub(crate) struct LoadPermit {
    shared: Option<Arc<Shared>>,
    caller: Option<Caller>,
}

impl LoadPermit {
    fn release(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.release(self.caller);
        }
    }
}

impl Watch for LoadPermit {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.release();
    }
}

impl Drop for LoadPermit {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for LoadPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadPermit").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// A place in the queue. Resolves to the permit, or to `None` at the deadline. Dropping it leaves the
/// queue.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct LoadWait {
    // `None` once the wait is over.
    shared: Option<Arc<Shared>>,
    waiter: Arc<Waiter>,
    caller: Option<Caller>,
    // Why the request has no permit, when it began to wait or else at the deadline.
    reason: NoPermit,
    // `None` waits without end.
    deadline: Option<Instant>,
    // Created by the first poll that has to wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl LoadWait {
    /// Ends the wait at `deadline` if that is sooner. `None` changes nothing.
    pub(crate) fn no_later_than(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = [self.deadline, deadline].into_iter().flatten().min();
        self
    }

    /// Returns why the request got no permit, once the wait has ended without one.
    #[cfg(feature = "upstream")]
    pub(crate) const fn reason(&self) -> NoPermit {
        self.reason
    }

    /// Leaves the queue. Returns the permit if the request has it already.
    fn leave(&mut self) -> Option<LoadPermit> {
        let shared = self.shared.take()?;
        let mut queue = shared.queue.lock();
        let waited = queue.remove(self.caller, &self.waiter);
        shared.waiting.store(queue.waiting(), SeqCst);
        drop(queue);
        (!waited).then(|| LoadPermit { shared: Some(shared), caller: self.caller })
    }
}

impl Future for LoadWait {
    type Output = Option<LoadPermit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LoadPermit>> {
        // A poll after completion stays pending.
        if self.shared.is_none() {
            return Poll::Pending;
        }
        if self.waiter.is_granted(cx.waker()) {
            let (shared, caller) = (self.shared.take(), self.caller);
            return Poll::Ready(Some(LoadPermit { shared, caller }));
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => {
                if let Some(shared) = &self.shared {
                    self.reason = shared.reason(self.caller);
                }
                Poll::Ready(self.leave())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for LoadWait {
    fn drop(&mut self) {
        // A permit that was granted in the meantime is released here.
        drop(self.leave());
    }
}

impl fmt::Debug for LoadWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadWait").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
