//! A gateway on axum: `cargo run --example gateway`.
//!
//! Without flags it needs nothing else and is a demo; `--help` says how to point it at real parts.

mod activity;
mod allowed;
mod args;
mod bodies;
mod cache;
mod callers;
mod check;
mod connections;
mod demo;
mod head;
mod limits;
mod log;
mod peer;
mod ready;
mod routes;
mod serve;
mod shared;
mod signals;
mod stack;
mod tls;
mod units;
mod upstream;
mod verdict;

use std::{env, io, num::NonZeroUsize, process::ExitCode};

use tokio::{net::TcpListener, runtime, task::JoinSet};
use tracing_subscriber::filter::LevelFilter;

use self::{
    args::{Command, Parts, Serve},
    bodies::Bodies,
    demo::{Banner, Demo},
    limits::Limits,
    ready::Ready,
    serve::Server,
    signals::Signals,
    upstream::Way,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let command = match args::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(wrong) => {
            eprintln!("gateway: {wrong}. --help says more.");
            return ExitCode::from(2);
        }
    };
    let threads = match &command {
        Command::Help => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Command::Serve(serve) => serve.threads,
        Command::Check { threads, .. } => *threads,
    };
    // What the layers warn of: keys and tokens that cannot be had, upstreams that fail.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let mut builder = match threads.map(NonZeroUsize::get) {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads.get());
    }
    let outcome = builder.enable_all().build().map_err(Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(command));
        // Ends at once: a name that is still being looked up is not waited for.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("gateway: {error}");
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Help => Ok(ExitCode::SUCCESS),
        Command::Serve(serve) => serve_until_told(*serve).await,
        Command::Check { upstream: Some(upstream), model, .. } => {
            check::check(upstream::real(upstream)?, &model).await
        }
        Command::Check { upstream: None, model, .. } => {
            let demo = Demo::start().await?;
            check::check(upstream::of(&demo)?, &model).await
        }
    }
}

async fn serve_until_told(serve: Serve) -> Result<ExitCode, Error> {
    let mut signals = Signals::install()?;
    let tls = serve.tls.as_ref().map(tls::acceptor).transpose()?;
    let listener = TcpListener::bind(&serve.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", serve.listen))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr()?;
    let url = format!("{scheme}://{address}");
    if tls.is_none() && !address.ip().is_loopback() {
        eprintln!(
            "tokens reach this address in clear text: keep TLS in front of it, or --tls-cert"
        );
    }
    let server = Server::new(tls, &serve);
    let bodies = Bodies::new(&serve)?;
    let limits = Limits::new(&serve)?;

    let cache = |url: &str| {
        let layer = |cache| cache::layer(cache, serve.redis.as_ref(), url);
        serve.cache.as_ref().map(layer).transpose()
    };
    let (demo, cache, hf_token, callers) = match serve.parts {
        Parts::Demo => {
            let demo = Demo::start().await?;
            let cache = cache(&demo.upstream)?;
            let (hf_token, callers) = (upstream::of(&demo)?, demo.callers());
            (Some(demo), cache, hf_token, callers)
        }
        Parts::Real { upstream, callers } => {
            (None, cache(&upstream.url)?, upstream::real(upstream)?, callers)
        }
    };
    let keys = callers::keys(&callers)?;
    let ready = Ready::new(keys.clone());
    let access_log = log::layer(&serve.access_log)?;
    let auth = callers::auth(callers, keys)?;
    let way = Way { hf_token, client: upstream::client(serve.client)? };
    let app = stack::gateway(access_log, auth, bodies, limits, cache, way, ready.clone())?;
    println!("listening on {url}");
    if let Some(demo) = &demo {
        let cacert = serve.tls.as_ref().map(|files| files.cert.to_string_lossy());
        let cacert = cacert.as_deref();
        let (max_body, schema) = (serve.max_body, serve.schema.is_some());
        let (limits, cache) = (&serve.limits, serve.cache.as_ref());
        print!("{}", Banner { demo, url: &url, cacert, max_body, schema, limits, cache });
    }
    // Ends with this function at the latest, issuer or not.
    let mut preparing = JoinSet::new();
    preparing.spawn(async move { ready.prepare().await });
    server.run(listener, app, &mut signals).await;
    Ok(ExitCode::SUCCESS)
}
