use std::{
    collections::VecDeque,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use shuttle::{check_random, future::block_on, thread};

use crate::{
    lock::Lock,
    memory_limit::MemoryLimit,
    single_flight::{
        End, Flight, FlightBounds, FlightEvent, FlightSource, JoinError, Piece, Reader, Step,
    },
};

type Steps = VecDeque<Step<u8, Chunk>>;

#[derive(Clone, Debug, Eq, PartialEq)]
struct Chunk(u8);

impl Piece for Chunk {
    fn length(&self) -> usize {
        1
    }
}

/// A head.
impl Piece for u8 {
    fn length(&self) -> usize {
        1
    }
}

/// An upstream whose steps come from another thread.
#[derive(Clone)]
struct Upstream {
    steps: Arc<Lock<(Steps, Option<Waker>)>>,
    dropped: Arc<AtomicUsize>,
}

struct Stream(Upstream);

impl Upstream {
    fn new() -> Self {
        Self { steps: Arc::new(Lock::new((VecDeque::new(), None))), dropped: Arc::default() }
    }

    fn source(&self) -> Pin<Box<dyn FlightSource<u8, Chunk>>> {
        Box::pin(Stream(self.clone()))
    }

    fn send(&self, step: Step<u8, Chunk>) {
        let waker = {
            let mut steps = self.steps.lock();
            steps.0.push_back(step);
            steps.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn send_all(&self, pieces: u8) {
        self.send(Step::Head(200));
        for piece in 0..pieces {
            self.send(Step::Piece(Chunk(piece)));
        }
        self.send(Step::End(End::Complete));
    }
}

impl FlightSource<u8, Chunk> for Stream {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>, _: bool) -> Poll<Step<u8, Chunk>> {
        let mut steps = self.0.steps.lock();
        match steps.0.pop_front() {
            // Number 255 is a fault.
            Some(Step::Piece(Chunk(255))) => {
                drop(steps);
                panic!("a fault of the upstream's client")
            }
            Some(step) => Poll::Ready(step),
            None => {
                steps.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

const WIDE: FlightBounds = FlightBounds {
    max_readers: 8,
    max_recorded_bytes: 100,
    max_gap_bytes: 100,
    slow_reader_timeout: Duration::from_secs(5),
    now: Instant::now,
};

/// Nothing is kept, and one piece may wait for the slowest.
const NARROW: FlightBounds = FlightBounds { max_readers: 2, max_recorded_bytes: 0, max_gap_bytes: 1, ..WIDE };

fn begin(upstream: &Upstream, bounds: FlightBounds) -> Reader<u8, Chunk> {
    begin_within(upstream, bounds, usize::MAX).0
}

/// A flight that has so much memory, and the limit on it.
fn begin_within(
    upstream: &Upstream,
    bounds: FlightBounds,
    memory: usize,
) -> (Reader<u8, Chunk>, MemoryLimit) {
    let memory = MemoryLimit::new(memory);
    let originator = Flight::begin(bounds, memory.permit());
    originator.launch(upstream.source());
    (originator, memory)
}

fn next(reader: &mut Reader<u8, Chunk>) -> FlightEvent<u8, Chunk> {
    block_on(poll_fn(|cx| reader.poll_next(cx)))
}

/// All that a reader is told, to the end.
fn read(mut reader: Reader<u8, Chunk>) -> (Vec<u8>, FlightEvent<u8, Chunk>) {
    let mut pieces = Vec::new();
    loop {
        match next(&mut reader) {
            FlightEvent::Head(head) => assert_eq!((head, pieces.len()), (200, 0)),
            FlightEvent::Piece(Chunk(piece)) => pieces.push(piece),
            end => return (pieces, end),
        }
    }
}

fn assert_whole(reader: Reader<u8, Chunk>, pieces: u8) {
    let (read, end) = read(reader);
    assert!(matches!(end, FlightEvent::Complete), "{end:?}");
    assert_eq!(read, (0..pieces).collect::<Vec<_>>());
}

#[test]
fn all_readers_get_all() {
    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, WIDE);
            let flight = Arc::clone(originator.flight());
            let followers = [flight.join().unwrap(), flight.join().unwrap()];
            let readers = followers.into_iter().chain([originator]);
            let threads: Vec<_> =
                readers.map(|reader| thread::spawn(|| assert_whole(reader, 3))).collect();
            upstream.send_all(3);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(upstream.dropped.load(SeqCst), 1);
        },
        3_000,
    );
}

/// Others may join before there is anything to read from.
#[test]
fn a_flight_that_is_launched_late_or_never_hangs_nobody() {
    for launched in [true, false] {
        check_random(
            move || {
                let upstream = Upstream::new();
                upstream.send_all(2);
                let originator = Flight::begin(WIDE, MemoryLimit::new(usize::MAX).permit());
                let follower = originator.flight().join().unwrap();
                let follower = thread::spawn(move || read(follower).1);
                if launched {
                    originator.launch(upstream.source());
                    assert_whole(originator, 2);
                    assert!(matches!(follower.join().unwrap(), FlightEvent::Complete));
                } else {
                    drop(originator);
                    assert!(matches!(follower.join().unwrap(), FlightEvent::NotShared(None)));
                }
            },
            3_000,
        );
    }
}

/// hyper does not poll a body while it cannot write. Whoever was the last to poll the source may be
/// such a one.
#[test]
fn a_reader_that_never_polls_again_strands_nobody() {
    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, WIDE);
            let flight = Arc::clone(originator.flight());
            let mut silent = flight.join().unwrap();
            let follower = flight.join().unwrap();
            let once = thread::spawn(move || {
                let mut cx = Context::from_waker(Waker::noop());
                let _whatever = silent.poll_next(&mut cx);
                silent
            });
            let threads =
                [originator, follower].map(|reader| thread::spawn(|| assert_whole(reader, 2)));
            upstream.send_all(2);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            drop(once.join().unwrap());
        },
        5_000,
    );
}

#[test]
fn a_reader_that_leaves_takes_no_data_from_the_others() {
    check_random(
        || {
            let upstream = Upstream::new();
            let mut originator = begin(&upstream, WIDE);
            let follower = originator.flight().join().unwrap();
            let leaver = thread::spawn(move || {
                let mut cx = Context::from_waker(Waker::noop());
                let _whatever = originator.poll_next(&mut cx);
                drop(originator);
            });
            let reader = thread::spawn(|| assert_whole(follower, 3));
            upstream.send_all(3);
            leaver.join().unwrap();
            reader.join().unwrap();
            assert_eq!(upstream.dropped.load(SeqCst), 1);
        },
        5_000,
    );
}

/// Otherwise the end of a call with many readers would cost the square of their number.
#[test]
fn readers_that_leave_wake_no_others_that_have_nothing_to_do() {
    #[derive(Default)]
    struct Wakes(AtomicUsize);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, FlightBounds { max_readers: 100, ..WIDE });
            let flight = Arc::clone(originator.flight());
            let mut readers: Vec<_> = (1..100).map(|_| flight.join().unwrap()).collect();
            readers.push(originator);
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            for reader in &mut readers {
                assert!(reader.poll_next(&mut Context::from_waker(&waker)).is_pending());
            }
            readers.truncate(2);
            assert_eq!(wakes.0.load(SeqCst), 0);
            // The last one is told that it has the call for itself.
            readers.truncate(1);
            assert_eq!(wakes.0.load(SeqCst), 1);
        },
        10,
    );
}

#[test]
fn the_last_reader_that_leaves_cancels_the_call() {
    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, WIDE);
            let flight = Arc::clone(originator.flight());
            let follower = flight.join().unwrap();
            let leavers = [originator, follower].map(|mut reader| {
                thread::spawn(move || {
                    let mut cx = Context::from_waker(Waker::noop());
                    let _whatever = reader.poll_next(&mut cx);
                })
            });
            upstream.send(Step::Head(200));
            leavers.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(upstream.dropped.load(SeqCst), 1);
            assert_eq!(flight.join().err(), Some(JoinError::Late));
        },
        3_000,
    );
}

#[test]
fn an_unshared_response_belongs_to_the_leader() {
    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, WIDE);
            let follower = originator.flight().join().unwrap();
            let threads = [originator, follower].map(|reader| thread::spawn(|| read(reader).1));
            upstream.send(Step::End(End::NotShared(Box::new("refused"))));
            let [first, second] = threads.map(|thread| thread.join().unwrap());
            let FlightEvent::NotShared(Some(what)) = first else { panic!("{first:?}") };
            assert_eq!(what.downcast_ref(), Some(&"refused"));
            assert!(matches!(second, FlightEvent::NotShared(None)), "{second:?}");
        },
        3_000,
    );
}

/// Whoever polls it panics. The others are told, and none waits for ever.
#[test]
fn a_panic_hangs_nobody() {
    for with_head in [false, true] {
        check_random(
            move || {
                let upstream = Upstream::new();
                let originator = begin(&upstream, WIDE);
                let follower = originator.flight().join().unwrap();
                let threads = [originator, follower].map(|reader| {
                    thread::spawn(|| catch_unwind(AssertUnwindSafe(|| read(reader).1)).ok())
                });
                if with_head {
                    upstream.send(Step::Head(200));
                }
                upstream.send(Step::Piece(Chunk(255)));
                let ends = threads.map(|thread| thread.join().unwrap());
                let told: Vec<_> = ends.into_iter().flatten().collect();
                assert_eq!(told.len(), 1, "one panics, the other is told");
                assert!(match &told[0] {
                    FlightEvent::Broken => with_head,
                    FlightEvent::NotShared(None) => !with_head,
                    _ => false,
                });
                assert_eq!(upstream.dropped.load(SeqCst), 1);
            },
            3_000,
        );
    }
}

/// Nothing is kept, one piece is the window: the fast one waits for the slow one, and both get all.
#[test]
fn a_full_window_stops_the_fastest_reader_until_it_shrinks() {
    check_random(
        || {
            let upstream = Upstream::new();
            let originator = begin(&upstream, NARROW);
            let follower = originator.flight().join().unwrap();
            let threads =
                [originator, follower].map(|reader| thread::spawn(|| assert_whole(reader, 4)));
            upstream.send_all(4);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        },
        5_000,
    );
}

/// There is memory for none of the pieces, for one, or for all: each reader gets all of them, and all
/// memory is given back.
#[test]
fn readers_go_on_where_there_is_no_memory() {
    for memory in [0, 50, 200, usize::MAX] {
        check_random(
            move || {
                let upstream = Upstream::new();
                let (originator, limit) = begin_within(&upstream, WIDE, memory);
                let follower = originator.flight().join().unwrap();
                let threads =
                    [originator, follower].map(|reader| thread::spawn(|| assert_whole(reader, 4)));
                upstream.send_all(4);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert_eq!(limit.taken_bytes(), 0);
            },
            1_000,
        );
    }
}

#[test]
fn a_slow_reader_is_cut_and_the_others_continue() {
    check_random(
        || {
            let upstream = Upstream::new();
            // In place of a timer: nobody waits.
            let bounds = FlightBounds { max_readers: 9, slow_reader_timeout: Duration::ZERO, ..NARROW };
            let mut originator = begin(&upstream, bounds);
            let mut stalled = originator.flight().join().unwrap();
            let producer = thread::spawn({
                let upstream = upstream.clone();
                move || upstream.send_all(3)
            });
            let mut pieces = Vec::new();
            loop {
                let news = block_on(poll_fn(|cx| match originator.poll_next(cx) {
                    Poll::Pending if originator.remaining_delay().is_some() => {
                        originator.cut_slow_readers();
                        originator.poll_next(cx)
                    }
                    polled => polled,
                }));
                match news {
                    FlightEvent::Head(_) => {}
                    FlightEvent::Piece(Chunk(piece)) => pieces.push(piece),
                    FlightEvent::Complete => break,
                    other => panic!("{other:?}"),
                }
            }
            producer.join().unwrap();
            assert_eq!(pieces, [0, 1, 2]);
            assert!(matches!(next(&mut stalled), FlightEvent::Cut));
        },
        3_000,
    );
}

/// However many readers stall, one after the other and at whatever place, the others wait for less
/// than the one sum.
#[test]
fn stalled_readers_cost_one_sum_of_time() {
    /// A time that passes when it is looked at.
    fn now() -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + Duration::from_millis(NOW.fetch_add(1, SeqCst))
    }
    static NOW: AtomicU64 = AtomicU64::new(0);

    check_random(
        || {
            NOW.store(0, SeqCst);
            let upstream = Upstream::new();
            let bounds = FlightBounds { max_readers: 9, slow_reader_timeout: Duration::from_secs(5), now, ..NARROW };
            let mut originator = begin(&upstream, bounds);
            let flight = Arc::clone(originator.flight());
            let stalling: Vec<_> = (0..4)
                .map(|after| {
                    let mut reader = flight.join().unwrap();
                    thread::spawn(move || {
                        for _ in 0..after {
                            next(&mut reader);
                        }
                        reader
                    })
                })
                .collect();
            upstream.send_all(6);
            let (mut waited, mut pieces) = (Duration::ZERO, Vec::new());
            loop {
                let news = block_on(poll_fn(|cx| {
                    let polled = originator.poll_next(cx);
                    if polled.is_pending()
                        && let Some(left) = originator.remaining_delay()
                    {
                        // In place of a timer: the time passes at once.
                        NOW.fetch_add(left.as_millis() as u64, SeqCst);
                        waited += left;
                        originator.cut_slow_readers();
                        cx.waker().wake_by_ref();
                    }
                    polled
                }));
                match news {
                    FlightEvent::Head(_) => {}
                    FlightEvent::Piece(Chunk(piece)) => pieces.push(piece),
                    FlightEvent::Complete => break,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(pieces, [0, 1, 2, 3, 4, 5]);
            assert!(waited < Duration::from_secs(5), "{waited:?}");
            stalling.into_iter().for_each(|thread| drop(thread.join().unwrap()));
            assert_eq!(upstream.dropped.load(SeqCst), 1);
        },
        3_000,
    );
}

/// One that was cut may never be polled again: it must not keep the call alive.
#[test]
fn the_last_reader_cancels_the_call_after_another_was_cut() {
    check_random(
        || {
            let upstream = Upstream::new();
            let bounds = FlightBounds { slow_reader_timeout: Duration::ZERO, ..NARROW };
            let mut originator = begin(&upstream, bounds);
            let stalled = originator.flight().join().unwrap();
            let producer = thread::spawn({
                let upstream = upstream.clone();
                move || upstream.send(Step::Head(200))
            });
            assert!(matches!(next(&mut originator), FlightEvent::Head(200)));
            producer.join().unwrap();
            upstream.send(Step::Piece(Chunk(0)));
            assert!(matches!(next(&mut originator), FlightEvent::Piece(Chunk(0))));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(originator.poll_next(&mut cx).is_pending());
            assert_eq!(originator.remaining_delay(), Some(Duration::ZERO));
            originator.cut_slow_readers();
            drop(originator);
            assert_eq!(upstream.dropped.load(SeqCst), 1);
            drop(stalled);
        },
        1_000,
    );
}
