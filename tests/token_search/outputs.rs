//! Upstreams that repeat the token.

use std::{
    convert::Infallible,
    future::ready,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tower_inference::{
    clock::FakeClock,
    hf::{FetchedToken, TokenSource},
    secret::Secret,
};

use crate::{
    TOKENS,
    gateway::{CHAT, Form, Served},
    leak::{leak, spellings},
    log::{Lines, listen},
    upstream::{Script, Upstream, echoing_headers, response},
};

pub const BODY: &str = r#"{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

fn fixed(token: &str) -> TokenSource {
    TokenSource::value(Secret::new(token)).unwrap()
}

/// Asserts that no output of a gateway has the token.
#[track_caller]
fn assert_clean(served: &Served, log: &Lines, token: &str, case: &str) {
    let log = ("the log", log.text());
    for (output, text) in served.outputs().into_iter().chain([log]) {
        if let Some(spelling) = leak(&text, token) {
            let lines: Vec<_> = text.lines().filter(|line| leak(line, token).is_some()).collect();
            panic!("{case}: {spelling} in {output}: {lines:#?}");
        }
    }
}

/// Every fault of an upstream over HTTP/1.1, with its name.
pub fn scripts(token: &str) -> Vec<(String, Script)> {
    let headers = echoing_headers(token);
    let mut scripts = Vec::new();
    for status in [
        200, 201, 204, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407, 408,
        409, 410, 413, 415, 422, 424, 429, 451, 500, 501, 502, 503, 504, 529, 599,
    ] {
        let location: String = spellings(token)
            .iter()
            .map(|spelling| format!("location: https://elsewhere.example/?t={spelling}\r\n"))
            .collect();
        // The gateway's own body replaces these two.
        let body = match status {
            401 | 407 => format!(r#"{{"error":"no token {token}"}}"#),
            _ => BODY.to_owned(),
        };
        let sent = response(token, status, &format!("{location}retry-after: 1\r\n"), &body);
        scripts.push((format!("status {status}"), Script::Send(sent)));
    }
    let head = |more: &str| format!("HTTP/1.1 200 {token}\r\n{headers}{more}\r\n").into_bytes();
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let length = event.len();
    let chunk = format!("{length:x}\r\n{event}\r\n");
    let stream = head("content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n");
    let streaming = [stream, chunk.into_bytes()].concat();
    let with = |rest: &str| [streaming.clone(), rest.as_bytes().to_vec()].concat();
    for (name, script) in [
        ("a cut stream", Script::Send(with(""))),
        ("a reset stream", Script::Reset(with(""))),
        ("a stalled stream", Script::Stall(with(""))),
        ("a stream that ends without its last event", Script::Send(with("0\r\n\r\n"))),
        ("a chunk size that is the token", Script::Send(with(&format!("{token}\r\n")))),
        ("a chunk extension", Script::Send(with(&format!("1;{token}\r\nx\r\n0\r\n\r\n")))),
        ("a trailer that is none", Script::Send(with(&format!("0\r\n{token}\r\n\r\n")))),
        ("nothing", Script::Send(Vec::new())),
        ("no response", Script::Stall(Vec::new())),
        ("a reset", Script::Reset(Vec::new())),
        ("half a head", Script::Send(format!("HTTP/1.1 200 {token}\r\n{headers}").into_bytes())),
        ("half a head that stalls", Script::Stall(headers.clone().into_bytes())),
        ("garbage", Script::Send(format!("{token}\r\n\r\n").into_bytes())),
        (
            "a status that is the token",
            Script::Send(format!("HTTP/1.1 {token}\r\n\r\n").into_bytes()),
        ),
        ("a header without a colon", Script::Send(head(&format!("{token}\r\n")))),
        ("a header with a control character", Script::Send(head(&format!("x: {token}\0\r\n")))),
        ("a length that is the token", Script::Send(head(&format!("content-length: {token}\r\n")))),
        ("two lengths", Script::Send(head("content-length: 1\r\ncontent-length: 2\r\n"))),
        ("a length that is too long", Script::Send(head("content-length: 1000\r\n"))),
        (
            "a coding that is the token",
            Script::Send(head(&format!("transfer-encoding: {token}\r\n"))),
        ),
        (
            "an encoding that is the token",
            Script::Send(head(&format!("content-encoding: {token}\r\n"))),
        ),
        ("a type that is the token", Script::Send(head(&format!("content-type: {token}\r\n")))),
        ("a connection header", Script::Send(head(&format!("connection: {token}\r\n")))),
        ("a large head", Script::Send(head(&headers.repeat(100)))),
        (
            "early hints",
            Script::Send(
                [
                    format!("HTTP/1.1 103 {token}\r\nlink: <{token}>\r\n{headers}\r\n")
                        .into_bytes(),
                    response(token, 200, "", BODY),
                ]
                .concat(),
            ),
        ),
        (
            "an upgrade",
            Script::Send(format!("HTTP/1.1 101 {token}\r\nupgrade: {token}\r\n\r\n").into_bytes()),
        ),
    ] {
        scripts.push((name.to_owned(), script));
    }
    scripts
}

#[tokio::test]
async fn no_output_repeats_the_token_of_an_upstream_over_http1() {
    let log = listen();
    for token in TOKENS {
        for text_log in [false, true] {
            let form = Form { text_log, ..Form::default() };
            let upstream = Upstream::start().await;
            let served = Served::start(upstream.address, fixed(token), form).await;
            for (case, script) in scripts(token) {
                upstream.play(script);
                for body in [CHAT.to_owned(), CHAT.replacen('{', r#"{"stream":true,"#, 1)] {
                    let before = upstream.seen().len();
                    served.chat(&body).await;
                    let seen = upstream.seen();
                    assert!(seen.len() > before, "{case}: no request");
                    assert!(seen.iter().all(|head| head.contains(token)), "{case}: no token");
                }
            }
            // An entry of the cache.
            upstream.play(Script::Send(response(token, 200, "", BODY)));
            let cached = CHAT.replacen('{', r#"{"temperature":0,"#, 1);
            served.chat(&cached).await;
            let hit = served.chat(&cached).await;
            assert!(hit.contains("hit"), "{hit}");
            assert_clean(&served, &log, token, &format!("{form:?}"));
        }
    }
}

#[tokio::test]
async fn no_output_repeats_the_token_of_an_upstream_that_cannot_be_reached() {
    let log = listen();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for token in TOKENS {
        let served = Served::start(closed, fixed(token), Form::default()).await;
        let response = served.chat(CHAT).await;
        assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
        assert_clean(&served, &log, token, "refused");
    }
}

/// Repeats the token in headers and trailers.
async fn echo(
    request: Request<Incoming>,
    token: &'static str,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let _read = request.into_body().collect().await;
    let header = |(nth, spelling): (usize, String)| {
        let name = HeaderName::try_from(format!("x-echo-{nth}")).unwrap();
        (name, HeaderValue::try_from(spelling).unwrap())
    };
    let headers: HeaderMap = spellings(token).into_iter().enumerate().map(header).collect();
    let trailers = ready(Some(Ok(headers.clone())));
    let mut response = Response::new(Full::from(BODY).with_trailers(trailers));
    *response.headers_mut() = headers;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    Ok(response)
}

#[tokio::test]
async fn no_output_repeats_the_token_of_an_upstream_over_http2() {
    let log = listen();
    for token in TOKENS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let service = service_fn(move |request| echo(request, token));
                    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let form = Form { http2: true, ..Form::default() };
        let served = Served::start(address, fixed(token), form).await;
        let response = served.chat(CHAT).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(log.text().contains(" h2::"), "the log is of all crates");
        assert_clean(&served, &log, token, "HTTP/2");
    }
}

#[tokio::test]
async fn no_output_repeats_the_token_of_a_body_that_is_scrubbed() {
    let log = listen();
    for token in TOKENS {
        let upstream = Upstream::start().await;
        let form = Form { scrub_bodies: true, ..Form::default() };
        let served = Served::start(upstream.address, fixed(token), form).await;
        let spellings = spellings(token);
        let whole = spellings.join(" and ");
        for status in [200, 400, 404, 429, 500, 503] {
            upstream.play(Script::Send(response(token, status, "", &whole)));
            served.chat(CHAT).await;
        }
        // Each spelling in a stream, cut in the middle by the border of two chunks.
        let events: String = spellings
            .iter()
            .map(|spelling| {
                let (first, second) = spelling.split_at(spelling.len() / 2);
                let (first, second) = (format!("data: {first}"), format!("{second}\n\n"));
                format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n", first.len(), second.len())
            })
            .collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        for end in ["0\r\n\r\n", ""] {
            upstream.play(Script::Send(format!("{head}{events}{end}").into_bytes()));
            let streamed = served.chat(&CHAT.replacen('{', r#"{"stream":true,"#, 1)).await;
            assert!(streamed.contains("****"), "{streamed}");
        }
        assert_clean(&served, &log, token, "scrubbed bodies");
    }
}

#[tokio::test]
async fn no_output_repeats_a_token_before_and_after_its_rotation() {
    let log = listen();
    let [old, new] = TOKENS;
    let upstream = Upstream::start().await;
    let clock = FakeClock::default();
    let calls = AtomicUsize::new(0);
    // The token, its successor, and then an error that repeats both.
    let source = TokenSource::fetch(move || {
        let call = calls.fetch_add(1, Relaxed);
        let fetched = match call {
            0 => Ok(FetchedToken::new(Secret::new(old))),
            1 => Ok(FetchedToken::new(Secret::new(new))),
            _ => Err(format!("the vault refused {new}, and {old} before it")),
        };
        async move { fetched }
    });
    let source = source.clock(clock.shared());
    let served = Served::start(upstream.address, source, Form::default()).await;
    // Rejected, and replaced by the second one, which is rejected too.
    let both = format!("old {old} new {new}");
    upstream.play(Script::Send(response(&both.replace(' ', "."), 401, "", "{}")));
    served.chat(CHAT).await;
    let seen = upstream.seen();
    assert!(
        seen.iter().any(|head| head.contains(old)) && seen.iter().any(|head| head.contains(new))
    );
    upstream.play(Script::Send(response(old, 200, &echoing_headers(new), BODY)));
    served.chat(CHAT).await;
    while !log.text().contains("the vault refused") {
        clock.advance(Duration::from_secs(1));
        served.chat(CHAT).await;
    }
    for token in TOKENS {
        assert_clean(&served, &log, token, "rotation");
    }
}
