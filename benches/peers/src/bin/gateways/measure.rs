//! Runs the gateways by turns with the bare proxy.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error,
    folder::Folder,
    gateways::{self, Gateway, Prepared, Setting},
    load::{CONNECTIONS, Client, chat_request, request},
    server::{Server, has_status, response_head},
    token::{self, Signer},
    upstream::Upstream,
};

const ROUNDS: usize = 21;
/// The requests of the bare proxy in a round.
const REQUESTS: usize = 100 * CONNECTIONS;

pub(crate) struct Report {
    /// Microseconds of CPU of a request of the bare proxy.
    pub(crate) bare: Spread,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) gateway: &'static Gateway,
    pub(crate) version: String,
    /// What was measured, or why not.
    pub(crate) figures: Result<Figures, String>,
}

pub(crate) struct Figures {
    /// CPU of a request as a multiple of the bare proxy's in the same round.
    pub(crate) cpu: Spread,
    /// Microseconds from a request to the first event of a stream, beyond the bare proxy's.
    /// `None` if no stream was sent.
    pub(crate) first_chunk: Result<Option<Spread>, String>,
}

/// The median and the quartiles.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

/// A gateway during the run.
struct Contender {
    gateway: &'static Gateway,
    version: String,
    /// Or why it cannot be measured.
    side: Result<Side, Error>,
    /// The CPU of a request over the bare proxy's, one for each round.
    ratios: Vec<f64>,
}

/// A server and its requests.
struct Side {
    server: Server,
    plain: Vec<u8>,
    stream: Vec<u8>,
}

pub(crate) fn all() -> Result<Report, Error> {
    let folder = Folder::new("gateways")?;
    let signer = Signer::rs256();
    fs::write(folder.0.join("jwks.json"), signer.jwks())?;
    let upstream = Upstream::start()?;
    let setting =
        Setting { folder: folder.0.clone(), upstream: upstream.address, log: read_log()? };
    let token = signer.sign(&token::claims());
    let bare = start("bare", gateways::bare(&setting)?, &setting, &token)?;
    let mut contenders: Vec<_> =
        gateways::ALL.iter().map(|gateway| Contender::start(gateway, &setting, &token)).collect();

    let mut of_bare = Vec::new();
    for round in 0..=ROUNDS {
        eprintln!("CPU, round {round} of {ROUNDS}");
        for contender in &mut contenders {
            let floor = cpu(&bare, REQUESTS)?;
            let ratio = contender.cpu().map(|cpu| cpu / floor);
            // The first round warms connections, caches and compilers.
            if round > 0 {
                of_bare.push(floor);
                contender.ratios.extend(ratio);
            }
        }
    }
    eprintln!("streams");
    let report = |contender: Contender| contender.report(&upstream, &bare);
    let rows = contenders.into_iter().map(report).collect();
    Ok(Report { bare: Spread::of(of_bare).ok_or("no round")?, rows })
}

impl Contender {
    fn start(gateway: &'static Gateway, setting: &Setting, token: &str) -> Self {
        eprintln!("starting {}", gateway.name);
        let prepared = (gateway.prepare)(setting)
            .and_then(|prepared| prepared.ok_or_else(|| "not installed".into()));
        let version = prepared.as_ref().map_or("", |prepared| &prepared.version).to_owned();
        let side = prepared.and_then(|prepared| {
            let side = start(gateway.name, prepared, setting, token)?;
            check(gateway, &side)?;
            Ok(side)
        });
        Self { gateway, version, side, ratios: Vec::new() }
    }

    /// Returns the microseconds of CPU of a request, if it serves.
    fn cpu(&mut self) -> Option<f64> {
        let side = self.side.as_ref().ok()?;
        let error = match cpu(side, self.gateway.requests) {
            Ok(cpu) => return Some(cpu),
            Err(error) => error,
        };
        let printed = side.server.last_lines().unwrap_or_default();
        self.side = Err(format!("{error}\n{printed}").into());
        None
    }

    /// Measures its streams and ends it.
    fn report(self, upstream: &Upstream, bare: &Side) -> Row {
        let Self { gateway, version, side, ratios } = self;
        let figures = side.and_then(|side| {
            let first_chunk = first_chunks(upstream, bare, &side, gateway.streams);
            let first_chunk = first_chunk.map_err(|error| error.to_string());
            Ok(Figures { cpu: Spread::of(ratios).ok_or("no round")?, first_chunk })
        });
        Row { gateway, version, figures: figures.map_err(|error| error.to_string()) }
    }
}

/// Reads and drops the log lines of syslog, and returns the address that takes them.
fn read_log() -> Result<SocketAddr, Error> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut line = [0; 4096];
        while socket.recv(&mut line).is_ok() {}
    });
    Ok(address)
}

fn start(name: &str, prepared: Prepared, setting: &Setting, token: &str) -> Result<Side, Error> {
    let Prepared { command, address, key, fields, .. } = prepared;
    let credential = key.unwrap_or(token);
    let fields = format!("authorization: Bearer {credential}\r\n{fields}");
    let plain = chat_request(&fields, false);
    let output = setting.folder.join(format!("{name}.out"));
    let server = Server::start(&command, address, &plain, output)?;
    Ok(Side { server, plain, stream: chat_request(&fields, true) })
}

/// Fails unless the gateway does what its row says.
fn check(gateway: &Gateway, side: &Side) -> Result<(), Error> {
    let address = side.server.address;
    if gateway.verifies {
        let forged = Signer::rs256().sign(&token::claims());
        let head = response_head(address, &request(&forged, false))?;
        // LiteLLM without a database sends 400.
        if !["400", "401"].iter().any(|status| has_status(&head, status)) {
            return Err(format!("it does not reject a forged token: {head}").into());
        }
    }
    // The request that started the server has filled the cache.
    let head = response_head(address, &side.plain)?.to_ascii_lowercase();
    if gateway.caches && !head.contains("hit") {
        return Err(format!("it does not serve from its cache: {head}").into());
    }
    Ok(())
}

/// Returns the microseconds of CPU of one of `requests` requests.
fn cpu(side: &Side, requests: usize) -> Result<f64, Error> {
    // New connections, because some gateways close those that are idle between two rounds.
    let mut client = Client::connect(side.server.address, CONNECTIONS)?;
    client.run(CONNECTIONS, |_| side.plain.clone())?;
    let before = side.server.cpu()?;
    client.run(requests, |_| side.plain.clone())?;
    let spent = side.server.cpu()?.checked_sub(before).ok_or("a thread of it has ended")?;
    Ok(spent.as_secs_f64() * 1e6 / requests as f64)
}

/// Measures `pairs` streams of both sides by turns, one stream at a time.
fn first_chunks(
    upstream: &Upstream,
    bare: &Side,
    side: &Side,
    pairs: usize,
) -> Result<Option<Spread>, Error> {
    let mut to_bare = Client::connect(bare.server.address, 1)?;
    let mut to_side = Client::connect(side.server.address, 1)?;
    let mut later = Vec::with_capacity(pairs);
    for pair in 0..pairs + pairs / 10 {
        let floor = first_chunk(upstream, &mut to_bare, &bare.stream)?;
        let first = first_chunk(upstream, &mut to_side, &side.stream)?;
        // The first tenth warms both.
        if pair >= pairs / 10 {
            later.push((first.as_secs_f64() - floor.as_secs_f64()) * 1e6);
        }
    }
    Ok(Spread::of(later))
}

/// Returns the time from a request to its first event. The upstream sends the others after it.
fn first_chunk(
    upstream: &Upstream,
    client: &mut Client,
    request: &[u8],
) -> Result<Duration, Error> {
    let start = Instant::now();
    let mut first = None;
    let streamed = client.run_streams(1, request, |read| {
        if first.is_none() && read.windows(5).any(|five| five == b"data:") {
            first = Some(start.elapsed());
            upstream.go_on();
        }
        Ok(())
    });
    if first.is_none() {
        // Else the upstream's stream would wait for ever.
        upstream.go_on();
    }
    streamed?;
    first.ok_or_else(|| "it sends no event before the end".into())
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| samples.get(samples.len() * quarter / 4).copied();
        Some(Self { low: at(1)?, middle: at(2)?, high: at(3)? })
    }
}
