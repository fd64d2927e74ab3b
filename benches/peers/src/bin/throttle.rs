//! Measures a request that passes a limit beside other crates.
//!
//! `cargo run --release --bin throttle` in this folder. All sides take turns of some calls so that a drift
//! of the machine's speed affects all of them. No request is rejected. The requests are made before the
//! clock starts. A separate round counts the allocations.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use axum::body::Body;
use governor::{Quota, RateLimiter};
use http::{Request, Response};
use tower::{Layer, Service, layer::util::Identity};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};
use tower_inference::{
    context::RequestContext,
    context::RequestHead,
    limits::{Limit, LimitHeaders, Rate},
    throttle::ThrottleLayer,
};

/// Sends requests of these callers and returns the nanoseconds of each.
type Worker = Box<dyn FnMut(&[u64]) -> f64 + Send>;

/// The workers of one side share its counters.
type Contender = (&'static str, Box<dyn Fn() -> Worker>);

/// The calls of a round.
const CALLS: usize = 64;
const ROUNDS: usize = 2_000;

fn main() {
    for keys in [1_000, 1_000_000] {
        let contenders = contenders();
        // All keys exist before the first turn.
        for (_, make) in &contenders {
            let mut worker = make();
            for first in (0..keys).step_by(CALLS) {
                worker(&(first..keys.min(first + CALLS as u64)).collect::<Vec<_>>());
            }
        }
        for threads in [1, 2] {
            println!("\n{keys} keys, {threads} threads: nanoseconds (quartiles), allocations");
            compare(&contenders, keys, threads);
        }
    }
}

fn contenders() -> Vec<Contender> {
    vec![
        ("a request, bare", layered(Identity::new())),
        ("governor alone, no request", governor_alone()),
        ("a request, one limit", layered(ours(1).headers(LimitHeaders::Off))),
        ("a request, one limit and its headers", layered(ours(1))),
        ("a request, four limits", layered(ours(4).headers(LimitHeaders::Off))),
        ("a request, tower_governor", layered(theirs())),
    ]
}

fn ours(limits: usize) -> ThrottleLayer {
    // Two limits by caller and two global ones, as in a usage plan of API Gateway.
    let rate = || Rate::per_second(1_000_000_000).burst(1_000_000_000);
    let caller =
        |head: &RequestHead<'_>| head.extensions().get::<u64>().map(|key| key.to_le_bytes());
    let first = ThrottleLayer::new(Limit::per_key(caller, rate()).shown());
    let more = [Limit::per_key(caller, rate()), Limit::per_route(rate()), Limit::global(rate())];
    more.into_iter().take(limits - 1).fold(first, ThrottleLayer::limit)
}

fn theirs() -> GovernorLayer<Caller, governor::middleware::NoOpMiddleware, Body> {
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(1_000_000_000)
        .key_extractor(Caller)
        .finish()
        .unwrap();
    GovernorLayer::new(config)
}

#[derive(Clone, Debug)]
struct Caller;

impl KeyExtractor for Caller {
    type Key = u64;

    fn extract<T>(&self, request: &Request<T>) -> Result<u64, GovernorError> {
        request.extensions().get().copied().ok_or(GovernorError::UnableToExtractKey)
    }
}

fn governor_alone() -> Box<dyn Fn() -> Worker> {
    let quota = Quota::per_second(1_000_000_000.try_into().unwrap());
    let limiter = Arc::new(RateLimiter::keyed(quota));
    Box::new(move || {
        let limiter = Arc::clone(&limiter);
        Box::new(move |callers| {
            let start = Instant::now();
            for caller in callers {
                assert!(limiter.check_key(black_box(caller)).is_ok());
            }
            start.elapsed().as_nanos() as f64 / callers.len() as f64
        })
    })
}

fn layered<L, B>(layer: L) -> Box<dyn Fn() -> Worker>
where
    L: Layer<Bare> + 'static,
    L::Service: Service<Request<()>, Response = Response<B>, Error = Infallible> + Send + 'static,
{
    Box::new(move || {
        let mut service = layer.layer(Bare);
        Box::new(move |callers| {
            let requests: Vec<_> = callers.iter().copied().map(request).collect();
            let start = Instant::now();
            for request in requests {
                assert!(call(&mut service, black_box(request)));
            }
            start.elapsed().as_nanos() as f64 / callers.len() as f64
        })
    })
}

/// Returns a request with the context that the outermost layer of a stack makes.
fn request(caller: u64) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(RequestContext::new());
    request.extensions_mut().insert(caller);
    request
}

/// Responds with 200.
#[derive(Clone)]
struct Bare;

impl Service<Request<()>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(request);
        ready(Ok(Response::new(Body::empty())))
    }
}

fn call<S, B>(service: &mut S, request: Request<()>) -> bool
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(Ok(response)) => response.status().is_success(),
        Poll::Pending => false,
    }
}

fn compare(contenders: &[Contender], keys: u64, threads: usize) {
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    let mut workers: Vec<Vec<Worker>> = contenders
        .iter()
        .map(|(_, make)| std::iter::repeat_with(make).take(threads).collect())
        .collect();
    let mut seed = 1;
    for _ in 0..ROUNDS {
        for (workers, times) in workers.iter_mut().zip(&mut times) {
            let callers: Vec<_> = (0..threads).map(|_| callers(&mut seed, keys)).collect();
            times.push(round(workers, &callers));
        }
    }
    for (((name, _), workers), times) in contenders.iter().zip(&mut workers).zip(&mut times) {
        let callers = callers(&mut seed, keys);
        // The requests and their list are made in the same call.
        let made = allocation_counter::measure(|| {
            let requests: Vec<_> = callers.iter().copied().map(request).collect();
            drop(black_box(requests));
        });
        let all = allocation_counter::measure(|| {
            workers[0](&callers);
        });
        let made = if name.contains("no request") { 0 } else { made.count_total };
        let allocations = (all.count_total - made) as f64 / CALLS as f64;
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[times.len() * part / 4];
        println!("  {name:<38} {:>7.0} ({:.0} to {:.0}), {allocations}", at(2), at(1), at(3));
    }
}

/// One turn of all threads at once.
fn round(workers: &mut [Worker], callers: &[Vec<u64>]) -> f64 {
    if let [worker] = workers {
        return worker(&callers[0]);
    }
    let barrier = Barrier::new(workers.len());
    let threads = workers.len() as f64;
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .iter_mut()
            .zip(callers)
            .map(|(worker, callers)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    worker(callers)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum::<f64>() / threads
    })
}

/// Returns numbers below `keys` in random order.
fn callers(seed: &mut u64, keys: u64) -> Vec<u64> {
    let next = || {
        // Knuth's linear congruential generator of 64 bits.
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % keys
    };
    std::iter::repeat_with(next).take(CALLS).collect()
}
