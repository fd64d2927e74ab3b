//! What goes on on a connection, and when it is too little.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Version;
use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tower_inference::body::{BodyEnd, Watch};

/// How long a connection may be idle between requests. Longer than the minute after which load
/// balancers let go of theirs: were it shorter, a request could be on its way over a connection
/// that is being closed.
const IDLE: Duration = Duration::from_secs(75);

/// The requests and bytes of one connection. Nobody is woken by what is noted here.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    closed: Notify,
}

struct State {
    in_flight: usize,
    /// Responses that the server has not handed on whole. More than there are requests in flight:
    /// a response was cut off, because the client does not read.
    unsent: usize,
    /// Whether it was told to close.
    closing: bool,
    /// Whether it ends once no request is in flight.
    leaving: bool,
    /// Whether there was a request yet.
    came: bool,
    http2: bool,
    /// Whether the head of a request is on its way. Always false for HTTP/2, where not all bytes
    /// are of requests.
    in_head: bool,
    /// The beginning of the head or, without one, of the time without a request.
    since: Instant,
}

/// What took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overdue {
    Head,
    Request,
    /// The client does not read a response. Its stream stays open until the connection ends, since
    /// hyper waits for the client's window before it looks at the body.
    Reader,
}

/// Counts as a request in flight until it is dropped, with the answer's body.
pub(crate) struct InFlight(Activity);

/// Counts as a response that is not whole yet, until it is dropped with the server's part of it.
pub(crate) struct Unsent(Activity);

// === impl Activity ===

impl Activity {
    pub(crate) fn new() -> Self {
        let since = Instant::now();
        let state = State {
            in_flight: 0,
            unsent: 0,
            closing: false,
            leaving: false,
            came: false,
            http2: false,
            in_head: false,
            since,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), closed: Notify::new() }))
    }

    /// Bytes have come.
    pub(crate) fn read(&self) {
        let mut state = self.state();
        let begins = state.came && !state.http2 && state.in_flight == 0 && !state.in_head;
        if begins {
            state.in_head = true;
            state.since = Instant::now();
        }
    }

    /// The head of a request has come.
    pub(crate) fn begin(&self, version: Version) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.came = true;
        state.http2 = version == Version::HTTP_2;
        state.in_head = false;
        InFlight(self.clone())
    }

    /// A response is to be handed on.
    pub(crate) fn respond(&self) -> Unsent {
        self.state().unsent += 1;
        Unsent(self.clone())
    }

    /// From now on, only the requests in flight are waited for. Starts the time without one anew.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.leaving = true;
        state.since = Instant::now();
    }

    /// Since when no request is in flight. `None` while one is, and once it was told to close.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0 && !state.closing).then_some(state.since)
    }

    /// Tells it to close, unless a request is in flight. A request that is on its way is lost, as
    /// with every connection that is closed between two requests (RFC 9112 section 9.3.1).
    pub(crate) fn close_if_idle(&self) -> bool {
        let mut state = self.state();
        let closes = state.in_flight == 0 && !state.closing;
        if closes {
            state.closing = true;
            self.0.closed.notify_one();
        }
        closes
    }

    /// Waits until it is told to close.
    pub(crate) async fn closed(&self) {
        self.0.closed.notified().await;
    }

    /// Waits until a head took longer than `head` (the first one counts from the start of the
    /// connection), or none began within `idle`.
    pub(crate) async fn overdue_within(&self, head: Duration, idle: Duration) -> Overdue {
        loop {
            let now = Instant::now();
            // A head that begins after this look ends no earlier than the next one.
            let mut next = now + head;
            let state = self.state().due(head, idle);
            if let Some((due, overdue)) = state {
                if due <= now {
                    return overdue;
                }
                next = next.min(due);
            }
            sleep_until(next).await;
        }
    }

    /// The same, with the usual time to be idle.
    pub(crate) async fn overdue(&self, head: Duration) -> Overdue {
        self.overdue_within(head, IDLE).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn due(&self, head: Duration, idle: Duration) -> Option<(Instant, Overdue)> {
        if self.unsent > self.in_flight && !self.leaving {
            Some((self.since, Overdue::Reader))
        } else if self.in_flight > 0 {
            None
        } else if self.in_head || !self.came {
            Some((self.since + head, Overdue::Head))
        } else {
            Some((self.since + idle, Overdue::Request))
        }
    }
}

// === impl InFlight ===

impl Watch for InFlight {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {}
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.since = Instant::now();
        }
    }
}

// === impl Unsent ===

impl Watch for Unsent {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {}
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.state().unsent -= 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);

    /// What is overdue, and how long after the start of the connection.
    async fn overdue(activity: &Activity, start: Instant) -> (Overdue, Duration) {
        (activity.overdue(HEAD).await, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_counts_from_the_start() {
        let (activity, start) = (Activity::new(), Instant::now());
        let dripping = async {
            loop {
                activity.read();
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            overdue = overdue(&activity, start) => assert_eq!(overdue, (Overdue::Head, HEAD)),
            () = dripping => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_counts_from_its_first_byte() {
        let (activity, start) = (Activity::new(), Instant::now());
        drop(activity.begin(Version::HTTP_11));
        let later = Duration::from_secs(37);
        let (overdue, ()) = tokio::join!(overdue(&activity, start), async {
            sleep(later).await;
            activity.read();
            sleep(HEAD / 2).await;
            activity.read();
        });
        assert_eq!(overdue, (Overdue::Head, later + HEAD));
    }

    #[tokio::test(start_paused = true)]
    async fn idling_between_requests_has_its_own_time() {
        let (activity, start) = (Activity::new(), Instant::now());
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(overdue(&activity, start).await, (Overdue::Request, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_http2_need_not_be_of_a_request() {
        let (activity, start) = (Activity::new(), Instant::now());
        drop(activity.begin(Version::HTTP_2));
        activity.read();
        assert_eq!(overdue(&activity, start).await, (Overdue::Request, IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_may_take_its_time() {
        let (activity, start) = (Activity::new(), Instant::now());
        let (one, two) = (activity.begin(Version::HTTP_11), activity.begin(Version::HTTP_11));
        let hour = Duration::from_secs(3600);
        let (overdue, ()) = tokio::join!(overdue(&activity, start), async {
            sleep(hour / 2).await;
            activity.read();
            drop(one);
            sleep(hour / 2).await;
            drop(two);
        });
        assert_eq!(overdue, (Overdue::Request, hour + IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_was_cut_off_ends_the_connection() {
        let (activity, start) = (Activity::new(), Instant::now());
        let (stalled, unsent) = (activity.begin(Version::HTTP_2), activity.respond());
        let (lively, sent) = (activity.begin(Version::HTTP_2), activity.respond());
        let later = Duration::from_secs(95);
        let ((overdue, after), ()) = tokio::join!(overdue(&activity, start), async {
            sleep(later).await;
            drop(stalled);
        });
        assert_eq!(overdue, Overdue::Reader);
        assert!(later <= after && after <= later + HEAD, "{after:?}");

        // The other request is waited for.
        activity.leave();
        let start = Instant::now();
        let (overdue, ()) = tokio::join!(activity.overdue_within(HEAD, HEAD * 3), async {
            sleep(later).await;
            drop((lively, sent));
        });
        assert_eq!((overdue, start.elapsed()), (Overdue::Request, later + HEAD * 3));
        drop(unsent);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_to_close_once_and_only_when_it_is_idle() {
        let activity = Activity::new();
        let in_flight = activity.begin(Version::HTTP_11);
        assert!(activity.idle_since().is_none() && !activity.close_if_idle());
        drop(in_flight);
        assert!(activity.idle_since().is_some() && activity.close_if_idle());
        assert!(activity.idle_since().is_none() && !activity.close_if_idle());
        activity.closed().await;
    }
}
