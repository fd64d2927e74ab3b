//! All readers of one layer, and the task that cuts off those that stall.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::sleep};

use super::place::{Inner, Place};
use crate::lock::Lock;

/// Enough that threads seldom meet at one lock.
const SHARDS: usize = 16;
/// Sweeps in one timeout.
const SWEEPS: u32 = 4;
/// Keeps a timeout of zero from sweeping without a pause.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// The readers of a layer.
pub(super) struct Readers {
    idle_timeout: Duration,
    shards: [Lock<Shard>; SHARDS],
    // Whether a task sweeps.
    armed: AtomicBool,
    // Ends the task with this value. Set when the task is started, so the last one is the one that
    // may still run.
    task: Lock<Option<AbortHandle>>,
    cut: AtomicU64,
}

/// Places, which are as many as there were bodies at once.
#[derive(Default)]
struct Shard {
    places: Vec<Arc<Place>>,
    // Indices of places without a body.
    free: Vec<usize>,
}

/// One place, until it is dropped.
pub(super) struct Occupied {
    readers: Arc<Readers>,
    shard: usize,
    index: usize,
    place: Arc<Place>,
    waker: Waker,
}

impl Readers {
    pub(super) fn new(idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle_timeout,
            shards: std::array::from_fn(|_| Lock::default()),
            armed: AtomicBool::new(false),
            task: Lock::new(None),
            cut: AtomicU64::new(0),
        })
    }

    /// How many bodies were cut off so far.
    pub(super) fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    /// How many bodies there are.
    pub(super) fn open(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().occupied()).sum()
    }

    /// Gives `body` a place, and sees to it that the sweep runs.
    pub(super) fn occupy(self: &Arc<Self>, body: Inner) -> Occupied {
        let shard = shard_of(&body);
        let (index, place) = self.shard(shard).lock().place();
        place.occupy(body);
        self.arm();
        let waker = Waker::from(Arc::clone(&place));
        Occupied { readers: Arc::clone(self), shard, index, place, waker }
    }

    /// Starts the task that sweeps, unless it runs.
    fn arm(self: &Arc<Self>) {
        // The lock of the shard orders this after the place was taken: see `Alarm::rests`.
        if self.armed.load(Relaxed) || self.armed.swap(true, Relaxed) {
            return;
        }
        let alarm = Alarm { readers: Arc::downgrade(self), is_armed: true };
        // Without a runtime the alarm is dropped, which disarms it.
        if let Ok(runtime) = Handle::try_current() {
            let period = (self.idle_timeout / SWEEPS).max(SHORTEST_PERIOD);
            let task = runtime.spawn(alarm.run(period)).abort_handle();
            *self.task.lock() = Some(task);
        }
    }

    /// Drops the bodies whose readers stall. Returns whether there are bodies at all.
    fn sweep(&self) -> bool {
        let mut any = false;
        let mut stalled = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            any |= shard.is_occupied();
            // One sweep more: the first may come right after the reader's last poll.
            stalled.extend(shard.places.iter().filter_map(|place| place.sweep(SWEEPS + 1)));
            drop(shard);
            for body in stalled.drain(..) {
                self.cut.fetch_add(1, Relaxed);
                // Other people's code. The sweep must outlive it.
                let _panicked = catch_unwind(AssertUnwindSafe(|| drop(body)));
            }
        }
        any
    }

    /// Whether a place has a body.
    fn is_occupied(&self) -> bool {
        self.shards.iter().any(|shard| shard.lock().is_occupied())
    }

    fn shard(&self, at: usize) -> &Lock<Shard> {
        let [first, ..] = &self.shards;
        self.shards.get(at).unwrap_or(first)
    }
}

/// A shard by the address of the box: without a counter that all threads would share.
fn shard_of(body: &Inner) -> usize {
    let address = (&raw const **body).addr() as u64;
    // Fibonacci hashing: the top bits depend on all others.
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % SHARDS
}

impl Drop for Readers {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("idle_timeout", &self.idle_timeout)
            .field("cut", &self.cut())
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// A free place, which is free no longer.
    fn place(&mut self) -> (usize, Arc<Place>) {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get(index)
        {
            return (index, Arc::clone(place));
        }
        let place = Arc::new(Place::new());
        self.places.push(Arc::clone(&place));
        (self.places.len() - 1, place)
    }

    const fn is_occupied(&self) -> bool {
        self.occupied() > 0
    }

    const fn occupied(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }
}

// === impl Occupied ===

impl Occupied {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The place's own waker.
    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let left = self.place.vacate();
        self.readers.shard(self.shard).lock().free.push(self.index);
        // Outside of the locks, and after the place is free: this is other people's code.
        drop(left);
    }
}

impl fmt::Debug for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupied").finish_non_exhaustive()
    }
}

/// The state of the task. It drops with the task, also when the runtime ends. The next body then
/// starts another task.
struct Alarm {
    readers: Weak<Readers>,
    is_armed: bool,
}

impl Alarm {
    async fn run(mut self, period: Duration) {
        loop {
            sleep(period).await;
            let Some(readers) = self.readers.upgrade() else { return };
            if !readers.sweep() && self.rests(&readers) {
                return;
            }
        }
    }

    /// Disarms, unless a body came since the sweep and found the alarm armed.
    fn rests(&mut self, readers: &Readers) -> bool {
        readers.armed.store(false, Relaxed);
        // A body that is not seen here takes its place after this look, by the lock of its shard
        // also after the store, and so starts another task.
        let rests = !readers.is_occupied() || readers.armed.swap(true, Relaxed);
        self.is_armed = !rests;
        rests
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.is_armed
            && let Some(readers) = self.readers.upgrade()
        {
            readers.armed.store(false, Relaxed);
        }
    }
}
