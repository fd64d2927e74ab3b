//! The gateways: where they come from, how they start and what they check.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::RsaPublicKeyComponents,
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{Error, server::free_address, token};

pub(crate) struct Gateway {
    pub(crate) name: &'static str,
    pub(crate) checks: &'static str,
    /// Whether it must reject a token of another key.
    pub(crate) verifies: bool,
    /// Whether it serves the repeated request from its cache.
    pub(crate) caches: bool,
    /// The requests in a round and the streams in all. Fewer for a slow gateway.
    pub(crate) requests: usize,
    pub(crate) streams: usize,
    /// Returns `None` if the program is not installed.
    pub(crate) prepare: fn(&Setting) -> Result<Option<Prepared>, Error>,
}

/// The surroundings of all gateways.
pub(crate) struct Setting {
    pub(crate) folder: PathBuf,
    pub(crate) upstream: SocketAddr,
    /// Takes log lines of syslog over UDP.
    pub(crate) log: SocketAddr,
}

/// A gateway that is ready to start.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    pub(crate) address: SocketAddr,
    pub(crate) version: String,
    /// The credential of its caller, if it is not the token.
    pub(crate) key: Option<&'static str>,
    /// More header fields of a request. Each ends with CR LF.
    pub(crate) fields: String,
}

const FAST: usize = 100 * crate::load::CONNECTIONS;
const MANY_STREAMS: usize = 300;

pub(crate) const ALL: &[Gateway] = &[
    Gateway {
        name: "tower-inference",
        checks: "JWT (`iss`, `aud`, `exp`, `nbf`, scope; a verified token is remembered), a rate limit of each caller, JSON Schema of the body, sizes and deadlines, an access log in JSON with the tokens used, request id, upstream token",
        verifies: true,
        caches: false,
        requests: FAST,
        streams: MANY_STREAMS,
        prepare: |setting| ours(setting, &[]),
    },
    Gateway {
        name: "tower-inference, cache hit",
        checks: "the same and a cache of each caller",
        verifies: true,
        caches: true,
        requests: FAST,
        streams: 0,
        prepare: |setting| ours(setting, &["--cache-ttl", "1h"]),
    },
    Gateway {
        name: "nginx, no JWT",
        checks: "a rate limit of each token, an access log, request id, upstream token. No JWT: the open-source nginx has none. No schema",
        verifies: false,
        caches: false,
        requests: FAST,
        streams: MANY_STREAMS,
        prepare: |setting| nginx(setting, "proxy_buffering off;"),
    },
    Gateway {
        name: "nginx, no JWT, cache hit",
        checks: "the same and a cache by token, path and body",
        verifies: false,
        caches: true,
        requests: FAST,
        streams: 0,
        prepare: |setting| nginx(setting, NGINX_CACHE),
    },
    Gateway {
        name: "HAProxy",
        checks: "JWT (`iss`, `aud`, `exp`, `nbf`, scope; verified again for each request), a rate limit of each caller, a log over UDP, request id, upstream token. No schema",
        verifies: true,
        caches: false,
        requests: FAST,
        streams: MANY_STREAMS,
        prepare: haproxy,
    },
    Gateway {
        name: "axum with published crates",
        checks: "JWT (`iss`, `aud`, `exp`, `nbf`; verified again for each request), a rate limit of each caller, the size of the body, a trace in JSON, request id, upstream token. No scope, no schema",
        verifies: true,
        caches: false,
        requests: FAST,
        streams: MANY_STREAMS,
        prepare: crates,
    },
    Gateway {
        name: "Envoy",
        checks: "JWT (`iss`, `aud`, `exp`, `nbf`; a verified token is remembered), one rate limit for all callers, an access log, request id, upstream token. No scope, no schema",
        verifies: true,
        caches: false,
        requests: FAST,
        streams: MANY_STREAMS,
        prepare: envoy,
    },
    Gateway {
        name: "Portkey, no checks",
        checks: "reads the body and writes it again. No authentication, no limit, no log",
        verifies: false,
        caches: false,
        requests: 4 * crate::load::CONNECTIONS,
        streams: 100,
        prepare: portkey,
    },
    Gateway {
        name: "LiteLLM, master key",
        checks: "one master key in place of JWT, uvicorn's access log, upstream token; reads the body and writes it again. No limit, no database",
        verifies: true,
        caches: false,
        requests: crate::load::CONNECTIONS,
        streams: 40,
        prepare: litellm,
    },
];

const NGINX_CACHE: &str = r#"proxy_cache responses;
            proxy_cache_methods POST;
            proxy_cache_key "$http_authorization $request_uri $request_body";
            proxy_cache_valid 200 1h;
            add_header x-cache $upstream_cache_status;"#;

/// The bare proxy that each gateway is compared with.
pub(crate) fn bare(setting: &Setting) -> Result<Prepared, Error> {
    own(&["bare", &setting.upstream.to_string()], String::new())
}

fn crates(setting: &Setting) -> Result<Option<Prepared>, Error> {
    let lock = include_str!("../../../Cargo.lock");
    let names = ["axum", "tower-http", "tower-oauth2-resource-server", "tower_governor"];
    let named = |name: &&str| Some(format!("{name} {}", locked(lock, name)?));
    let versions: Vec<_> = names.iter().map(named).collect::<Option<_>>().ok_or("not locked")?;
    let log = setting.file("crates.log");
    let upstream = setting.upstream.to_string();
    let arguments = ["crates", &upstream, &setting.file("jwks.json"), &log];
    own(&arguments, versions.join(", ")).map(Some)
}

/// This program as a server.
fn own(arguments: &[&str], version: String) -> Result<Prepared, Error> {
    let address = free_address()?;
    let mut command = Command::new(env::current_exe()?);
    command.args(["serve", &address.to_string()]).args(arguments);
    Ok(Prepared::new(command, address, version))
}

fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    // The newest, if another crate needs an older one too.
    let (_, after) = lock.rsplit_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next()
}

fn ours(setting: &Setting, more: &[&str]) -> Result<Option<Prepared>, Error> {
    let address = free_address()?;
    let mut command = Command::new(example()?);
    command
        .args(["--listen", &address.to_string(), "--threads", "1"])
        .args(["--upstream", &format!("http://{}", setting.upstream)])
        .args(["--hf-token-env", "BENCH_TOKEN"])
        .args(["--issuer", token::ISSUER, "--audience", token::AUDIENCE])
        .args(["--scope", token::SCOPE, "--jwks", &setting.file("jwks.json")])
        .args(["--schema", "builtin", "--rate", "1M/s"])
        .args(["--access-log", &setting.file("ours.log")])
        .args(more)
        .env("BENCH_TOKEN", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH");
    let version = locked(include_str!("../../../Cargo.lock"), "tower-inference");
    Ok(Some(Prepared::new(command, address, version.ok_or("not locked")?.to_owned())))
}

/// Builds the example in release and returns its path.
fn example() -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target");
    let built = Command::new(cargo)
        .args(["build", "--locked", "--release", "--example", "gateway", "--target-dir"])
        .arg(&target)
        .current_dir(&root)
        .status()?;
    if !built.success() {
        return Err("the example does not build".into());
    }
    Ok(target.join("release/examples/gateway"))
}

fn nginx(setting: &Setting, cache: &str) -> Result<Option<Prepared>, Error> {
    let Some(program) = find("NGINX", "nginx") else { return Ok(None) };
    let address = free_address()?;
    let text = include_str!("configs/nginx.conf").replace("CACHE", cache);
    // Two of them run, each with files of its own.
    let setting = Setting { folder: setting.folder.join(address.port().to_string()), ..*setting };
    fs::create_dir(&setting.folder)?;
    let file = setting.write("nginx.conf", &text, address)?;
    let version = printed(Command::new(&program).arg("-v"))?;
    let version = version.trim().rsplit('/').next().unwrap_or_default().to_owned();
    let mut command = Command::new(program);
    command.args(["-p", &setting.file(""), "-c", &file]);
    Ok(Some(Prepared::new(command, address, version)))
}

fn haproxy(setting: &Setting) -> Result<Option<Prepared>, Error> {
    let Some(program) = find("HAPROXY", "haproxy") else { return Ok(None) };
    let address = free_address()?;
    fs::write(setting.file("key.pem"), pem(&fs::read_to_string(setting.file("jwks.json"))?)?)?;
    let file = setting.write("haproxy.cfg", include_str!("configs/haproxy.cfg"), address)?;
    let version = printed(Command::new(&program).arg("-v"))?;
    let version = version.split(' ').nth(2).unwrap_or_default().to_owned();
    let mut command = Command::new(program);
    command.args(["-db", "-f", &file]);
    Ok(Some(Prepared::new(command, address, version)))
}

fn envoy(setting: &Setting) -> Result<Option<Prepared>, Error> {
    let Some(program) = find("ENVOY", "envoy") else { return Ok(None) };
    let address = free_address()?;
    let file = setting.write("envoy.yaml", include_str!("configs/envoy.yaml"), address)?;
    let version = printed(Command::new(&program).arg("--version"))?;
    let version = version.split('/').rev().nth(3).unwrap_or_default().to_owned();
    let mut command = Command::new(program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    command.args(["-c", &file]);
    Ok(Some(Prepared::new(command, address, version)))
}

fn portkey(setting: &Setting) -> Result<Option<Prepared>, Error> {
    let (Some(folder), Some(node)) = (env::var_os("PORTKEY"), find("NODE", "node")) else {
        return Ok(None);
    };
    let folder = PathBuf::from(folder);
    let package: Value = serde_json::from_slice(&fs::read(folder.join("package.json"))?)?;
    let version = package["version"].as_str().unwrap_or_default().to_owned();
    let address = free_address()?;
    let mut command = Command::new(node);
    command.arg(folder.join("build/start-server.js"));
    command.args(["--headless", &format!("--port={}", address.port())]);
    command.env("NODE_ENV", "production");
    let mut prepared = Prepared::new(command, address, version);
    let upstream = setting.upstream;
    prepared.fields =
        format!("x-portkey-provider: openai\r\nx-portkey-custom-host: http://{upstream}/v1\r\n");
    Ok(Some(prepared))
}

fn litellm(setting: &Setting) -> Result<Option<Prepared>, Error> {
    let Some(program) = find("LITELLM", "litellm") else { return Ok(None) };
    let address = free_address()?;
    let file = setting.write("litellm.yaml", include_str!("configs/litellm.yaml"), address)?;
    let mut ask = Command::new(&program);
    let version = printed(ask.arg("--version").env("LITELLM_LOCAL_MODEL_COST_MAP", "True"))?;
    let version = version.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let mut command = Command::new(program);
    command
        .args(["--config", &file, "--host", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--num_workers", "1", "--telemetry", "False"])
        // Without it the start waits for a download of prices.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    let mut prepared = Prepared::new(command, address, version);
    prepared.key = Some("sk-gateways");
    Ok(Some(prepared))
}

impl Prepared {
    fn new(command: Command, address: SocketAddr, version: String) -> Self {
        Self { command, address, version, key: None, fields: String::new() }
    }
}

impl Setting {
    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes a configuration with its words in capitals replaced, and returns its path.
    fn write(&self, name: &str, text: &str, listen: SocketAddr) -> Result<String, Error> {
        let values = [
            ("UPSTREAM_PORT", self.upstream.port().to_string()),
            ("UPSTREAM", self.upstream.to_string()),
            ("LISTEN", listen.to_string()),
            ("PORT", listen.port().to_string()),
            ("FOLDER", self.folder.display().to_string()),
            ("LOG", self.log.to_string()),
            ("ISSUER", token::ISSUER.to_owned()),
            ("AUDIENCE", token::AUDIENCE.to_owned()),
            ("SCOPE", token::SCOPE.to_owned()),
        ];
        let text =
            values.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        let file = self.file(name);
        fs::write(&file, text)?;
        Ok(file)
    }
}

/// Returns the program that `variable` names, or the one in the `PATH`.
fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers are there on Debian, and a user's `PATH` lacks it.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs `command` and returns its output. nginx prints its version to the standard error.
fn printed(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    Ok(String::from_utf8([output.stdout, output.stderr].concat())?)
}

/// Returns the RSA key of a set as PEM, because HAProxy reads no JWK.
fn pem(jwks: &str) -> Result<String, Error> {
    let jwks: Value = serde_json::from_str(jwks)?;
    let member = |name: &str| {
        let text = jwks["keys"][0][name].as_str().ok_or("no RSA key")?;
        Ok::<_, Error>(BASE64_URL_SAFE_NO_PAD.decode(text)?)
    };
    let key = RsaPublicKeyComponents { n: member("n")?, e: member("e")? };
    let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| "no DER of the key")?;
    let text = BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}
