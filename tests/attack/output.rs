//! Nothing that the gateway says can stop it or delay it: stderr, stdout and the access log on a
//! full disk, on a closed pipe, and on a pipe that nobody reads; and descriptors that run out.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    process::Command,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
};

use crate::{
    client::{CHAT, bytes, get, post, send},
    process::{
        Gateway,
        Reader::{self, Leaves, Reads, Sleeps},
        unless_hung,
    },
    size,
    stub::{Folder, Served, Stub, UPSTREAM_TOKEN, gateway},
    token::{self, Signer},
};

/// The gateway as it is.
const PLAIN: &str = r#"exec "$0" "$@""#;
/// With as much in its pipe to stderr as a pipe takes.
const STDERR_FILLED: &str = r#"head -c 65536 /dev/zero >&2; exec "$0" "$@""#;

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A connection that stays open.
struct Client(SendRequest<Full<Bytes>>);

impl Client {
    async fn of(gateway: &Gateway) -> Self {
        let stream = unless_hung(TcpStream::connect(gateway.address)).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn status(&mut self, request: Request<Full<Bytes>>) -> StatusCode {
        unless_hung(self.0.ready()).await.unwrap();
        let response = unless_hung(self.0.send_request(request)).await.unwrap();
        let status = response.status();
        unless_hung(response.into_body().collect()).await.unwrap();
        status
    }
}

/// A gateway whose upstream is away, so that each request is told on stderr.
async fn without_upstream(
    folder: &Folder,
    signer: &Signer,
    script: &str,
    readers: [Reader; 2],
    log: &str,
) -> Gateway {
    let (token, jwks) =
        (folder.write("token", UPSTREAM_TOKEN), folder.write("jwks.json", &signer.jwks()));
    let upstream = format!("http://{}", free());
    let args = [
        ["--upstream", &upstream],
        ["--hf-token-file", &token],
        ["--issuer", token::ISSUER],
        ["--audience", token::AUDIENCE],
        ["--scope", token::SCOPE],
        ["--jwks", &jwks],
        ["--access-log", log],
        ["--drain", "1s"],
    ];
    Gateway::start_by(script, free(), readers, args.into_iter().flatten()).await
}

async fn fail(gateway: &Gateway, signer: &Signer, requests: usize) {
    let token = signer.sign(&token::claims());
    let mut client = Client::of(gateway).await;
    for _ in 0..requests {
        let request = post("/v1/chat/completions", &token, CHAT);
        assert_eq!(client.status(request).await, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(client.status(get("/healthz")).await, StatusCode::OK);
}

async fn ends_well(gateway: &mut Gateway) {
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_stderr_that_takes_nothing_stops_nothing() {
    let folder = Folder::new("attack-stderr");
    let signer = Signer::es256();
    for (script, reader) in [
        (PLAIN, Leaves),
        (r#"exec "$0" "$@" 2>&-"#, Reads),
        (r#"exec "$0" "$@" 2>/dev/full"#, Reads),
        (STDERR_FILLED, Sleeps),
    ] {
        let readers = [Reads, reader];
        let mut gateway = without_upstream(&folder, &signer, script, readers, "off").await;
        fail(&gateway, &signer, size(20, 2_000)).await;
        gateway.signal("HUP").await;
        fail(&gateway, &signer, 1).await;
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn lines_that_a_late_reader_missed_are_counted() {
    let folder = Folder::new("attack-late");
    let signer = Signer::es256();
    let readers = [Sleeps, Reads];
    let mut gateway = without_upstream(&folder, &signer, PLAIN, readers, "stdout").await;
    // 8,192 lines wait. To lose one takes more requests than a short run has time for.
    let requests = size(20, 10_000);
    fail(&gateway, &signer, requests).await;
    gateway.read();
    gateway.said(r#""refusal":"upstream-unavailable""#).await;
    if requests > 8_192 {
        gateway.said(r#"{"dropped":"#).await;
    }
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn a_stdout_that_takes_nothing_stops_nothing() {
    let folder = Folder::new("attack-stdout");
    let signer = Signer::es256();
    // A line of the access log has about 350 bytes, and a pipe takes 65,536.
    for (reader, requests) in [(Leaves, size(20, 500)), (Sleeps, size(250, 3_000))] {
        let readers = [reader, Reads];
        let mut gateway = without_upstream(&folder, &signer, PLAIN, readers, "stdout").await;
        fail(&gateway, &signer, requests).await;
        ends_well(&mut gateway).await;
        gateway.complained("stdout: ").await;
    }
}

#[tokio::test]
async fn a_full_disk_under_stdout_is_reported_on_stderr() {
    let folder = Folder::new("attack-stdout-full");
    let signer = Signer::es256();
    let script = r#"exec "$0" "$@" >/dev/full"#;
    let readers = [Reads, Reads];
    let mut gateway = without_upstream(&folder, &signer, script, readers, "stdout").await;
    // It listens before it says so.
    gateway.complained("stdout: cannot be written").await;
    fail(&gateway, &signer, 5).await;
    ends_well(&mut gateway).await;
    gateway.complained("stdout: 6 lines were lost").await;
}

#[tokio::test]
async fn help_and_errors_of_the_command_line_do_not_panic() {
    for (flag, redirect, code) in
        [("--help", ">/dev/full", 1), ("--nonsense", "2>/dev/full", 2), ("--nonsense", "2>&-", 2)]
    {
        let script = format!(r#"exec "$0" {flag} {redirect}"#);
        let mut gateway = Gateway::start_by(&script, free(), [Leaves, Leaves], [""; 0]).await;
        assert_eq!(gateway.ended().await.code(), Some(code), "{flag} {redirect}");
    }
}

#[tokio::test]
async fn descriptors_that_run_out_end_nothing() {
    let folder = Folder::new("attack-descriptors");
    let signer = Signer::es256();
    for reader in [Reads, Leaves] {
        let script = r#"ulimit -n 64; exec "$0" "$@""#;
        let readers = [Reads, reader];
        let mut gateway = without_upstream(&folder, &signer, script, readers, "off").await;
        let mut before = Client::of(&gateway).await;
        assert_eq!(before.status(get("/healthz")).await, StatusCode::OK);

        let mut flood = Vec::new();
        for _ in 0..size(100, 150) {
            flood.push(unless_hung(TcpStream::connect(gateway.address)).await.unwrap());
        }
        if reader == Reads {
            gateway.complained("cannot accept connections").await;
        }
        // The token's file cannot be read again either, nor the upstream be called.
        folder.write("token", &format!("{UPSTREAM_TOKEN}_2"));
        let request = || post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
        assert_eq!(before.status(request()).await, StatusCode::BAD_GATEWAY);
        assert_eq!(before.status(get("/healthz")).await, StatusCode::OK);

        drop(flood);
        assert_eq!(send(gateway.address, get("/healthz")).await.status(), StatusCode::OK);
        if reader == Reads {
            gateway.complained("connections are accepted again").await;
        }
        fail(&gateway, &signer, 1).await;
        ends_well(&mut gateway).await;
    }
}

#[tokio::test]
async fn a_hangup_ends_nothing_where_there_is_no_file() {
    let mut gateway = Gateway::start(["--access-log", "stdout"]).await;
    for _ in 0..3 {
        gateway.signal("HUP").await;
        assert_eq!(send(gateway.address, get("/healthz")).await.status(), StatusCode::OK);
    }
    ends_well(&mut gateway).await;
}

/// The ids of the requests in a log; each line must be whole.
fn ids(path: &str) -> Vec<String> {
    let log = fs::read_to_string(path).unwrap();
    assert!(log.is_empty() || log.ends_with('\n'));
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    lines.map(|line| line["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_log_that_is_rotated_loses_and_doubles_nothing() {
    let folder = Folder::new("attack-rotated");
    let log = folder.path("access.log");
    let mut gateway = Gateway::start(["--access-log", &log]).await;
    let mut client = Client::of(&gateway).await;
    let (rotations, requests) = (size(4, 40), size(25, 250));
    let mut old = Vec::new();
    for rotation in 0..rotations {
        for _ in 0..requests {
            let status = client.status(post("/v1/chat/completions", "", CHAT)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        let moved = folder.path(&format!("access.log.{rotation}"));
        fs::rename(&log, &moved).unwrap();
        gateway.signal("HUP").await;
        gateway.complained("reopened").await;
        old.push(moved);
    }
    let status = client.status(post("/v1/chat/completions", "", CHAT)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    ends_well(&mut gateway).await;

    let last = ids(&log);
    assert!(!last.is_empty(), "the new file is written");
    let all: Vec<_> = old.iter().flat_map(|path| ids(path)).chain(last).collect();
    assert_eq!(all.len(), rotations * requests + 1);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_again_stays() {
    let folder = Folder::new("attack-unopened");
    fs::create_dir(folder.path("logs")).unwrap();
    let log = folder.path("logs/access.log");
    let mut gateway = Gateway::start(["--access-log", &log]).await;
    let moved = folder.path("moved");
    fs::rename(folder.path("logs"), &moved).unwrap();
    gateway.signal("HUP").await;
    gateway.complained("the old file stays in use").await;
    assert_eq!(send(gateway.address, post("/v1/x", "", CHAT)).await.status(), 404);
    ends_well(&mut gateway).await;
    assert_eq!(ids(&format!("{moved}/access.log")).len(), 1);
}

#[tokio::test]
async fn a_log_on_a_full_disk_loses_lines_and_nothing_else() {
    let mut stub = Stub::json().await;
    let folder = Folder::new("attack-full");
    let signer = Signer::es256();
    let mut gateway =
        gateway(&folder, &stub.served.url, &signer, ["--access-log", "/dev/full"]).await;
    let request = || post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
    for _ in 0..3 {
        let (response, ()) = tokio::join!(send(gateway.address, request()), async {
            stub.seen().await.answer(r#"{"choices":[]}"#).await;
        });
        assert_eq!(
            (response.status(), &*bytes(response).await),
            (StatusCode::OK, &b"{\"choices\":[]}"[..])
        );
    }
    gateway.complained("the access log /dev/full: cannot be written").await;
    ends_well(&mut gateway).await;
    gateway.complained("the access log /dev/full: 3 lines were lost").await;
}

#[tokio::test]
async fn a_log_to_a_pipe_waits_for_its_reader() {
    let folder = Folder::new("attack-fifo");
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut gateway = Gateway::start(["--access-log", &fifo]).await;
    // More than the pipe takes.
    let mut client = Client::of(&gateway).await;
    let requests = size(250, 3_000);
    for _ in 0..requests {
        let status = client.status(post("/v1/chat/completions", "", CHAT)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let fifo = tokio::fs::File::open(&fifo).await.unwrap();
    let mut lines = BufReader::new(fifo).lines();
    for _ in 0..200 {
        let line = unless_hung(lines.next_line()).await.unwrap().unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
    drop(lines);
    ends_well(&mut gateway).await;
}

#[tokio::test]
async fn text_that_reorders_or_hides_is_escaped_in_the_log() {
    let upstream = Served::start(axum::Router::new()).await;
    let folder = Folder::new("attack-bidi");
    let signer = Signer::es256();
    let mut gateway = gateway(&folder, &upstream.url, &signer, ["--access-log", "stdout"]).await;
    let body = CHAT.replace("demo", "a\u{202e}b\u{2066}c\u{2028}d\u{feff}e\u{9b}f");
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), &body);
    assert_eq!(send(gateway.address, request).await.status(), StatusCode::NOT_FOUND);
    let line = gateway.said("request_id").await;
    assert!(line.contains(r#""model":"a\u202eb\u2066c\u2028d\ufeffe\u009bf""#), "{line}");
    // On the command line, and in what is said of it.
    let output = crate::process::run(["--upst\u{202e}ream\u{1b}[2J"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(r"\u{202e}") && said.contains(r"\u{1b}[2J"), "{said}");
    assert!(!said.contains('\u{202e}') && !said.contains('\u{1b}'), "{said}");
}
