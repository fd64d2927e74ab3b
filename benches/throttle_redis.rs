//! Measures decisions through a server on loopback, with leases and with one script call per request.
//!
//! `cargo bench --bench throttle_redis` starts `redis-server` (or what `REDIS_SERVER` names) on a
//! free port and drives one layer of each kind in turn. Quote the ratio because both sides are measured
//! within one second.

use std::{
    convert::Infallible,
    env,
    error::Error,
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{runtime, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, Rate, RedisStore},
    secret::Secret,
    throttle::ThrottleLayer,
};

const ROUNDS: usize = 11;
/// The requests of one side in a round.
const REQUESTS: usize = 4_000;
const CALLERS: usize = 8;
/// The requests in flight at a time.
const LANES: usize = 16;
const LEASES: [u32; 3] = [10, 100, 1_000];

/// A server. Dropping it stops the process.
struct Server(Child);

fn main() -> Result<(), Box<dyn Error>> {
    let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let started = Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn();
    let Ok(server) = started.map(Server) else {
        println!("no redis-server here: nothing is measured");
        return Ok(());
    };
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let single = layer(port, 1)?;
        measure(&single).await;
        for lease in LEASES {
            let leasing = layer(port, lease)?;
            measure(&leasing).await;
            compare(&single, &leasing, lease).await;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    drop(server);
    Ok(())
}

async fn compare(single: &ThrottleLayer, leasing: &ThrottleLayer, lease: u32) {
    let mut ratios = Vec::with_capacity(ROUNDS);
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let one_by_one = measure(single).await;
        let leased = measure(leasing).await;
        ratios.push(leased / one_by_one);
        rates.push((one_by_one, leased));
    }
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (one_by_one, leased) = rates[ROUNDS / 2];
    println!(
        "lease {lease:>5}: {:>6.2} x one script call per request (median of {ROUNDS}; {:.2} to \
         {:.2}); about {leased:.0} beside {one_by_one:.0} decisions/s",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
    );
}

/// Returns the decisions per second.
async fn measure(layer: &ThrottleLayer) -> f64 {
    let callers: Arc<[Arc<Identity>]> = (0..CALLERS)
        .map(|caller| {
            let caller = format!("caller-{caller}");
            Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", caller))
        })
        .collect();
    let begin = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (layer, callers) = (layer.clone(), Arc::clone(&callers));
        lanes.spawn(async move {
            let inner = service_fn(|_: Request<Empty<Bytes>>| async {
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            });
            let service = layer.layer(inner);
            for number in 0..REQUESTS / LANES {
                let mut request = Request::new(Empty::new());
                let caller = Arc::clone(&callers[(lane + number) % CALLERS]);
                RequestContext::ensure(request.extensions_mut()).set_identity(caller);
                let Ok(response) = service.clone().oneshot(request).await;
                assert_eq!(response.status(), 200);
            }
        });
    }
    lanes.join_all().await;
    REQUESTS as f64 / begin.elapsed().as_secs_f64()
}

fn layer(port: u16, lease: u32) -> Result<ThrottleLayer, Box<dyn Error>> {
    let address = Secret::new(format!("redis://127.0.0.1:{port}"));
    let store = RedisStore::single(address, Secret::new("0123456789abcdef0123456789abcdef"))?
        // A busy machine must not cause the outage policy.
        .decision_timeout(Duration::from_secs(5))
        .lease(lease);
    let limit = Limit::per_identity(Rate::per_second(1_000_000_000));
    Ok(ThrottleLayer::new(limit).store(store))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
