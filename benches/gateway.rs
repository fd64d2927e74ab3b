//! Measures the CPU of `examples/gateway` with all checks as a multiple of a bare hyper proxy.
//!
//! `cargo bench --bench gateway` builds the example in release. It starts the example and a pass-through
//! proxy (this program again) in front of one stub upstream and drives both in turn. Quote the ratios
//! because both sides of a ratio are measured within one second.

#[path = "../tests/support/token.rs"]
mod token;

use std::{
    convert::Infallible,
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    Request, Response, Uri, header,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt as _, Full, channel::Channel, combinators::BoxBody};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 15;
/// The requests of one side in a round.
const REQUESTS: usize = 8_000;
const STREAMS: usize = 800;
const EVENTS_IN_A_STREAM: usize = 32;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The core that both sides run on, if `taskset` is there. Client and upstream run on the others.
const CORE: &str = "0";

fn main() -> Result<(), Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    match env::args().skip_while(|argument| argument != "bare").nth(1) {
        Some(upstream) => runtime.block_on(bare_proxy(upstream.parse()?)),
        None => runtime.block_on(compare()),
    }
}

async fn compare() -> Result<(), Error> {
    let upstream = start_stub()?;
    let signer = token::Signer::rs256();
    let folder = env::temp_dir().join(format!("gateway-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("jwks.json"), signer.jwks())?;

    let bare =
        Server::start(Command::new(env::current_exe()?).args(["bare", &upstream.to_string()]))?;
    let example = example()?;
    let gateway = |more: &[&str]| {
        Server::start(
            Command::new(&example)
                .args(["--listen", "127.0.0.1:0", "--threads", "1"])
                .args(["--upstream", &format!("http://{upstream}")])
                .args(["--hf-token-env", "BENCH_TOKEN"])
                .args(["--issuer", token::ISSUER, "--audience", token::AUDIENCE])
                .args(["--scope", token::SCOPE, "--jwks"])
                .arg(folder.join("jwks.json"))
                .arg("--access-log")
                .arg(folder.join("access.log"))
                .args(more)
                .env("BENCH_TOKEN", "hf_bench"),
        )
    };
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
    compare_first_chunk(&bare, &gateway, &stream(0)).await?;
    println!("\nresident, KiB: bare {}, gateway {}", bare.resident()?, gateway.resident()?);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

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

async fn compare_first_chunk(bare: &Server, gateway: &Server, job: &Job) -> Result<(), Error> {
    let mut later = Vec::new();
    let (mut to_bare, mut to_gateway) =
        (connect(bare.address).await?, connect(gateway.address).await?);
    for _ in 0..500 {
        let bare = first_chunk(&mut to_bare, job).await?;
        let gateway = first_chunk(&mut to_gateway, job).await?;
        later.push((gateway.as_secs_f64() - bare.as_secs_f64()) * 1e6);
    }
    let middle = spread(later).1;
    println!("\nfirst chunk of a stream, us after bare (median of 500 pairs): {middle:+.1}");
    Ok(())
}

async fn first_chunk(sender: &mut SendRequest<Full<Bytes>>, job: &Job) -> Result<Duration, Error> {
    let start = Instant::now();
    let mut body = send(sender, job).await?;
    body.frame().await.ok_or("an empty stream")??;
    let first = start.elapsed();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(first)
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

// === the servers ===

/// A listening process. Dropping it stops the process.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &Command) -> Result<Self, Error> {
        let mut child = pinned(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = loop {
            let line = lines.next().ok_or("ended before it listened")??;
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse()?;
            }
        };
        // Its later output must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// Returns the CPU time of all its threads, as the scheduler counts it.
    fn cpu(&self) -> Result<Duration, Error> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let count = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += count.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn resident(&self) -> Result<u64, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Returns the same command on [`CORE`].
fn pinned(command: &Command) -> Command {
    let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
    let program = if has_taskset { "taskset".as_ref() } else { command.get_program() };
    let mut pinned = Command::new(program);
    if has_taskset {
        pinned.args(["-c", CORE]).arg(command.get_program());
    }
    pinned.args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned
}

/// Builds the example in release and returns its path.
fn example() -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(cargo)
        .args(["build", "--profile", "bench", "--example", "gateway"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the example does not build".into());
    }
    // The path of this bench is target/release/deps/gateway-….
    let bench = env::current_exe()?;
    let release = bench.ancestors().nth(2).ok_or("no target folder")?;
    Ok(release.join("examples/gateway"))
}

/// A proxy that checks nothing. It is the lower bound of a proxy on hyper.
async fn bare_proxy(upstream: SocketAddr) -> Result<(), Error> {
    let authority: Authority = upstream.to_string().parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener, move |mut request: Request<Incoming>| {
        let client = client.clone();
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.clone());
        let uri = Uri::from_parts(parts);
        async move {
            *request.uri_mut() = uri?;
            Ok::<_, Error>(client.request(request).await?)
        }
    })
    .await
}

/// The upstream of both sides. It sends 990 bytes or a stream of events.
fn start_stub() -> Result<SocketAddr, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        // `from_std` needs the runtime.
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            serve(listener, |request| async {
                let body = request.into_body().collect().await?.to_bytes();
                let streams = body.ends_with(b"\"stream\":true}");
                Ok::<_, Error>(if streams { stream_answer()? } else { plain_answer()? })
            })
            .await
        })
    });
    Ok(address)
}

fn plain_answer() -> Result<Response<BoxBody<Bytes, Infallible>>, Error> {
    let start = r#"{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let end = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":64,"total_tokens":104}}"#;
    let text = "y".repeat(990 - start.len() - end.len());
    let body = Full::new(Bytes::from(format!("{start}{text}{end}")));
    Ok(Response::builder().header(header::CONTENT_TYPE, "application/json").body(body.boxed())?)
}

fn stream_answer() -> Result<Response<BoxBody<Bytes, Infallible>>, Error> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for number in 0..EVENTS_IN_A_STREAM {
            let event = format!(
                "data: {{\"id\":\"chatcmpl-stub\",\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word {number}\"}},\"finish_reason\":null}}]}}\n\n"
            );
            if sender.send_data(Bytes::from(event)).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _reader_left = sender.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await;
    });
    let body = body.map_err(|never: Infallible| match never {}).boxed();
    Ok(Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body)?)
}

async fn serve<F, R, B>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<Response<B>, R>> + Send,
    R: Into<Error> + 'static,
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let server = http1::Builder::new();
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

/// Returns minimum, median and maximum.
fn spread(mut samples: Vec<f64>) -> (f64, f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[0], samples[samples.len() / 2], samples[samples.len() - 1])
}
