//! A gateway on hyper: `cargo run --example gateway`.
//!
//! Without flags it runs a demo. `--help` lists the flags for a real upstream and issuer.

mod activity;
mod args;
mod bodies;
mod cache;
mod callers;
mod check;
mod connections;
mod demo;
mod head;
mod held;
mod http;
mod limits;
mod log;
mod output;
mod peer;
mod probes;
mod ready;
mod serve;
mod shared;
mod signals;
mod stack;
mod tls;
mod units;
mod upstream;
mod verdict;

use std::{
    env,
    io::{self, Write as _},
    num::NonZeroUsize,
    process,
};

use tokio::{net::TcpListener, runtime, task::JoinSet};
use tower_inference::{hf::HfTokenLayer, model::Profile};

use self::{
    args::{AccessLog, Command, Parts, Serve},
    bodies::Bodies,
    demo::{Banner, Demo},
    limits::Limits,
    log::LogFile,
    output::Output,
    probes::OpenRoutes,
    ready::Ready,
    serve::Server,
    signals::{Hangups, Signals},
    upstream::Way,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The exit codes.
const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;
const USAGE: i32 = 2;

fn main() {
    let code = match Output::open() {
        Ok(output) => {
            let code = parse_and_run(&output);
            output.close();
            code
        }
        Err(_) => FAILURE,
    };
    // Does not wait for the readers of the output.
    process::exit(code);
}

fn parse_and_run(output: &Output) -> i32 {
    let command = match args::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(wrong) => {
            output.complain(format_args!("gateway: {wrong}. See --help."));
            return USAGE;
        }
    };
    let threads = match &command {
        Command::Help => {
            // Waits for a slow reader.
            let printed = io::stdout().write_all(args::HELP.as_bytes());
            return if printed.is_ok() { SUCCESS } else { FAILURE };
        }
        Command::Serve(serve) => serve.threads,
        Command::Check { threads, .. } => *threads,
    };
    output.capture_events();
    let mut builder = match threads.map(NonZeroUsize::get) {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads.get());
    }
    let outcome = builder.enable_all().build().map_err(Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(command, output));
        // Does not wait for a name lookup that is still running.
        runtime.shutdown_background();
        outcome
    });
    outcome.unwrap_or_else(|error| {
        output.complain(format_args!("gateway: {error}"));
        FAILURE
    })
}

async fn run(command: Command, output: &Output) -> Result<i32, Error> {
    match command {
        Command::Help => Ok(SUCCESS),
        Command::Serve(serve) => serve_until_signal(*serve, output).await,
        Command::Check { upstream: Some(upstream), model, .. } => {
            let profile = upstream::profile(&upstream);
            check(upstream::real(upstream, &profile)?, &profile, &model, output).await
        }
        Command::Check { upstream: None, model, .. } => {
            let demo = Demo::start().await?;
            check(upstream::of(&demo)?, &Profile::compatible(), &model, output).await
        }
    }
}

async fn check(
    hf_token: HfTokenLayer,
    profile: &Profile,
    model: &str,
    output: &Output,
) -> Result<i32, Error> {
    output.scrub(&hf_token.scrubber());
    let verdict = check::check(hf_token, profile, model).await?;
    output.say(verdict.words);
    Ok(if verdict.fine { SUCCESS } else { FAILURE })
}

async fn serve_until_signal(serve: Serve, output: &Output) -> Result<i32, Error> {
    let (mut signals, hangups) = (Signals::install()?, Hangups::install()?);
    let tls = serve.tls.as_ref().map(tls::acceptor).transpose()?;
    let listener = TcpListener::bind(&serve.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", serve.listen))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = listener.local_addr()?;
    let url = format!("{scheme}://{address}");
    if tls.is_none() && !address.ip().is_loopback() {
        output.complain(
            "this address receives tokens in clear text: put TLS in front of it or set --tls-cert",
        );
    }
    let server = Server::new(tls, &serve, output.clone());
    let profile = match &serve.parts {
        Parts::Demo => Profile::compatible(),
        Parts::Real { upstream, .. } => upstream::profile(upstream),
    };
    let bodies = Bodies::new(&serve, &profile)?;
    let peer = limits::peer_address(&serve.limits)?;
    let limits = Limits::new(&serve, &profile, peer.clone())?;

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
            (None, cache(&upstream.url)?, upstream::real(upstream, &profile)?, callers)
        }
    };
    let keys = callers::keys(&callers)?;
    let metadata = callers::metadata(&callers)?;
    let ready = Ready::new(keys.clone());
    output.scrub(&hf_token.scrubber());
    let log_to = serve.access_log.unwrap_or_else(|| match &demo {
        // Its records would run into the commands that are printed.
        Some(demo) => AccessLog::File(demo.log_file.clone()),
        None => AccessLog::Stdout,
    });
    let (access_log, log_file) = log::layer(&log_to, output)?;
    let access_log = access_log.scrubber(hf_token.scrubber());
    let auth = callers::auth(callers, keys, metadata.as_ref(), peer)?;
    let way = Way { hf_token, client: upstream::client(serve.client)? };
    let stack = stack::gateway(access_log, auth, bodies, limits, cache, way);
    output.say(format_args!("listening on {url}"));
    if let Some(demo) = &demo {
        let cacert = serve.tls.as_ref().map(|files| files.cert.to_string_lossy());
        let cacert = cacert.as_deref();
        let (max_body, schema) = (serve.max_body, serve.schema.is_some());
        let (limits, cache) = (&serve.limits, serve.cache.as_ref());
        let log = match &log_to {
            AccessLog::File(path) => Some(&**path),
            AccessLog::Stdout | AccessLog::Off => None,
        };
        output.say(Banner { demo, url: &url, cacert, max_body, schema, limits, cache, log });
    }
    // Both tasks end with this function at the latest.
    let mut preparing = JoinSet::new();
    let stderr = output.clone();
    let keys = ready.clone();
    preparing.spawn(async move { keys.prepare(&stderr).await });
    preparing.spawn(reopen_on_hangup(hangups, log_file.clone()));
    let open = OpenRoutes::new(ready, metadata.as_ref());
    server.run(listener, stack, open, &mut signals).await;
    if let Some(file) = log_file {
        file.close();
    }
    Ok(SUCCESS)
}

/// Reopens the log on SIGHUP, which log rotation sends. The signal never ends the process.
async fn reopen_on_hangup(mut hangups: Hangups, log_file: Option<LogFile>) {
    loop {
        hangups.next().await;
        if let Some(file) = &log_file {
            file.reopen().await;
        }
    }
}
