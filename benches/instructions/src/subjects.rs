//! The programs that are measured and the requests that they get.

use std::{env, fs};

use crate::{
    Error,
    callgrind::{Measured, Server},
    folder::Folder,
    load::{CONNECTIONS, Client, request},
    token::{self, Signer},
    upstream::Upstream,
};

/// The requests that warm a server before its instructions are counted.
const WARM: usize = 10 * CONNECTIONS;
const COUNTED: usize = 50 * CONNECTIONS;
const NEW_TOKENS: usize = 10 * CONNECTIONS;
const STREAMS: usize = 20;

pub(crate) struct Subject {
    pub(crate) name: &'static str,
    program: Program,
    requests: Requests,
}

enum Program {
    Bare,
    /// A layer or several, each alone in a server.
    Layer(&'static str),
    /// The example with more arguments.
    Example(&'static [&'static str]),
}

#[derive(Clone, Copy)]
enum Requests {
    Plain,
    NewTokens,
    /// Streams of 50 events, one stream at a time.
    Streams,
}

pub(crate) struct Subjects {
    pub(crate) list: Vec<Subject>,
    folder: Folder,
    signer: Signer,
    upstream: Upstream,
}

pub(crate) fn all() -> Result<Subjects, Error> {
    const CHECKS: &[&str] = &["--schema", "builtin", "--rate", "1M/s"];
    const CACHE: &[&str] = &["--schema", "builtin", "--rate", "1M/s", "--cache-ttl", "1h"];
    let subject = |name, program, requests| Subject { name, program, requests };
    let layer = |name| subject(name, Program::Layer(name), Requests::Plain);
    let list = vec![
        subject("hyper from memory", Program::Layer("none"), Requests::Plain),
        layer("request id"),
        layer("access log"),
        layer("auth"),
        layer("auth, throttle"),
        layer("payload"),
        layer("payload, schema"),
        layer("payload, transform"),
        layer("payload, token budget"),
        layer("auth, payload"),
        layer("auth, payload, cache (hit)"),
        layer("upstream"),
        layer("hf token"),
        subject("bare proxy", Program::Bare, Requests::Plain),
        subject("bare proxy, stream of 50 events", Program::Bare, Requests::Streams),
        subject("example, passed", Program::Example(CHECKS), Requests::Plain),
        subject("example, passed with a new token", Program::Example(CHECKS), Requests::NewTokens),
        subject("example, stream of 50 events", Program::Example(CHECKS), Requests::Streams),
        subject("example, cache hit", Program::Example(CACHE), Requests::Plain),
    ];
    let folder = Folder::new("instructions")?;
    let signer = Signer::rs256();
    fs::write(folder.0.join("jwks.json"), signer.jwks())?;
    Ok(Subjects { list, folder, signer, upstream: Upstream::start()? })
}

impl Subjects {
    pub(crate) fn measure(&self, name: &str) -> Result<Measured, Error> {
        let subject = self.list.iter().find(|subject| subject.name == name);
        let subject = subject.ok_or_else(|| format!("there is no subject {name}"))?;
        let mut server = self.start(&subject.program)?;
        let token = self.signer.sign(&token::claims());
        match subject.requests {
            Requests::Plain => {
                let mut client = Client::connect(server.address, CONNECTIONS)?;
                let request = request(&token, false);
                client.run(WARM, |_| request.clone())?;
                server.count(COUNTED, || client.run(COUNTED, |_| request.clone()))
            }
            Requests::NewTokens => {
                let mut client = Client::connect(server.address, CONNECTIONS)?;
                let requests: Vec<_> = (0..NEW_TOKENS * 2)
                    .map(|number| {
                        let mut claims = token::claims();
                        claims["jti"] = number.to_string().into();
                        request(&self.signer.sign(&claims), false)
                    })
                    .collect();
                client.run(NEW_TOKENS, |number| requests[number].clone())?;
                server.count(NEW_TOKENS, || {
                    client.run(NEW_TOKENS, |number| requests[NEW_TOKENS + number].clone())
                })
            }
            Requests::Streams => {
                let mut client = Client::connect(server.address, 1)?;
                let request = request(&token, true);
                let pace = |read: &[u8]| {
                    // An event has arrived, so the upstream may send the next one.
                    let events = read.windows(7).filter(|seven| seven == b"\"delta\"").count();
                    (0..events).try_for_each(|_| self.upstream.pace.send(()))?;
                    Ok(())
                };
                client.run_streams(STREAMS / 4, &request, pace)?;
                server.count(STREAMS, || client.run_streams(STREAMS, &request, pace))
            }
        }
    }

    fn start(&self, program: &Program) -> Result<Server, Error> {
        let folder = &self.folder.0;
        let jwks = folder.join("jwks.json").display().to_string();
        let this = env::current_exe()?;
        let (file, arguments): (_, Vec<String>) = match program {
            Program::Bare => {
                let upstream = self.upstream.address.to_string();
                (this, vec!["serve".into(), "bare".into(), upstream])
            }
            Program::Layer(name) => {
                (this, vec!["serve".into(), "layer".into(), (*name).into(), jwks])
            }
            Program::Example(more) => {
                let upstream = format!("http://{}", self.upstream.address);
                let log = folder.join("access.log").display().to_string();
                let arguments = [
                    ["--listen", "127.0.0.1:0"],
                    ["--threads", "1"],
                    ["--upstream", &upstream],
                    ["--hf-token-env", "BENCH_TOKEN"],
                    ["--issuer", token::ISSUER],
                    ["--audience", token::AUDIENCE],
                    ["--scope", token::SCOPE],
                    ["--jwks", &jwks],
                    ["--access-log", &log],
                ];
                let arguments = arguments.iter().flatten().chain(*more);
                let arguments = arguments.map(|argument| (*argument).to_owned()).collect();
                (this.with_file_name("gateway"), arguments)
            }
        };
        Server::start(&file, &arguments, folder.join("profile"))
    }
}
