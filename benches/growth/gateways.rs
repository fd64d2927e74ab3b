//! The example as the servers that are measured. Client and upstream share its cores.

use std::{fs, net::SocketAddr};

use http_body_util::Empty;

use crate::{
    Error,
    load::{CONNECTIONS, Client, request},
    server::{Example, Server},
    stub,
    token::{self, Signer},
    turns::Round,
};

/// All checks of the example, without bounds that this bench reaches.
const CHECKS: [&str; 12] = [
    "--schema",
    "builtin",
    "--rate",
    "1M/s",
    "--max-connections",
    "16000",
    "--max-connections-per-address",
    "16000",
    "--upstream-slots",
    "8000",
    "--caller-share",
    "100",
];
/// The requests of one side in a round.
const REQUESTS: usize = 20 * CONNECTIONS;
/// Connections that open together. More might not fit into the backlog of the listener.
const OPENED_AT_ONCE: usize = 100;

/// Starts gateways with the same settings.
pub(crate) struct Gateways {
    example: Example,
    token: String,
}

impl Gateways {
    pub(crate) fn new() -> Result<Self, Error> {
        let signer = Signer::rs256();
        let token = signer.sign(&token::claims());
        Ok(Self { example: Example::build(&signer)?, token })
    }

    pub(crate) fn start(&self, upstream: SocketAddr, threads: u32) -> Result<Server, Error> {
        Server::start(&mut self.example.command(upstream, threads, &CHECKS))
    }

    /// Returns the bytes of a chat request.
    pub(crate) fn request(&self, stream: bool) -> Vec<u8> {
        request(&self.token, stream)
    }

    /// Returns rounds of requests in flight on 32 connections. They return the microseconds of CPU of one.
    pub(crate) fn load<'a>(&self, server: &'a Server) -> Result<Round<'a>, Error> {
        let mut client = Client::connect(server.address, CONNECTIONS)?;
        let request = self.request(false);
        Ok(Box::new(move || {
            let before = server.cpu()?;
            client.run(REQUESTS, |_| request.clone())?;
            Ok((server.cpu()? - before).as_secs_f64() * 1e6 / REQUESTS as f64)
        }))
    }

    /// Opens connections that have had one request each.
    pub(crate) fn idle(&self, server: &Server, connections: usize) -> Result<Vec<Client>, Error> {
        let request = self.request(false);
        in_groups(connections)
            .map(|group| {
                let mut client = Client::connect(server.address, group)?;
                client.run(group, |_| request.clone())?;
                Ok(client)
            })
            .collect()
    }
}

/// Returns the sizes of groups of connections that open together.
pub(crate) fn in_groups(connections: usize) -> impl Iterator<Item = usize> {
    let groups = (0..connections).step_by(OPENED_AT_ONCE);
    groups.map(move |first| OPENED_AT_ONCE.min(connections - first))
}

/// Starts an upstream whose responses are no streams.
pub(crate) fn upstream() -> Result<SocketAddr, Error> {
    stub::start(|| stub::event_stream(Empty::new()))
}

/// Checks that this process and its children may open `files`.
pub(crate) fn check_open_files(files: u64) -> Result<(), Error> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).ok_or("no limit of files")?;
    match soft.parse::<u64>() {
        Ok(soft) if soft < files => {
            Err(format!("{soft} open files are allowed; run `ulimit -n {files}` before").into())
        }
        _ => Ok(()),
    }
}
