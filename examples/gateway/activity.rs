//! Tracks the requests of a connection and closes it when one takes too long.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Version;
use tokio::time::{Instant, sleep_until};

/// How long a connection may be idle between requests. Load balancers close theirs after a minute. A
/// shorter time here could close a connection on which a request is under way.
const IDLE: Duration = Duration::from_secs(75);

/// The requests and bytes of one connection. Recording wakes no task.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Mutex<State>>);

struct State {
    in_flight: usize,
    /// Responses that hyper has not sent completely. If there are more of them than requests in
    /// flight, a response was cut off because the client does not read.
    unsent: usize,
    /// Whether the connection is closing.
    closing: bool,
    /// Whether the connection ends when no request is in flight.
    leaving: bool,
    /// Whether a request has arrived on the connection.
    came: bool,
    http2: bool,
    /// Whether a request head is arriving. Always false for HTTP/2 because not all of its bytes belong
    /// to requests.
    in_head: bool,
    /// The start of the arriving head or of the time without a request.
    since: Instant,
}

/// The part that took too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overdue {
    Head,
    Request,
    /// The client does not read a response. Its stream stays open until the connection ends because
    /// hyper waits for the client's window before it polls the body.
    Reader,
}

/// Counts a request as in flight until it is dropped with the response body.
pub(crate) struct InFlight(Activity);

/// Counts a response as unsent until hyper drops it.
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
        Self(Arc::new(Mutex::new(state)))
    }

    /// Records that bytes were read.
    pub(crate) fn read(&self) {
        let mut state = self.state();
        let begins = state.came && !state.http2 && state.in_flight == 0 && !state.in_head;
        if begins {
            state.in_head = true;
            state.since = Instant::now();
        }
    }

    /// Records that the head of a request has arrived.
    pub(crate) fn begin(&self, version: Version) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.came = true;
        state.http2 = version == Version::HTTP_2;
        state.in_head = false;
        InFlight(self.clone())
    }

    /// Records that a response is to be sent.
    pub(crate) fn respond(&self) -> Unsent {
        self.state().unsent += 1;
        Unsent(self.clone())
    }

    /// Lets the connection end after the requests in flight. Restarts the time without a request.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.leaving = true;
        state.since = Instant::now();
    }

    /// Returns the start of the time without a request. `None` while a request is in flight and while
    /// the connection is closing.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0 && !state.closing).then_some(state.since)
    }

    /// Marks the connection as closing unless a request is in flight. Returns whether the caller is to
    /// close it.
    pub(crate) fn close_if_idle(&self) -> bool {
        let mut state = self.state();
        let closes = state.in_flight == 0 && !state.closing;
        state.closing |= closes;
        closes
    }

    /// Waits until a head takes longer than `head` or none begins within `idle`. The first head counts
    /// from the start of the connection.
    pub(crate) async fn overdue_within(&self, head: Duration, idle: Duration) -> Overdue {
        loop {
            let now = Instant::now();
            // A head that begins after this check is due no earlier than the next check.
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

    /// Calls [`overdue_within`](Self::overdue_within) with the usual idle time.
    pub(crate) async fn overdue(&self, head: Duration) -> Overdue {
        self.overdue_within(head, IDLE).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Returns the overdue part and its time since the start of the connection.
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

        // The other request is still in flight.
        activity.leave();
        let start = Instant::now();
        let (overdue, ()) = tokio::join!(activity.overdue_within(HEAD, HEAD * 3), async {
            sleep(later).await;
            drop((lively, sent));
        });
        assert_eq!((overdue, start.elapsed()), (Overdue::Request, later + HEAD * 3));
        drop(unsent);
    }

    #[test]
    fn it_is_to_be_closed_once_and_only_when_it_is_idle() {
        let activity = Activity::new();
        let in_flight = activity.begin(Version::HTTP_11);
        assert!(activity.idle_since().is_none() && !activity.close_if_idle());
        drop(in_flight);
        assert!(activity.idle_since().is_some() && activity.close_if_idle());
        assert!(activity.idle_since().is_none() && !activity.close_if_idle());
    }
}
