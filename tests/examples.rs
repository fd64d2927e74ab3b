//! The small examples as their readers meet them: a process of its own, on a port of its own.
//!
//! `cargo test` builds the examples. `cargo test --test examples` alone needs
//! `cargo build --examples` first.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A test that takes longer has hung. Nothing is asserted about time.
const HUNG: Duration = Duration::from_secs(60);

const CHAT: &str = r#"{"temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}"#;

/// A running example, killed when dropped.
struct Example {
    child: Child,
    url: String,
    address: SocketAddr,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Example {
    async fn start(name: &str) -> Self {
        // Beside the folder of this test: `target/debug/deps/examples-…`.
        let test = env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(program.exists(), "run `cargo build --examples` first");
        let mut command = Command::new(program);
        command.arg("127.0.0.1:0").stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = SocketAddr::from(([0; 4], 0));
        let mut example = Self { child, url: String::new(), address, stdout };
        example.url = example.printed("listening on ").await;
        example.address = example.url.strip_prefix("http://").unwrap().parse().unwrap();
        example
    }

    /// Returns the rest of the next line that starts with `label`.
    async fn printed(&mut self, label: &str) -> String {
        let line = async {
            loop {
                let line = self.stdout.next_line().await.unwrap().expect(label);
                if let Some(rest) = line.strip_prefix(label) {
                    return rest.to_owned();
                }
            }
        };
        timeout(HUNG, line).await.expect(label)
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: &str) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = client.request(request.body(Full::from(body.to_owned())).unwrap());
        let (head, body) = timeout(HUNG, response).await.unwrap().unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    async fn post(&self, path: &str, token: &str, body: &str) -> Response<Bytes> {
        self.send(Method::POST, path, token, body).await
    }

    async fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// Returns the records of its access log, once it has ended by itself.
    async fn records(mut self) -> Vec<Value> {
        let mut stderr = String::new();
        let read = self.child.stderr.as_mut().unwrap().read_to_string(&mut stderr);
        timeout(HUNG, read).await.unwrap().unwrap();
        let status = timeout(HUNG, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{stderr}");
        // Errors of connections are on stderr too.
        let records = stderr.lines().filter(|line| line.starts_with('{'));
        records.map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Sends SIGTERM while a request is in flight, and returns its response and the records.
    async fn stopped_in_flight(self, head: &str, body: &str) -> (String, Vec<Value>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{head}content-type: application/json\r\ncontent-length: {length}\r\n\
             expect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server sends this when the layers read the body.
        let mut go_on = [0; 25];
        timeout(HUNG, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        self.terminate().await;
        // From here on nobody else is served.
        let refused = async { while TcpStream::connect(self.address).await.is_ok() {} };
        timeout(HUNG, refused).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut response = String::new();
        timeout(HUNG, stream.read_to_string(&mut response)).await.unwrap().unwrap();
        (response, self.records().await)
    }
}

fn slug(response: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn axum_guards_handlers_and_loses_no_record_when_it_stops() {
    let mut example = Example::start("axum").await;
    let token = example.printed("TOKEN=").await;
    let body = r#"{"text": "hello"}"#;
    let first = example.post("/shout", &token, body).await;
    let json: Value = serde_json::from_slice(first.body()).unwrap();
    assert_eq!((&json["caller"], &json["text"]), (&"ann".into(), &"HELLO".into()));
    assert_eq!(json["request"], first.headers()["x-request-id"].to_str().unwrap());
    assert_eq!(slug(&example.post("/shout", "", body).await), "missing-credentials");
    assert_eq!(slug(&example.post("/shout", &token, "{").await), "malformed-payload");
    assert_eq!(slug(&example.post("/elsewhere", &token, body).await), "not-found");
    let mut status = StatusCode::OK;
    let mut sent = 4;
    while status == StatusCode::OK {
        status = example.post("/shout", &token, body).await.status();
        sent += 1;
        assert!(sent < 100, "the burst has no end");
    }
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);

    let example = Example::start("axum").await;
    let (response, records) = axum_in_flight(example, body).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let [record] = &*records else { panic!("{records:?}") };
    assert_eq!((&record["status"], &record["outcome"]), (&200.into(), &"complete".into()));
    assert_eq!(record["path"], "/shout");
}

async fn axum_in_flight(mut example: Example, body: &str) -> (String, Vec<Value>) {
    let token = example.printed("TOKEN=").await;
    let head = format!("POST /shout HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    example.stopped_in_flight(&head, body).await
}

#[tokio::test]
async fn hyper_serves_the_whole_stack() {
    let mut example = Example::start("hyper").await;
    let token = example.printed("TOKEN=").await;
    let path = "/v1/chat/completions";
    let first = example.post(path, &token, CHAT).await;
    assert_eq!(first.headers()["cache-status"], "tower-inference; fwd=miss");
    assert!(String::from_utf8_lossy(first.body()).contains("Hello from the script"));
    let second = example.post(path, &token, CHAT).await;
    assert!(second.headers()["cache-status"].to_str().unwrap().contains("; hit"));
    assert_eq!(second.body(), first.body());
    assert_eq!(slug(&example.post(path, "", CHAT).await), "missing-credentials");
    assert_eq!(slug(&example.post(path, &token, r#"{"messages": 7}"#).await), "invalid-payload");
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    let (response, records) = example.stopped_in_flight(&head, CHAT).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let statuses: Vec<_> = records.iter().map(|record| record["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 200, 401, 422, 200].map(Some));
}

#[tokio::test]
async fn own_layer_rejects_as_the_others_do() {
    let example = Example::start("own_layer").await;
    let chat = "/v1/chat/completions";
    for _ in 0..2 {
        assert_eq!(example.post(chat, "", CHAT).await.status(), StatusCode::OK);
        for (path, blocked) in [
            (chat, CHAT.replace("Hi", "Tell me of the SECRET project")),
            (chat, CHAT.replace("Hi", "Tell me of the \\u0053ecret project")),
            (chat, CHAT.replace("\"Hi\"", r#"[{"type": "text", "text": "Secret Project"}]"#)),
            ("/v1/completions", r#"{"prompt": ["Hi", "the secret project"]}"#.to_owned()),
        ] {
            let rejected = example.post(path, "", &blocked).await;
            assert_eq!(slug(&rejected), "invalid-payload", "{blocked}");
            assert_eq!(rejected.status(), StatusCode::UNPROCESSABLE_ENTITY);
        }
        let unreadable = example.post(chat, "", "{\"messages\": the secret project").await;
        assert_eq!(slug(&unreadable), "malformed-payload");
        let models = example.send(Method::GET, "/v1/models", "", "").await;
        assert_eq!(models.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn routes_are_served_by_one_stack() {
    let mut example = Example::start("routes").await;
    let token = example.printed("TOKEN=").await;
    let models = example.send(Method::GET, "/v1/models", &token, "").await;
    assert_eq!(models.status(), StatusCode::OK);
    for (path, good, bad) in [
        ("/v1/chat/completions", CHAT, r#"{"messages": 7}"#),
        ("/v1/embeddings", r#"{"input": "a"}"#, r#"{"input": 7}"#),
        ("/v1/responses", r#"{"model": "m", "input": "a"}"#, r#"{"input": 7}"#),
    ] {
        let response = example.post(path, &token, good).await;
        assert_eq!(response.status(), StatusCode::OK, "{path} {:?}", response.body());
        assert_eq!(slug(&example.post(path, &token, bad).await), "invalid-payload", "{path}");
        assert_eq!(slug(&example.post(path, "", good).await), "missing-credentials", "{path}");
    }
    let speech = Request::post(format!("{}/v1/audio/transcriptions", example.url))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::new(Bytes::from_static(b"--x--")))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    assert_eq!(client.request(speech).await.unwrap().status(), StatusCode::OK);
    assert_eq!(slug(&example.post("/v1/fine_tuning/jobs", &token, "{}").await), "not-found");
    let big = format!(r#"{{"input": "{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(slug(&example.post("/v1/embeddings", &token, &big).await), "payload-too-large");
}

#[tokio::test]
async fn tonic_reads_rejections_as_statuses() {
    let mut example = Example::start("tonic").await;
    let token = example.printed("TOKEN=").await;
    let without_scope = example.printed("TOKEN_WITHOUT_SCOPE=").await;
    let channel = tonic::transport::Channel::from_shared(example.url.clone()).unwrap();
    let client = HealthClient::new(channel.connect().await.unwrap());
    for (token, code) in [
        (None, tonic::Code::Unauthenticated),
        (Some(without_scope), tonic::Code::PermissionDenied),
        (Some(token), tonic::Code::Ok),
    ] {
        let mut request = tonic::Request::new(HealthCheckRequest { service: "demo".to_owned() });
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let checked = timeout(HUNG, client.clone().check(request)).await.unwrap();
        assert_eq!(checked.map_or_else(|status| status.code(), |_| tonic::Code::Ok), code);
    }
    drop(client);
    example.terminate().await;
    let records = example.records().await;
    assert_eq!(records.len(), 3, "{records:?}");
}

#[test]
fn each_example_is_short_and_linked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let files = fs::read_dir(root.join("examples")).unwrap().map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
    assert_eq!(files.len(), 7);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 120, "{name} has {lines} lines");
        assert!(readme.contains(&format!("(examples/{name})")), "the README does not link {name}");
    }
}

#[tokio::test]
async fn explain_prints_what_happened_to_a_request() {
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/explain");
    assert!(program.exists(), "run `cargo build --examples` first");
    let run = |arguments: &[&str], log: &'static str| {
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        async move {
            stdin.write_all(log.as_bytes()).await.unwrap();
            drop(stdin);
            let output = timeout(HUNG, child.wait_with_output()).await.unwrap().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        }
    };
    let log = concat!(
        "listening\n",
        "{\"request_id\":\"r-7\",\"method\":\"POST\",\"path\":\"/v1\\u001b[2J\",\"status\":401,",
        "\"refusal\":\"expired-token\",\"outcome\":\"rejected\",\"bytes_out\":9,\"total_us\":70}\n",
    );
    let (status, out, _) = run(&["r-7", "-"], log).await;
    assert_eq!(status, Some(0));
    assert!(out.contains("auth rejected the request: the credential is past its expiry."), "{out}");
    assert!(out.contains("What you can do: Let the client fetch a new token."), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let (status, _, error) = run(&["r-8", "-"], log).await;
    assert_eq!(status, Some(1));
    assert!(error.contains("no line has this request id"), "{error}");
    assert_eq!(run(&[], "").await.0, Some(2));
}
