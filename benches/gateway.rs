//! Measures the CPU of `examples/gateway` with all checks as a multiple of a bare hyper proxy.
//!
//! `cargo bench --bench gateway` builds the example in release. It starts the example and a pass-through
//! proxy (this program again) in front of one stub upstream and drives both in turn. Quote the ratios
//! because both sides of a ratio are measured within one second.

#[path = "gateway/bare.rs"]
mod bare;
#[path = "gateway/cpu_time.rs"]
mod cpu_time;
#[path = "gateway/pinned.rs"]
mod pinned;
#[path = "gateway/server.rs"]
mod server;
#[path = "gateway/stub.rs"]
mod stub;
#[path = "../tests/support/token.rs"]
mod token;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, channel::Channel};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use pinned::pinned;
use server::{Example, Server};
use stub::Answer;
use tokio::{net::TcpStream, runtime};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 15;
/// The requests of one side in a round.
const REQUESTS: usize = 8_000;
const STREAMS: usize = 320;
const EVENTS_IN_A_STREAM: usize = 50;
/// The time between two events of a stream.
const PACE: Duration = Duration::from_millis(2);
/// The pauses before first requests. The processor does something else in the meantime, so that the
/// code of a request is cold again.
const PAUSE: Duration = Duration::from_millis(20);
const PAIRS: usize = 200;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    match bare::upstream() {
        Some(upstream) => runtime.block_on(bare::serve(upstream.parse()?)),
        None => runtime.block_on(compare()),
    }
}

async fn compare() -> Result<(), Error> {
    let upstream = stub::start(stream_answer)?;
    let signer = token::Signer::rs256();
    let bare = Server::start(&mut pinned(&bare::command(upstream)?))?;
    let example = Example::build(&signer)?;
    let gateway = |more: &[&str]| Server::start(&mut pinned(&example.command(upstream, 1, more)));
    let (gateway, caching) = (gateway(&[])?, gateway(&["--cache-ttl", "1h"])?);

    let warm = signer.sign(&token::claims());
    let plain = |_: usize| Job { token: warm.clone(), stream: false };
    let stream = |_: usize| Job { token: warm.clone(), stream: true };
    println!("gateway: {CONNECTIONS} connections, {ROUNDS} rounds, one worker thread each\n");
    println!("{:<34} {:>10} {:>10} {:>8} {:>15}", "", "bare", "gateway", "ratio", "min to max");
    compare_cpu("plain, us of CPU a request", &bare, &gateway, REQUESTS, plain).await?;
    compare_cpu("stream, us of CPU a stream", &bare, &gateway, STREAMS, stream).await?;
    compare_cpu("plain, new token each, us of CPU", &bare, &gateway, REQUESTS / 8, |number| {
        let mut claims = token::claims();
        claims["jti"] = format!("{number}-{:?}", Instant::now()).into();
        Job { token: signer.sign(&claims), stream: false }
    })
    .await?;
    compare_cpu("plain, served from the cache", &bare, &caching, REQUESTS, plain).await?;
    compare_cpu("stream, replayed from the cache", &bare, &caching, STREAMS, stream).await?;
    println!(
        "\nfirst chunk of a stream on a new connection after a pause, us (median of {PAIRS})\n"
    );
    println!("{:<34} {:>10} {:>10} {:>8}", "", "bare", "gateway", "later");
    compare_first_chunk("one stream", &bare, &gateway, 1, &stream(0)).await?;
    compare_first_chunk("32 streams at once", &bare, &gateway, CONNECTIONS, &stream(0)).await?;
    println!("\nresident, KiB: bare {}, gateway {}", bare.resident()?, gateway.resident()?);
    Ok(())
}

#[derive(Clone)]
struct Job {
    token: String,
    stream: bool,
}

async fn compare_cpu(
    what: &str,
    bare: &Server,
    gateway: &Server,
    requests: usize,
    job: impl Fn(usize) -> Job,
) -> Result<(), Error> {
    let mut sides = [(bare, Vec::new()), (gateway, Vec::new())];
    for round in 0..=ROUNDS {
        for (server, samples) in &mut sides {
            let jobs = (0..requests).map(&job).collect();
            let before = server.cpu()?;
            drive(server.address, jobs).await?;
            let spent = server.cpu()? - before;
            // The first round warms connections, caches and branch predictors.
            if round > 0 {
                samples.push(spent.as_secs_f64() * 1e6 / requests as f64);
            }
        }
    }
    let [(_, bare), (_, gateway)] = sides;
    let ratios = bare.iter().zip(&gateway).map(|(bare, gateway)| gateway / bare).collect();
    let (low, ratio, high) = spread(ratios);
    println!(
        "{what:<34} {:>10.1} {:>10.1} {ratio:>8.2} {:>15}",
        spread(bare).1,
        spread(gateway).1,
        format!("{low:.2} to {high:.2}"),
    );
    Ok(())
}

/// Sends the jobs over `CONNECTIONS` connections. Each connection has one job at a time.
async fn drive(address: SocketAddr, mut jobs: Vec<Job>) -> Result<(), Error> {
    let share = jobs.len().div_ceil(CONNECTIONS);
    let mut workers = tokio::task::JoinSet::new();
    while !jobs.is_empty() {
        let jobs = jobs.split_off(jobs.len().saturating_sub(share));
        workers.spawn(async move {
            let mut sender = connect(address).await?;
            for job in jobs {
                let mut body = send(&mut sender, &job).await?;
                while let Some(frame) = body.frame().await {
                    frame?;
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// Prints the time from the first byte of a request to the first chunk of its response. Each request
/// is the first one of its connection.
async fn compare_first_chunk(
    what: &str,
    bare: &Server,
    gateway: &Server,
    at_once: usize,
    job: &Job,
) -> Result<(), Error> {
    let (mut of_bare, mut of_gateway, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let bare = first_chunk(bare, at_once, job).await?;
        let gateway = first_chunk(gateway, at_once, job).await?;
        of_bare.push(bare);
        of_gateway.push(gateway);
        later.push(gateway - bare);
    }
    let [bare, gateway, later] = [of_bare, of_gateway, later].map(|samples| spread(samples).1);
    println!("{what:<34} {bare:>10.0} {gateway:>10.0} {later:>+8.0}");
    Ok(())
}

/// Returns the median of some streams at once, in microseconds.
async fn first_chunk(server: &Server, at_once: usize, job: &Job) -> Result<f64, Error> {
    let mut senders = Vec::with_capacity(at_once);
    for _ in 0..at_once {
        senders.push(connect(server.address).await?);
    }
    tokio::time::sleep(PAUSE).await;
    let mut streams = tokio::task::JoinSet::new();
    for mut sender in senders {
        let job = job.clone();
        streams.spawn(async move {
            let start = Instant::now();
            let mut body = send(&mut sender, &job).await?;
            body.frame().await.ok_or("an empty stream")??;
            let first = start.elapsed();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, Error>(first.as_secs_f64() * 1e6)
        });
    }
    let mut firsts = Vec::with_capacity(at_once);
    while let Some(first) = streams.join_next().await {
        firsts.push(first??);
    }
    Ok(spread(firsts).1)
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, job: &Job) -> Result<Incoming, Error> {
    let prompt = "x".repeat(170);
    let body = format!(
        r#"{{"model":"stub","messages":[{{"role":"user","content":"{prompt}"}}],"max_tokens":64,"temperature":0,"stream":{}}}"#,
        job.stream
    );
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, "gateway")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "bench")
        .header(header::AUTHORIZATION, format!("Bearer {}", job.token))
        .body(Full::new(Bytes::from(body)))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("answered {}", response.status()).into());
    }
    Ok(response.into_body())
}

/// Sends a stream of events.
fn stream_answer() -> Result<Answer, Error> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for number in 0..EVENTS_IN_A_STREAM {
            if sender.send_data(stub::event(number)).await.is_err() {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
        let _reader_left = sender.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await;
    });
    stub::event_stream(body)
}

/// Returns minimum, median and maximum.
fn spread(mut samples: Vec<f64>) -> (f64, f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[0], samples[samples.len() / 2], samples[samples.len() - 1])
}
