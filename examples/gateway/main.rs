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
mod output;
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

use std::{
    env,
    io::{self, Write as _},
    num::NonZeroUsize,
    process,
};

use tokio::{net::TcpListener, runtime, task::JoinSet};
use tower_inference::{hf::HfTokenLayer, model::Profile};

use self::{
    args::{Command, Parts, Serve},
    bodies::Bodies,
    demo::{Banner, Demo},
    limits::Limits,
    log::LogFile,
    output::Output,
    ready::Ready,
    serve::Server,
    signals::{Hangups, Signals},
    upstream::Way,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the process ends with, as by convention.
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
    // Does not wait for those who do not read what was said.
    process::exit(code);
}

fn parse_and_run(output: &Output) -> i32 {
    let command = match args::parse(env::args_os().skip(1)) {
        Ok(command) => command,
        Err(wrong) => {
            output.complain(format_args!("gateway: {wrong}. --help says more."));
            return USAGE;
        }
    };
    let threads = match &command {
        Command::Help => {
            // However slowly it is read.
            let printed = io::stdout().write_all(args::HELP.as_bytes());
            return if printed.is_ok() { SUCCESS } else { FAILURE };
        }
        Command::Serve(serve) => serve.threads,
        Command::Check { threads, .. } => *threads,
    };
    output.hear_all();
    let mut builder = match threads.map(NonZeroUsize::get) {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads.get());
    }
    let outcome = builder.enable_all().build().map_err(Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(run(command, output));
        // Ends at once: a name that is still being looked up is not waited for.
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
        Command::Serve(serve) => serve_until_told(*serve, output).await,
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

async fn serve_until_told(serve: Serve, output: &Output) -> Result<i32, Error> {
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
            "tokens reach this address in clear text: keep TLS in front of it, or --tls-cert",
        );
    }
    let server = Server::new(tls, &serve, output.clone());
    let profile = match &serve.parts {
        Parts::Demo => Profile::compatible(),
        Parts::Real { upstream, .. } => upstream::profile(upstream),
    };
    let bodies = Bodies::new(&serve, &profile)?;
    let limits = Limits::new(&serve, &profile)?;

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
    let ready = Ready::new(keys.clone());
    output.scrub(&hf_token.scrubber());
    let (access_log, log_file) = log::layer(&serve.access_log, output)?;
    let access_log = access_log.scrubber(hf_token.scrubber());
    let auth = callers::auth(callers, keys)?;
    let way = Way { hf_token, client: upstream::client(serve.client)? };
    let app = stack::gateway(access_log, auth, bodies, limits, cache, way, ready.clone())?;
    output.say(format_args!("listening on {url}"));
    if let Some(demo) = &demo {
        let cacert = serve.tls.as_ref().map(|files| files.cert.to_string_lossy());
        let cacert = cacert.as_deref();
        let (max_body, schema) = (serve.max_body, serve.schema.is_some());
        let (limits, cache) = (&serve.limits, serve.cache.as_ref());
        output.say(Banner { demo, url: &url, cacert, max_body, schema, limits, cache });
    }
    // Ends with this function at the latest, issuer or not.
    let mut preparing = JoinSet::new();
    let said_to = output.clone();
    preparing.spawn(async move { ready.prepare(&said_to).await });
    preparing.spawn(reopen_when_told(hangups, log_file.clone()));
    server.run(listener, app, &mut signals).await;
    if let Some(file) = log_file {
        file.close();
    }
    Ok(SUCCESS)
}

/// SIGHUP is how rotation says that it has moved the log away. It never ends the process.
async fn reopen_when_told(mut hangups: Hangups, log_file: Option<LogFile>) {
    loop {
        hangups.next().await;
        if let Some(file) = &log_file {
            file.reopen().await;
        }
    }
}
