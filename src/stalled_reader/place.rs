use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::lock::Lock;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The inner service's body. Boxed, because its reader and the sweep share it and it must not move.
pub(super) type Inner = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// The place of one response body, and the state of its reader.
///
/// A place is the waker of its own body, so it notices when the body has more. Later bodies use the
/// same place, so an old waker may wake the reader of another body. The effect is one extra poll.
pub(super) struct Place {
    // Locked while the body is polled, taken or put here. The reader is polled by one task at a
    // time, so only the sweep competes for the lock, and the sweep never waits for it.
    body: Lock<Option<Inner>>,
    reader: Lock<Option<Waker>>,
    // Sweeps since the reader last polled or was woken, or `WAITING`.
    idle: AtomicU32,
}

/// The body waits for the inner service, so the reader does not stall.
const WAITING: u32 = u32::MAX;

/// The result of a poll of the body and whether the body was at its end afterwards.
pub(super) struct Polled {
    pub(super) frame: Poll<Option<Result<Frame<Bytes>, BoxError>>>,
    pub(super) is_end_stream: bool,
}

impl Place {
    pub(super) const fn new() -> Self {
        Self { body: Lock::new(None), reader: Lock::new(None), idle: AtomicU32::new(0) }
    }

    /// Puts a body here. It is its reader's turn.
    pub(super) fn occupy(&self, body: Inner) {
        let mut place = self.body.lock();
        self.idle.store(0, Relaxed);
        *place = Some(body);
    }

    /// Takes the body and the reader's waker out, for the caller to drop.
    pub(super) fn vacate(&self) -> (Option<Inner>, Option<Waker>) {
        (self.body.lock().take(), self.reader.lock().take())
    }

    /// Polls the body for the reader with `cx`. `None` once the sweep has taken the body.
    ///
    /// `own` is the waker that this place makes.
    pub(super) fn poll(&self, cx: &Context<'_>, own: &Waker) -> Option<Polled> {
        let mut place = self.body.lock();
        let body = place.as_mut()?;
        // Before the poll: a wake during the poll ends the wait again.
        self.idle.store(WAITING, Relaxed);
        let frame = body.as_mut().poll_frame(&mut Context::from_waker(own));
        let is_end_stream = body.is_end_stream();
        if frame.is_ready() {
            self.idle.store(0, Relaxed);
        }
        drop(place);
        if frame.is_pending() {
            let replaced = self.register(cx.waker());
            // A wake before the reader's waker was stored woke no reader. The lock of the
            // waker orders its mark before this look.
            if self.idle.load(Relaxed) != WAITING {
                cx.waker().wake_by_ref();
            }
            drop(replaced);
        }
        Some(Polled { frame, is_end_stream })
    }

    /// The size hint of the body. Unknown once the sweep has taken the body.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.lock().as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }

    /// Counts one sweep. Returns the body once its reader has let `most` sweeps pass.
    pub(super) fn sweep(&self, most: u32) -> Option<Inner> {
        let count = |idle| if idle == WAITING { None } else { Some(most.min(idle + 1)) };
        let before = self.idle.fetch_update(Relaxed, Relaxed, count).ok()?;
        if before + 1 < most {
            return None;
        }
        // A body that is being polled has a reader.
        let mut place = self.body.try_lock()?;
        // The reader may have polled since the count.
        if self.idle.load(Relaxed) == most { place.take() } else { None }
    }

    /// Keeps the reader's waker. Returns the previous one, for the caller to drop.
    fn register(&self, waker: &Waker) -> Option<Waker> {
        let mut reader = self.reader.lock();
        if reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        reader.replace(waker.clone())
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // From now on, it is the reader's turn.
        let _already = self.idle.compare_exchange(WAITING, 0, Relaxed, Relaxed);
        let reader = self.reader.lock().take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}
