//! Measures the time, the hit ratio and the memory of the cache beside other crates.
//!
//! `cargo run --release --bin cache` in this folder. In the first part all sides take turns so that a
//! drift of the machine's speed affects all of them. Each response is read to its end. `-- memory 1024`
//! fills a gibibyte with responses of 1,024 bytes instead and prints the memory.

use std::{
    collections::VecDeque,
    convert::Infallible,
    env, fs,
    future::{Ready, ready},
    hint::black_box,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use tower::{Layer, Service};
use tower_inference::{
    cache::{CacheLayer, Cacheable, MemoryTier, Scope},
    context::RequestContext,
    payload::Payload,
};

const ROUNDS: usize = 200;
/// The requests of a turn.
const REQUESTS: usize = 32;
const EVENT: usize = 160;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _for_timers = runtime.enter();
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [word, size] = arguments.as_slice() {
        assert_eq!(word, "memory");
        return memory(size.parse().unwrap());
    }
    for size in [1 << 10, 64 << 10, 1 << 20] {
        costs(size);
    }
    zipf();
}

// === The time of a request ===

fn costs(size: usize) {
    let upstream = Upstream::of(size);
    let events = Upstream::events(size);
    let layer = || layer().memory(bounds());
    let hits = layer();
    let (replays, packed) = (layer(), layer().memory(bounds().compress_above(0)));
    let number = AtomicU64::new(0);
    let new = || number.fetch_add(1, Relaxed);
    let kept = |layer: &CacheLayer, upstream: &Upstream| {
        run(&mut layer.layer(upstream.clone()), upstream.request(u64::MAX));
        let (layer, upstream) = (layer.clone(), upstream.clone());
        move || {
            let requests: Vec<_> = (0..REQUESTS).map(|_| upstream.request(u64::MAX)).collect();
            timed(&mut layer.layer(upstream.clone()), requests)
        }
    };
    let passing = |upstream: &Upstream| {
        let mut upstream = upstream.clone();
        move || {
            let requests = (0..REQUESTS as u64).map(|number| upstream.request(number)).collect();
            timed(&mut upstream, requests)
        }
    };
    let misses = |layer: CacheLayer, upstream: &Upstream| {
        let mut service = layer.layer(upstream.clone());
        let (new, upstream) = (&new, upstream.clone());
        move || {
            let requests = (0..REQUESTS).map(|_| upstream.request(new())).collect();
            timed(&mut service, requests)
        }
    };
    let shared = |layer: CacheLayer, upstream: &Upstream| {
        let service = layer.layer(upstream.clone());
        let (new, upstream) = (&new, upstream.clone());
        move || {
            let number = new();
            together(&service, (0..REQUESTS).map(|_| upstream.request(number)).collect())
        }
    };
    let contenders: Vec<(&str, f64, Box<dyn FnMut() -> f64 + '_>)> = vec![
        ("pass-through", 1.0, Box::new(passing(&upstream))),
        ("a miss, kept", 1.0, Box::new(misses(layer(), &upstream))),
        ("a hit", 1.0, Box::new(kept(&hits, &upstream))),
        ("a hit, compressed", 1.0, Box::new(kept(&packed, &upstream))),
        ("32 at once: each", 1.0, Box::new(shared(layer(), &upstream))),
        ("an event, pass-through", events.pieces(), Box::new(passing(&events))),
        ("an event, recorded", events.pieces(), Box::new(misses(layer(), &events))),
        ("an event, replayed", events.pieces(), Box::new(kept(&replays, &events))),
        ("32 at once: each event", events.pieces(), Box::new(shared(layer(), &events))),
    ];
    println!("\n{size} bytes, events of {EVENT}: nanoseconds, median (quartiles)");
    let mut contenders = contenders;
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    let rounds = if size > 1 << 18 { ROUNDS / 8 } else { ROUNDS };
    for _ in 0..rounds {
        for ((_, parts, contender), times) in contenders.iter_mut().zip(&mut times) {
            times.push(contender() / *parts);
        }
    }
    for ((name, ..), times) in contenders.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[(times.len() * part / 4).min(times.len() - 1)];
        println!("  {name:<26} {:>9.0} ({:.0} to {:.0})", at(2), at(1), at(3));
    }
}

/// Returns the nanoseconds of each request, one after another.
fn timed<S, B>(service: &mut S, requests: Vec<Request<Payload>>) -> f64
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let many = requests.len() as f64;
    let start = Instant::now();
    for request in requests {
        black_box(run(service, black_box(request)));
    }
    start.elapsed().as_nanos() as f64 / many
}

/// Returns the nanoseconds of each request. All are in flight before the first is read.
fn together<S, B>(service: &S, requests: Vec<Request<Payload>>) -> f64
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
{
    let many = requests.len() as f64;
    let mut cx = Context::from_waker(Waker::noop());
    let start = Instant::now();
    let mut waiting: VecDeque<_> = requests
        .into_iter()
        .map(|request| {
            let mut service = service.clone();
            assert!(service.poll_ready(&mut cx).is_ready());
            Box::pin(service.call(request))
        })
        .collect();
    let mut bodies = Vec::new();
    while let Some(mut future) = waiting.pop_front() {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(response)) => bodies.push(response.into_body()),
            Poll::Pending => waiting.push_back(future),
        }
    }
    for body in bodies {
        black_box(read(body));
    }
    start.elapsed().as_nanos() as f64 / many
}

fn run<S, B>(service: &mut S, request: Request<Payload>) -> usize
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = pin!(service.call(request));
    loop {
        if let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) {
            return read(response.into_body());
        }
    }
}

/// Reads a body to its end and returns its bytes.
fn read(body: impl Body<Data = Bytes>) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    let mut bytes = 0;
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Poll::Ready(Some(Err(_))) => panic!("an answer broke"),
            Poll::Ready(None) => return bytes,
            Poll::Pending => {}
        }
    }
}

fn bounds() -> MemoryTier {
    MemoryTier::new().max_bytes(256 << 20).max_entry_bytes(4 << 20)
}

fn layer() -> CacheLayer {
    CacheLayer::new("bench", Scope::Shared).cacheable(Cacheable::always())
}

/// An upstream that responds at once in pieces.
#[derive(Clone)]
struct Upstream {
    pieces: Arc<[Bytes]>,
    kind: &'static str,
    // Each response has memory of its own.
    copies: bool,
    calls: Arc<AtomicU64>,
}

struct Answer {
    pieces: Arc<[Bytes]>,
    next: usize,
}

impl Upstream {
    /// This number of bytes in one piece.
    fn of(size: usize) -> Self {
        const AROUND: usize = 90;
        let text = "x".repeat(size - AROUND);
        let answer = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#
        );
        Self::new(vec![answer.into()], "application/json")
    }

    /// About this number of bytes in events.
    fn events(size: usize) -> Self {
        let text = "x".repeat(EVENT - 62);
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        );
        let event = Bytes::from(event);
        let mut pieces = vec![event; (size / EVENT).max(1)];
        pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Self::new(pieces, "text/event-stream")
    }

    fn new(pieces: Vec<Bytes>, kind: &'static str) -> Self {
        Self { pieces: pieces.into(), kind, copies: false, calls: Arc::default() }
    }

    fn pieces(&self) -> f64 {
        self.pieces.len() as f64
    }

    /// A chat whose document is parsed, as the payload layer forwards it.
    fn request(&self, number: u64) -> Request<Payload> {
        let stream = self.kind == "text/event-stream";
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"question {number}"}}],"temperature":0,"stream":{stream}}}"#
        );
        let mut request =
            Request::post("/v1/chat/completions").body(Payload::buffered(body)).unwrap();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(RequestContext::new());
        assert!(request.body().document().is_ok());
        request
    }
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Answer>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        drop(request);
        self.calls.fetch_add(1, Relaxed);
        let pieces = if self.copies {
            self.pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect()
        } else {
            Arc::clone(&self.pieces)
        };
        let mut response = Response::new(Answer { pieces, next: 0 });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        ready(Ok(response))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

// === The hit ratio and the memory ===

/// Requests more responses than fit, distributed by Zipf's law. Prints the hit ratio beside that of moka
/// with the same weight.
fn zipf() {
    const KEYS: usize = 100_000;
    const ASKED: usize = 400_000;
    const SIZE: usize = 1 << 10;
    println!("\n{ASKED} requests for {KEYS} answers of {SIZE} bytes by Zipf's law: hits");
    for exponent in [0.7, 0.9, 1.1] {
        let weights = (1..=KEYS).scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-exponent);
            Some(*sum)
        });
        let sums: Vec<f64> = weights.collect();
        for share in [100, 20] {
            let upstream = Upstream::of(SIZE);
            // The layer reports the weight of a response.
            let one = layer();
            run(&mut one.layer(upstream.clone()), upstream.request(0));
            let room = one.bytes() * (KEYS / share) as u64;
            let ours = layer().memory(MemoryTier::new().max_bytes(room));
            let mut service = ours.layer(upstream.clone());
            let theirs = moka::sync::Cache::builder()
                .weigher({
                    let weight = one.bytes() as u32;
                    move |_: &u64, _: &Bytes| weight
                })
                .max_capacity(room)
                .time_to_live(Duration::from_secs(300))
                .build();
            let (mut seed, mut hit) = (7_u64, 0_u64);
            let before = upstream.calls.load(Relaxed);
            for _ in 0..ASKED {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 11) as f64 / (1_u64 << 53) as f64 * sums[KEYS - 1];
                let key = sums.partition_point(|sum| *sum < at) as u64;
                run(&mut service, upstream.request(key));
                if theirs.get(&key).is_some() {
                    hit += 1;
                } else {
                    theirs.insert(key, upstream.pieces[0].clone());
                }
            }
            let missed = upstream.calls.load(Relaxed) - before;
            let percent = |hits: u64| hits as f64 * 100.0 / ASKED as f64;
            println!(
                "  exponent {exponent}, room for 1 of {share}: {:.1} %, moka {:.1} %",
                percent(ASKED as u64 - missed),
                percent(hit),
            );
        }
    }
}

/// Fills a gibibyte and prints the growth of the process.
fn memory(size: usize) {
    let upstream = Upstream { copies: true, ..Upstream::of(size) };
    let layer = layer().memory(bounds().max_bytes(1 << 30));
    let mut service = layer.layer(upstream.clone());
    let before = resident();
    for number in 0.. {
        run(&mut service, upstream.request(number));
        if layer.counts().iter().any(|counts| counts.evicted > 0) {
            break;
        }
    }
    let grown = (resident() - before) as f64;
    let entries = layer.entries() as f64;
    println!(
        "answers of {size} bytes: {entries} kept, {:.0} bytes of weight and {:.0} of memory each; {:.2} GiB resident",
        layer.bytes() as f64 / entries,
        grown / entries,
        grown / f64::from(1 << 30),
    );
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
