//! A gateway on hyper: `cargo run --example gateway`.
//!
//! Without flags it runs a demo. `--help` lists the flags for a real upstream and issuer.

mod activity;
mod args;
mod audit;
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
mod monitor;
mod output;
mod peer;
mod probes;
mod ready;
mod seldom;
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

use self::{
    args::{Command, LogPlace, Parts, Serve},
    bodies::Bodies,
    demo::{Banner, Demo},
    limits::Limits,
    log::LogFile,
    monitor::{AdminServer, Monitor, Page},
    output::Output,
    probes::OpenRoutes,
    ready::Ready,
    serve::Server,
    signals::{Hangups, Signals},
    upstream::{Upstreams, Way},
};
use tokio::{net::TcpListener, runtime, task::JoinSet};
use tower_inference::{access_log::AccessLogLayer, record::Record};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The exit codes.
const SUCCESS: i32 = 0;
const FAILURE: i32 = 1;
const USAGE: i32 = 2;

/// The model of a check. An endpoint of one model takes any name.
const CHECK_MODEL: &str = "tgi";

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
        Command::Check { upstreams, model, .. } => {
            // Its servers end with it.
            let demo = if upstreams.is_empty() { Some(Demo::start().await?) } else { None };
            let opened = match &demo {
                Some(demo) => Upstreams::of(demo)?,
                None => Upstreams::open(&upstreams)?,
            };
            opened.layers().for_each(|layer| output.scrub(&layer.scrubber()));
            let mut code = SUCCESS;
            for (position, hf_token) in opened.layers().enumerate() {
                let upstream = upstreams.get(position);
                let profile = upstream.map(upstream::profile).unwrap_or_default();
                let of_upstream = upstream.and_then(|upstream| upstream.check_model.as_ref());
                let model = of_upstream.or(model.as_ref()).map_or(CHECK_MODEL, |model| model);
                let verdict = check::check(hf_token, &profile, model).await?;
                match upstream.and_then(|upstream| upstream.name.as_ref()) {
                    Some(name) => output.say(format_args!("{name}: {}", verdict.words)),
                    None => output.say(verdict.words),
                }
                if !verdict.fine {
                    code = FAILURE;
                }
            }
            Ok(code)
        }
    }
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
    let admin = match &serve.admin {
        Some(admin) => Some((monitor::bind(admin).await?, Monitor::install()?)),
        None => None,
    };
    let admin_server = AdminServer::new(&serve, output.clone());
    let (demo, upstreams, callers) = match serve.parts {
        Parts::Demo => {
            let demo = Demo::start().await?;
            let (upstreams, callers) = (Upstreams::of(&demo)?, demo.callers());
            (Some(demo), upstreams, callers)
        }
        Parts::Real { ref upstreams, ref callers } => {
            (None, Upstreams::open(upstreams)?, callers.clone())
        }
    };
    let bodies = Bodies::new(&serve, &upstreams.profile)?;
    let peer = limits::peer_address(&serve.limits)?;
    let limits = Limits::new(&serve, &upstreams.profile, peer.clone())?;
    let cache = |cache| cache::layer(cache, serve.redis.as_ref(), &upstreams.addresses);
    let cache = serve.cache.as_ref().map(cache).transpose()?;
    let keys = callers::keys(&callers)?;
    let metadata = callers::metadata(&callers)?;
    let log_to = serve.access_log.to.clone().unwrap_or_else(|| match &demo {
        // Its records would run into the commands that are printed.
        Some(demo) => LogPlace::File(demo.log_file.clone()),
        None => LogPlace::Stdout,
    });
    let audit = serve.audit.as_ref().map(|files| audit::open(files, output)).transpose()?;
    let ready = Ready::new(keys.clone(), upstreams.layers().collect(), audit.clone());
    let (mut records, log_file) = log::layer(&log_to, &serve.access_log, output)?;
    if let Some((_, monitor)) = &admin {
        records = Some(log::and(records, monitor.metrics.clone()));
    }
    if let Some(audit) = &audit {
        records = Some(log::and(records, audit.clone()));
    }
    let nothing = || AccessLogLayer::sink(|_: &Record<'_>| {}).ignore_usage();
    let mut access_log = records.unwrap_or_else(nothing).client_address(peer.clone());
    for layer in upstreams.layers() {
        output.scrub(&layer.scrubber());
        // The log is in another stack than the tokens.
        access_log = access_log.scrubber(layer.scrubber());
    }
    let auth = callers::auth(callers, keys, metadata.as_ref(), peer)?;
    let hf_token = upstreams.layers().next().ok_or("there is no upstream")?;
    let hf_token = if serve.scrub_bodies { hf_token.scrub_bodies() } else { hf_token };
    let fallback = upstreams.fallback(&serve.fallback);
    let way = Way { fallback, hf_token, client: upstream::client(serve.client)? };
    let (stack, state) = stack::gateway(access_log, auth, bodies, limits, cache, way);
    output.say(format_args!("listening on {url}"));
    if let Some(demo) = &demo {
        let cacert = serve.tls.as_ref().map(|files| files.cert.to_string_lossy());
        let cacert = cacert.as_deref();
        let (max_body, schema) = (serve.max_body, serve.schema.is_some());
        let (limits, cache) = (&serve.limits, serve.cache.as_ref());
        let log = match &log_to {
            LogPlace::File(path) => Some(&**path),
            LogPlace::Stdout | LogPlace::Off => None,
        };
        output.say(Banner { demo, url: &url, cacert, max_body, schema, limits, cache, log });
    }
    // All of these tasks end with this function at the latest.
    let mut preparing = JoinSet::new();
    let stderr = output.clone();
    let keys = ready.clone();
    preparing.spawn(async move { keys.prepare(&stderr).await });
    preparing.spawn(reopen_on_hangup(hangups, log_file.clone()));
    let open = OpenRoutes::new(ready, metadata.as_ref());
    if let Some((listener, monitor)) = admin {
        output.say(format_args!("metrics on http://{}/metrics", listener.local_addr()?));
        preparing.spawn(monitor.clone().upkeep());
        let mut logs = vec![("stdout", output.out().clone()), ("stderr", output.err().clone())];
        logs.extend(log_file.as_ref().map(|file| ("access_log", file.sink().clone())));
        let open = open.clone().admin(Page::new(monitor, state, logs, audit.clone()));
        preparing.spawn(monitor::serve(listener, admin_server, open));
    }
    server.run(listener, stack, open, async || signals.next().await).await;
    if let Some(file) = log_file {
        file.close();
    }
    if let Some(log) = audit {
        audit::close(&log, output);
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
