//! Heads of requests that two parties could read in two ways, over raw sockets.
//!
//! Each row is a rule of RFC 9112 (HTTP/1.1), RFC 9113 (HTTP/2) or RFC 9110 (both), a request, and
//! what becomes of it. Rows that hyper decides stand here as well, so that a change of hyper is seen.

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    process::{Gateway, unless_hung},
    stub::{Folder, Stub, gateway},
    token::{self, Signer},
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It reaches its route.
    Served,
    /// 400 as a problem, and a line in the access log.
    Refused,
    /// A plain status of ours.
    Status(u16),
    /// 400 from hyper: no request was read.
    Unread,
}
use Fate::{Refused, Served, Status, Unread};

/// The rule, its section, the request line and headers (`{}` is the path), and its fate.
const HTTP1: &[(&str, &str, &str, Fate)] = &[
    // RFC 9112 section 3.2 and RFC 9110 section 7.2: the host header.
    ("a host", "9112 3.2", "GET {} HTTP/1.1\r\nhost: gateway\r\n", Served),
    ("a host and a port", "9110 7.2", "GET {} HTTP/1.1\r\nhost: gateway:8080\r\n", Served),
    ("a port that is empty", "9110 7.2", "GET {} HTTP/1.1\r\nhost: gateway:\r\n", Served),
    ("an IPv6 address", "9110 7.2", "GET {} HTTP/1.1\r\nhost: [::1]:80\r\n", Served),
    ("space around it", "9112 5.1", "GET {} HTTP/1.1\r\nHost:\t gateway \r\n", Served),
    ("no host, HTTP/1.0", "9112 3.2", "GET {} HTTP/1.0\r\n", Served),
    ("no host", "9112 3.2", "GET {} HTTP/1.1\r\n", Refused),
    ("two hosts", "9112 3.2", "GET {} HTTP/1.1\r\nhost: a\r\nhost: b\r\n", Refused),
    ("the same twice", "9112 3.2", "GET {} HTTP/1.1\r\nhost: a\r\nhost: a\r\n", Refused),
    ("two hosts, HTTP/1.0", "9112 3.2", "GET {} HTTP/1.0\r\nhost: a\r\nhost: b\r\n", Refused),
    ("an empty host", "9112 3.3", "GET {} HTTP/1.1\r\nhost:\r\n", Refused),
    ("a port alone", "9110 4.2.1", "GET {} HTTP/1.1\r\nhost: :80\r\n", Refused),
    ("a list", "9110 7.2", "GET {} HTTP/1.1\r\nhost: a, b\r\n", Refused),
    ("a word as port", "9110 7.2", "GET {} HTTP/1.1\r\nhost: a:b\r\n", Refused),
    ("a port too high", "9110 7.2", "GET {} HTTP/1.1\r\nhost: a:65536\r\n", Refused),
    ("a signed port", "9110 7.2", "GET {} HTTP/1.1\r\nhost: a:+80\r\n", Refused),
    ("user information", "9110 4.2.4", "GET {} HTTP/1.1\r\nhost: u:p@a\r\n", Refused),
    ("a URL", "9110 7.2", "GET {} HTTP/1.1\r\nhost: http://a\r\n", Refused),
    ("a path", "9110 7.2", "GET {} HTTP/1.1\r\nhost: a/b\r\n", Refused),
    ("letters beyond ASCII", "9110 7.2", "GET {} HTTP/1.1\r\nhost: b\u{fc}cher\r\n", Refused),
    // RFC 9112 section 3.2.2: the absolute form.
    ("http", "9112 3.2.2", "GET http://gateway{} HTTP/1.1\r\nhost: gateway\r\n", Served),
    ("https", "9112 3.2.2", "GET https://gateway{} HTTP/1.1\r\nhost: gateway\r\n", Served),
    ("in capitals", "9110 4.2.3", "GET HTTP://gateway{} HTTP/1.1\r\nhost: gateway\r\n", Served),
    (
        "another host: the target wins",
        "9112 3.2.2",
        "GET http://a{} HTTP/1.1\r\nhost: b\r\n",
        Served,
    ),
    ("HTTP/1.0", "9112 3.2", "GET http://gateway{} HTTP/1.0\r\n", Served),
    ("no host header", "9112 3.2", "GET http://gateway{} HTTP/1.1\r\n", Refused),
    ("another scheme", "9112 3.2.2", "GET ftp://gateway{} HTTP/1.1\r\nhost: gateway\r\n", Refused),
    ("a made-up scheme", "9112 3.2.2", "GET x://gateway{} HTTP/1.1\r\nhost: gateway\r\n", Refused),
    ("user information", "9110 4.2.4", "GET http://u:p@a{} HTTP/1.1\r\nhost: a\r\n", Refused),
    ("a port too high", "9110 7.2", "GET http://a:65536{} HTTP/1.1\r\nhost: a\r\n", Refused),
    ("no host in the target", "9110 4.2.1", "GET http://{} HTTP/1.1\r\nhost: a\r\n", Unread),
    // RFC 9112 sections 3.2.3 and 3.2.4: forms that belong to one method.
    ("an authority", "9112 3.2.3", "GET gateway:80 HTTP/1.1\r\nhost: gateway:80\r\n", Refused),
    ("an asterisk", "9112 3.2.4", "GET * HTTP/1.1\r\nhost: gateway\r\n", Refused),
    ("OPTIONS *", "9112 3.2.4", "OPTIONS * HTTP/1.1\r\nhost: gateway\r\n", Status(404)),
    ("CONNECT", "9110 9.3.6", "CONNECT gateway:80 HTTP/1.1\r\nhost: gateway:80\r\n", Status(404)),
    ("CONNECT, no host", "9112 3.2", "CONNECT gateway:80 HTTP/1.1\r\n", Refused),
    ("TRACE", "9110 9.3.8", "TRACE {} HTTP/1.1\r\nhost: gateway\r\n", Status(405)),
    // RFC 9110 section 10.1.1: expectations.
    (
        "100-continue",
        "9110 10.1.1",
        "GET {} HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\n",
        Served,
    ),
    ("another", "9110 10.1.1", "GET {} HTTP/1.1\r\nhost: a\r\nexpect: 200-ok\r\n", Status(417)),
    (
        "another beside it",
        "9110 10.1.1",
        "GET {} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: x\r\n",
        Status(417),
    ),
    // RFC 9112 section 6.1: codings. hyper takes `chunked` off, and nothing else.
    (
        "chunked and gzip",
        "9112 6.1",
        "GET {} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n",
        Status(501),
    ),
    (
        "chunked twice",
        "9112 6.1",
        "GET {} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n",
        Refused,
    ),
    // RFC 9112 sections 2.2, 5 and 6, which hyper decides.
    ("an empty line before it", "9112 2.2", "\r\nGET {} HTTP/1.1\r\nhost: a\r\n", Served),
    ("lines that end with LF", "9112 2.2", "GET {} HTTP/1.1\nhost: a\n", Served),
    ("CR in a value", "9112 2.2", "GET {} HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n", Unread),
    ("space before the first header", "9112 2.2", "GET {} HTTP/1.1\r\n host: a\r\n", Unread),
    ("another version", "9112 2.3", "GET {} HTTP/1.2\r\nhost: a\r\n", Unread),
    ("a version in small letters", "9112 2.3", "GET {} http/1.1\r\nhost: a\r\n", Unread),
    ("two spaces", "9112 3", "GET  {} HTTP/1.1\r\nhost: a\r\n", Unread),
    ("space before the colon", "9112 5.1", "GET {} HTTP/1.1\r\nhost : a\r\n", Unread),
    ("a folded line", "9112 5.2", "GET {} HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n", Unread),
    ("NUL in a value", "9110 5.5", "GET {} HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n", Unread),
    (
        "two lengths that differ",
        "9112 6.3",
        "GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 1\r\n",
        Unread,
    ),
    ("a signed length", "9112 6.2", "GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n", Unread),
    (
        "a coding that is not chunked at last",
        "9112 6.3",
        "GET {} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n",
        Unread,
    ),
    (
        "chunked, HTTP/1.0",
        "9112 6.1",
        "GET {} HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n",
        Unread,
    ),
];

/// Sends `head`, and all that comes back until the connection ends.
async fn answer(gateway: &Gateway, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head: Vec<u8> = head.chars().map(|char| u8::try_from(char).unwrap()).collect();
    stream.write_all(&head).await.unwrap();
    let mut answer = Vec::new();
    let _ended = unless_hung(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), answer)
}

fn is_problem(answer: &str) -> bool {
    answer.contains("content-type: application/problem+json")
        && answer.contains("urn:tower-inference:refusal:invalid-parameters")
}

#[tokio::test]
async fn each_head_has_the_fate_of_its_rule() {
    let (gateway, _banner) = Gateway::demo::<&str>([]).await;
    for (name, section, head, fate) in HTTP1 {
        // A route behind the layers, which wants a token, and one without any.
        for (path, served) in [("/v1/models", 401), ("/healthz", 200)] {
            let newline = if head.contains('\r') { "\r\n" } else { "\n" };
            let head = head.replace("{}", path) + "connection: close" + newline + newline;
            let (status, answer) = answer(&gateway, &head).await;
            let expected = match *fate {
                Served => served,
                Status(status) => status,
                Refused | Unread => 400,
            };
            let row = format!("{name} (RFC {section}, {path}): {answer}");
            assert_eq!(status, expected, "{row}");
            assert_eq!(is_problem(&answer), *fate == Refused, "{row}");
        }
    }
}

#[tokio::test]
async fn a_refused_head_is_logged_with_its_reason() {
    let (mut gateway, _banner) = Gateway::demo::<&str>([]).await;
    let head = "GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n";
    let (status, answer) = answer(&gateway, head).await;
    assert_eq!(status, 400);
    assert!(answer.contains("x-request-id: "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["detail"], "the host header is missing");
    // OpenAI's clients show this.
    assert!(problem["error"]["message"].is_string(), "{problem}");
    let record = gateway.said(r#""status":400"#).await;
    assert!(record.contains("invalid-parameters"), "{record}");
}

/// RFC 9112 section 6.1: a length beside a coding is how a request is smuggled. hyper reads by the
/// coding alone and closes the connection, so the upstream sees no length that says otherwise, and
/// what follows is no request.
#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let (folder, signer) = (Folder::new("smuggled"), Signer::es256());
    let mut upstream = Stub::json().await;
    let gateway = gateway(&folder, &upstream.served.url, &signer, []).await;
    let token = signer.sign(&token::claims());
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    for lengths in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
    ] {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\n{lengths}\r\n\r\n",
        );
        let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let next = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all((head + &chunks + next).as_bytes()).await.unwrap();
        let mut seen = upstream.seen().await;
        assert_eq!(seen.body, body, "{lengths}");
        let length = seen.headers.get("content-length").map(|length| length.to_str().unwrap());
        assert!(length.is_none_or(|length| length == body.len().to_string()), "{length:?}");
        seen.answer("{}").await;
        drop(seen);
        let mut answer = Vec::new();
        let _ended = unless_hung(stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lengths}: {answer}");
        assert!(upstream.saw_nothing(), "{lengths}");
    }
}

// === HTTP/2 ===

type Field = (&'static str, &'static str);

const GET: [Field; 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz")];

/// What becomes of a stream.
#[derive(Debug, PartialEq)]
enum Ending {
    Status(StatusCode),
    /// h2 takes it for malformed (RFC 9113 section 8.1.1).
    Reset,
}

/// The rule, its section, the fields beside `GET`, and what becomes of the stream.
const HTTP2: &[(&str, &str, &[Field], Ending)] = &[
    ("an authority", "9113 8.3.1", &[(":authority", "gateway")], Ending::Status(StatusCode::OK)),
    ("a host alone", "9113 8.3.1", &[("host", "gateway")], Ending::Status(StatusCode::OK)),
    (
        "both, the same",
        "9113 8.3.1",
        &[(":authority", "gateway:80"), ("host", "Gateway")],
        Ending::Status(StatusCode::OK),
    ),
    ("neither", "9113 8.3.1", &[], Ending::Status(StatusCode::BAD_REQUEST)),
    (
        "both, and they differ",
        "9113 8.3.1",
        &[(":authority", "a"), ("host", "b")],
        Ending::Status(StatusCode::BAD_REQUEST),
    ),
    (
        "two hosts",
        "9112 3.2",
        &[("host", "a"), ("host", "a")],
        Ending::Status(StatusCode::BAD_REQUEST),
    ),
    ("an empty host", "9110 4.2.1", &[("host", "")], Ending::Status(StatusCode::BAD_REQUEST)),
    (
        "user information",
        "9113 8.3.1",
        &[(":authority", "u:p@a")],
        Ending::Status(StatusCode::BAD_REQUEST),
    ),
    ("a word as port", "9110 7.2", &[("host", "a:b")], Ending::Status(StatusCode::BAD_REQUEST)),
    ("a path", "9113 8.3.1", &[(":authority", "a/b")], Ending::Reset),
];

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0, length[0], length[1], kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// Fields without indexing and without Huffman's code (RFC 7541 section 6.2.2).
fn block(fields: impl Iterator<Item = Field>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

async fn ending(gateway: &Gateway, fields: &[Field]) -> Ending {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = block(GET.into_iter().chain(fields.iter().copied()));
    let (settings, head) = (frame(4, 0, 0, &[]), frame(1, 5, 1, &head));
    let request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &head].concat();
    stream.write_all(&request).await.unwrap();
    loop {
        let mut head = [0; 9];
        unless_hung(stream.read_exact(&mut head)).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        unless_hung(stream.read_exact(&mut payload)).await.unwrap();
        match (head[3], payload.first()) {
            // Statuses of the static table (RFC 7541 appendix A).
            (1, Some(0x88)) => return Ending::Status(StatusCode::OK),
            (1, Some(0x8c)) => return Ending::Status(StatusCode::BAD_REQUEST),
            (1, other) => panic!("{other:?}"),
            (3, _) => return Ending::Reset,
            _ => {}
        }
    }
}

#[tokio::test]
async fn each_head_of_http2_has_the_fate_of_its_rule() {
    let (gateway, _banner) = Gateway::demo::<&str>([]).await;
    for (name, section, fields, expected) in HTTP2 {
        // Pseudo-headers come first (RFC 9113 section 8.3), as they do in each row.
        assert_eq!(ending(&gateway, fields).await, *expected, "{name} (RFC {section})");
    }
}
