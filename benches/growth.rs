//! Measures the cost of a request beside everything that a busy gateway has more of: bytes, keys,
//! entries, routes, readers, connections, streams and threads.
//!
//! `cargo bench --bench growth` prints a table in Markdown. `cargo bench --bench growth -- keys` prints
//! the rows of one part. Each part is a process of its own, so that the memory of one does not
//! hide in what another has freed. The sizes of a part take turns because the machine's speed drifts.

#[path = "gateway/bare.rs"]
mod bare;
#[path = "growth/bodies.rs"]
mod bodies;
#[path = "growth/connections.rs"]
mod connections;
#[path = "gateway/cpu_time.rs"]
mod cpu_time;
#[path = "growth/entries.rs"]
mod entries;
#[path = "growth/followers.rs"]
mod followers;
#[path = "growth/gateways.rs"]
mod gateways;
#[path = "growth/keys.rs"]
mod keys;
#[allow(dead_code, reason = "one stream at a time is not enough here")]
#[path = "instructions/src/load.rs"]
mod load;
#[path = "../tests/support/pass.rs"]
mod pass;
#[path = "growth/requests.rs"]
mod requests;
#[path = "growth/routes.rs"]
mod routes;
#[path = "gateway/server.rs"]
mod server;
#[path = "growth/streams.rs"]
mod streams;
#[path = "gateway/stub.rs"]
mod stub;
#[path = "growth/table.rs"]
mod table;
#[path = "growth/threads.rs"]
mod threads;
#[path = "../tests/support/token.rs"]
mod token;
#[path = "growth/turns.rs"]
mod turns;

use std::{env, process::Command};

use tokio::runtime;

type Error = Box<dyn std::error::Error + Send + Sync>;

type Part = (&'static str, fn() -> Result<(), Error>);

const PARTS: [Part; 9] = [
    ("bodies", bodies::measure),
    ("bodies-kept", bodies::measure_kept),
    ("keys", keys::measure),
    ("entries", entries::measure),
    ("routes", routes::measure),
    ("followers", followers::measure),
    ("connections", connections::measure),
    ("streams", streams::measure),
    ("threads", threads::measure),
];

fn main() -> Result<(), Error> {
    if let Some(upstream) = bare::upstream() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(bare::serve(upstream.parse()?));
    }
    // cargo adds `--bench`.
    let Some(name) = env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        return measure_all();
    };
    let part = PARTS.iter().find(|(part, _)| *part == name);
    let (_, measure) = part.ok_or_else(|| format!("there is no part {name}"))?;
    measure()
}

fn measure_all() -> Result<(), Error> {
    table::print_head();
    let mut failed = Vec::new();
    for (name, _) in PARTS {
        if !Command::new(env::current_exe()?).arg(name).status()?.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("not measured: {}", failed.join(", ")).into())
}
