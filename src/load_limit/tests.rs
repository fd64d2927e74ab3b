use std::{
    future::poll_fn,
    iter::repeat_with,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Acquired, Caller, LoadLimit, LoadPermit, LoadWait, NoPermit};
use crate::body::{BodyEnd, Watch as _};

const SECOND: Duration = Duration::from_secs(1);

fn now(limit: &LoadLimit, caller: Option<Caller>) -> Result<LoadPermit, NoPermit> {
    match limit.acquire(caller) {
        Acquired::Now(permit) => Ok(permit),
        Acquired::Rejected(reason) => Err(reason),
        Acquired::Later(_) => panic!("the request waits"),
    }
}

fn later(limit: &LoadLimit, caller: Option<Caller>) -> LoadWait {
    match limit.acquire(caller) {
        Acquired::Later(wait) => wait,
        Acquired::Now(_) => panic!("the request has a permit"),
        Acquired::Rejected(reason) => panic!("the request is rejected: {reason:?}"),
    }
}

/// Takes every permit that `caller` gets.
fn all(limit: &LoadLimit, caller: Option<Caller>) -> (Vec<LoadPermit>, NoPermit) {
    let mut taken = Vec::new();
    loop {
        match now(limit, caller) {
            Ok(permit) => taken.push(permit),
            Err(reason) => return (taken, reason),
        }
    }
}

fn poll(wait: &mut LoadWait) -> Poll<Option<LoadPermit>> {
    let mut context = Context::from_waker(Waker::noop());
    pin!(wait).poll(&mut context)
}

fn granted(wait: &mut LoadWait) -> LoadPermit {
    match poll(wait) {
        Poll::Ready(Some(permit)) => permit,
        other => panic!("{other:?}"),
    }
}

fn callers(limit: &LoadLimit) -> [Option<Caller>; 3] {
    ["a", "b", "c"].map(|name| Some(limit.caller(name)))
}

#[test]
fn a_permit_is_released_exactly_once() {
    let limit = LoadLimit::new(2).caller_share(25);
    let [a, ..] = callers(&limit);
    let (mut first, second) = (now(&limit, a).unwrap(), now(&limit, None).unwrap());
    assert_eq!(now(&limit, None).err(), Some(NoPermit::Full));
    first.end(BodyEnd::Complete);
    drop(first);
    assert_eq!((limit.taken(), limit.callers()), (1, 0));
    drop(second);
    assert_eq!(limit.taken(), 0);
}

#[test]
fn zero_permits_reject_every_request_and_let_none_wait() {
    let limit = LoadLimit::new(0).max_queued(10).caller_share(25);
    let [a, ..] = callers(&limit);
    assert_eq!(now(&limit, None).err(), Some(NoPermit::Full));
    assert_eq!(now(&limit, a).err(), Some(NoPermit::Full));
}

#[test]
fn one_caller_leaves_a_quarter_for_others() {
    let limit = LoadLimit::new(1_024).caller_share(25);
    let [a, b, c] = callers(&limit);
    let (mut greedy, reason) = all(&limit, a);
    assert_eq!((greedy.len(), reason), (768, NoPermit::Share));
    let (others, reason) = all(&limit, b);
    assert_eq!((others.len(), reason), (256, NoPermit::Full));
    // A released permit goes to a caller below its share.
    greedy.pop();
    assert_eq!(now(&limit, a).err(), Some(NoPermit::Share));
    assert_eq!(now(&limit, b).err(), Some(NoPermit::Share));
    assert!(now(&limit, c).is_ok());
    drop((greedy, others));
    assert_eq!((limit.taken(), limit.callers()), (0, 0));
}

#[test]
fn a_caller_below_its_share_gets_the_last_permit() {
    let limit = LoadLimit::new(8).caller_share(25);
    let [a, b, _] = callers(&limit);
    let (_others, reason) = all(&limit, a);
    assert_eq!((limit.taken(), reason), (6, NoPermit::Share));
    let _first = now(&limit, b).unwrap();
    let _second = now(&limit, b).unwrap();
    assert_eq!(now(&limit, b).err(), Some(NoPermit::Full));
}

#[test]
fn each_caller_gets_one_permit_however_small_the_share() {
    let limit = LoadLimit::new(3).caller_share(0);
    let taken = callers(&limit).map(|caller| now(&limit, caller));
    assert!(taken.iter().all(Result::is_ok));
}

#[test]
fn unknown_callers_have_no_share() {
    assert_eq!(all(&LoadLimit::new(8).caller_share(25), None).0.len(), 8);
}

#[test]
fn the_last_permit_removes_its_caller() {
    let limit = LoadLimit::new(1_000).caller_share(25);
    let mut name = 0..;
    for _ in 0..100 {
        let taken: Vec<_> = repeat_with(|| now(&limit, Some(limit.caller(name.next()))).unwrap())
            .take(500)
            .collect();
        assert_eq!(limit.callers(), 500);
        drop(taken);
        assert_eq!(limit.callers(), 0);
    }
    let capacity = limit.capacity();
    assert!(capacity <= 4_000, "{capacity} entries for 500 callers at a time");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_in_order() {
    let limit = LoadLimit::new(1).max_queued(2);
    let first = now(&limit, None).unwrap();
    let (mut second, mut third) = (later(&limit, None), later(&limit, None));
    assert!(poll(&mut third).is_pending() && poll(&mut second).is_pending());
    drop(first);
    // A new request does not overtake the waiting ones.
    assert!(poll(&mut third).is_pending());
    let permit = granted(&mut second);
    drop(permit);
    drop(granted(&mut third));
    assert_eq!((limit.taken(), limit.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_never_waits_when_the_queue_is_full() {
    let limit = LoadLimit::new(1).max_queued(1);
    let _first = now(&limit, None).unwrap();
    let second = later(&limit, None);
    assert_eq!(now(&limit, None).err(), Some(NoPermit::Full));
    drop(second);
    assert_eq!(limit.waiting(), 0);
    let _third = later(&limit, None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_sooner_of_two_deadlines() {
    let limit = LoadLimit::new(1).max_queued(3).queue_timeout(2 * SECOND);
    let _first = now(&limit, None).unwrap();
    for (deadline, seconds) in [(None, 2), (Some(1), 1), (Some(3), 2)] {
        let start = Instant::now();
        let deadline = deadline.map(|seconds| start + seconds * SECOND);
        assert!(later(&limit, None).no_later_than(deadline).await.is_none());
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_eq!(limit.waiting(), 0);
    }
    let forever = LoadLimit::new(1).max_queued(1).queue_timeout(Duration::MAX);
    let _first = now(&forever, None).unwrap();
    assert!(poll(&mut later(&forever, None)).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_granted_permit_wakes_its_request() {
    let limit = LoadLimit::new(1).max_queued(1);
    let first = now(&limit, None).unwrap();
    let second = tokio::spawn(later(&limit, None));
    tokio::task::yield_now().await;
    drop(first);
    // Without a wake-up the timer would end the wait without a permit.
    assert!(second.await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_passes_its_permit_on() {
    let limit = LoadLimit::new(1).max_queued(2);
    let first = now(&limit, None).unwrap();
    let (second, mut third) = (later(&limit, None), later(&limit, None));
    drop(first);
    // The second request has the permit and does not know it yet.
    assert!(poll(&mut third).is_pending());
    drop(second);
    drop(granted(&mut third));
    assert_eq!((limit.taken(), limit.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_with_the_deadline_is_taken() {
    let limit = LoadLimit::new(1).max_queued(1).queue_timeout(SECOND);
    let first = now(&limit, None).unwrap();
    let mut second = later(&limit, None);
    assert!(poll(&mut second).is_pending());
    tokio::time::advance(2 * SECOND).await;
    drop(first);
    drop(granted(&mut second));
    assert_eq!(limit.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn callers_in_the_queue_take_turns() {
    let limit = LoadLimit::new(1).max_queued(8).caller_share(50);
    let [a, b, _] = callers(&limit);
    let first = now(&limit, a).unwrap();
    let mut greedy: Vec<_> = repeat_with(|| later(&limit, a)).take(3).collect();
    let mut polite = later(&limit, b);
    drop(first);
    drop(granted(&mut greedy[0]));
    // The second request of `b` comes last and is served before the third of `a`.
    let mut later = later(&limit, b);
    drop(granted(&mut polite));
    drop(granted(&mut greedy[1]));
    drop(granted(&mut later));
    drop(granted(&mut greedy[2]));
}

#[tokio::test(start_paused = true)]
async fn one_caller_leaves_a_quarter_of_the_queue_for_others() {
    let limit = LoadLimit::new(1).max_queued(16).caller_share(25);
    let [a, b, c] = callers(&limit);
    let _first = now(&limit, a).unwrap();
    let mut waits: Vec<_> = repeat_with(|| later(&limit, a)).take(12).collect();
    assert_eq!(now(&limit, a).err(), Some(NoPermit::Share));
    waits.extend(repeat_with(|| later(&limit, b)).take(4));
    assert_eq!(now(&limit, c).err(), Some(NoPermit::Full));
    // A place that is left goes to a caller below its share.
    waits.remove(0);
    assert_eq!(now(&limit, a).err(), Some(NoPermit::Share));
    waits.push(later(&limit, c));
}

#[tokio::test(start_paused = true)]
async fn a_caller_below_its_share_passes_waiting_ones_beyond_theirs() {
    let limit = LoadLimit::new(4).max_queued(4).caller_share(25);
    let [a, b, _] = callers(&limit);
    let _running: Vec<_> = repeat_with(|| now(&limit, a).unwrap()).take(3).collect();
    let mut waits = later(&limit, a);
    let other = now(&limit, b).unwrap();
    drop(other);
    assert!(poll(&mut waits).is_pending());
}

/// Threads take, wait for, cancel and release permits. Each wait that is not cancelled ends.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let limit = LoadLimit::new(3).max_queued(64).caller_share(50).queue_timeout(60 * SECOND);
    let (running, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..24_u32)
            .map(|task| {
                let (limit, running, late) =
                    (limit.clone(), Arc::clone(&running), Arc::clone(&late));
                tokio::spawn(async move {
                    let caller = Some(limit.caller(task % 5));
                    for round in 0..500_u32 {
                        let permit = match limit.acquire(caller) {
                            Acquired::Now(permit) => Some(permit),
                            Acquired::Rejected(_) => None,
                            Acquired::Later(mut wait) if (task + round) % 7 == 0 => {
                                // Polled once and cancelled.
                                poll_fn(|cx| Poll::Ready(pin!(&mut wait).poll(cx).is_ready()))
                                    .await;
                                None
                            }
                            Acquired::Later(wait) => {
                                let permit = wait.await;
                                late.fetch_add(usize::from(permit.is_none()), SeqCst);
                                permit
                            }
                        };
                        if let Some(permit) = permit {
                            assert!(running.fetch_add(1, SeqCst) < 3);
                            tokio::task::yield_now().await;
                            running.fetch_sub(1, SeqCst);
                            drop(permit);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!((limit.taken(), limit.waiting(), limit.callers()), (0, 0, 0));
    assert_eq!(late.load(SeqCst), 0, "waits that nobody ended");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire(usize),
    Release(usize),
    Leave(usize),
    Poll(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize).prop_map(Step::Acquire),
        3 => (0..16_usize).prop_map(Step::Release),
        1 => (0..16_usize).prop_map(Step::Leave),
        2 => (0..16_usize).prop_map(Step::Poll),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens in whatever order, the bounds hold, and a free permit never stays free while
    /// a request waits that may have it.
    #[test]
    fn any_order_of_steps_keeps_the_bounds(
        steps in steps(),
        max in 1..6_usize,
        queued in 0..6_usize,
        share in 0..=100_u8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let limit = LoadLimit::new(max).max_queued(queued).caller_share(share);
        let caller = |name: usize| (name > 0).then(|| limit.caller(name));
        let (mut permits, mut waits) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Acquire(name) => match limit.acquire(caller(name)) {
                    Acquired::Now(permit) => permits.push(permit),
                    Acquired::Later(wait) => waits.push(wait),
                    Acquired::Rejected(reason) => {
                        let full = limit.taken() == max && limit.waiting() == queued;
                        prop_assert!(full || reason == NoPermit::Share);
                        prop_assert!(name > 0 || full);
                    }
                },
                Step::Release(at) if at < permits.len() => drop(permits.remove(at)),
                Step::Leave(at) if at < waits.len() => drop(waits.remove(at)),
                Step::Poll(at) if at < waits.len() => {
                    if let Poll::Ready(permit) = poll(&mut waits[at]) {
                        waits.remove(at);
                        permits.extend(permit);
                    }
                }
                Step::Release(_) | Step::Leave(_) | Step::Poll(_) => {}
            }
            prop_assert!(limit.taken() <= max && limit.waiting() <= queued);
            // Granted waits count as taken.
            prop_assert_eq!(limit.taken() + limit.waiting(), permits.len() + waits.len());
            if share == 100 {
                prop_assert!(limit.waiting() == 0 || limit.taken() == max);
            }
        }
        drop(permits);
        for wait in &mut waits {
            prop_assert!(matches!(poll(wait), Poll::Ready(Some(_))) || limit.taken() > 0);
        }
        drop(waits);
        prop_assert_eq!((limit.taken(), limit.waiting(), limit.callers()), (0, 0, 0));
    }
}
