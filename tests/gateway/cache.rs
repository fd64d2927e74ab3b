//! `--cache-ttl` and `--cache-scope`: answers that are given again, and calls that are shared, over
//! real HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use axum::{
    Json, Router,
    response::{IntoResponse, Response as Answer},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    client::{self, CHAT, bytes, piece, post, send, send_over_http2, slug},
    process::{Gateway, run, unless_hung},
    stub::{self, Folder, Served, Stub},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";

/// As deterministic as a request can say that it is.
const ZERO: &str =
    r#"{"model":"demo","temperature":0,"messages":[{"role":"user","content":"hi there"}]}"#;
const ZERO_STREAM: &str = r#"{"model":"demo","temperature":0,"stream":true,"messages":[{"role":"user","content":"hi there"}]}"#;

const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A gateway in front of an upstream that answers at once, each time with another number.
struct Counted {
    gateway: Gateway,
    signer: Signer,
    calls: Arc<AtomicU64>,
    _upstream: Served,
    _folder: Folder,
}

impl Counted {
    async fn start<const N: usize>(name: &str, flags: [&str; N]) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let upstream = Served::start(numbered(Arc::clone(&calls))).await;
        let (folder, signer) = (Folder::new(&format!("cache-{name}")), Signer::es256());
        let gateway = stub::gateway(&folder, &upstream.url, &signer, flags).await;
        Self { gateway, signer, calls, _upstream: upstream, _folder: folder }
    }

    async fn ask(&self, token: &str, body: &str) -> Response<Incoming> {
        let answer = send(self.gateway.address, post(PATH, token, body)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer
    }

    /// The number of the call that the answer is from.
    async fn call(&self, token: &str, body: &str) -> u64 {
        number(self.ask(token, body).await).await
    }

    fn token(&self, subject: &str, tenant: &str) -> String {
        token_of(&self.signer, subject, tenant)
    }

    fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }
}

fn token_of(signer: &Signer, subject: &str, tenant: &str) -> String {
    let mut claims = token::claims();
    (claims["sub"], claims["tenant"]) = (subject.into(), tenant.into());
    signer.sign(&claims)
}

fn numbered(calls: Arc<AtomicU64>) -> Router {
    Router::new().fallback(async move || -> Answer {
        Json(chat(calls.fetch_add(1, SeqCst) + 1)).into_response()
    })
}

/// An answer of 15 tokens, with a number.
fn chat(number: u64) -> Value {
    let message = json!({ "role": "assistant", "content": "one" });
    json!({
        "id": number.to_string(),
        "object": "chat.completion",
        "created": 0,
        "model": "demo",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15 },
    })
}

async fn number(answer: Response<Incoming>) -> u64 {
    client::json(answer).await["id"].as_str().unwrap().parse().unwrap()
}

fn status<B>(answer: &Response<B>) -> &str {
    let name = HeaderName::from_static("cache-status");
    answer.headers().get(name).map_or("", |status| status.to_str().unwrap())
}

#[tokio::test]
async fn identical_requests_reach_the_upstream_once() {
    let mut gateway = Counted::start("hit", ["--cache-ttl", "5m"]).await;
    let token = gateway.token("a", "t");
    let first = gateway.ask(&token, ZERO).await;
    assert_eq!(status(&first), "tower-inference; fwd=miss");
    assert!(!first.headers().contains_key("age"));
    let first = bytes(first).await;
    // Another token of the same caller, and other white space.
    let again = gateway.ask(&gateway.token("a", "t"), &ZERO.replace(',', " , ")).await;
    assert!(status(&again).starts_with("tower-inference; hit; ttl="), "{}", status(&again));
    assert!(again.headers().contains_key("age"));
    assert_eq!(bytes(again).await, first);
    assert_eq!(gateway.calls(), 1);
    for part in ["miss", "hit"] {
        gateway.gateway.said(&format!(r#""cache":"{part}""#)).await;
    }

    // What is sampled is sampled each time.
    let sampled = gateway.ask(&token, CHAT).await;
    assert_eq!(status(&sampled), "tower-inference; fwd=bypass; detail=not-deterministic");
    assert_eq!((gateway.call(&token, CHAT).await, gateway.calls()), (3, 3));
}

#[tokio::test]
async fn only_callers_of_the_scope_share_a_response() {
    let callers = [("a", "t"), ("b", "t"), ("c", "other"), ("a", "t")];
    for (scope, expected) in
        [("identity", [1, 2, 3, 1]), ("tenant", [1, 1, 2, 1]), ("shared", [1, 1, 1, 1])]
    {
        let flags = ["--cache-ttl", "5m", "--cache-scope", scope];
        let gateway = Counted::start(&format!("scope-{scope}"), flags).await;
        let mut calls = Vec::new();
        for (subject, tenant) in callers {
            let token = gateway.token(subject, tenant);
            let answer = gateway.ask(&token, ZERO).await;
            // It would tell what others have asked.
            assert_eq!(status(&answer).is_empty(), scope != "identity");
            assert_eq!(answer.headers().contains_key("age"), status(&answer).contains("hit"));
            calls.push(number(answer).await);
        }
        assert_eq!(calls, expected, "{scope}");
        assert_eq!(gateway.calls(), *expected.iter().max().unwrap());
    }
}

#[tokio::test]
async fn unauthenticated_requests_get_no_cached_response() {
    let gateway = Counted::start("strangers", ["--cache-ttl", "5m", "--cache-scope", "shared"]);
    let gateway = gateway.await;
    assert_eq!(gateway.call(&gateway.token("a", "t"), ZERO).await, 1);
    let mut claims = token::claims();
    let now = claims["iat"].as_u64().unwrap();
    claims["exp"] = (now - 120).into();
    let expired = gateway.signer.sign(&claims);
    let forged = Signer::es256().sign(&token::claims());
    for (token, expected) in
        [("", "missing-credentials"), (&expired, "expired-token"), (&forged, "invalid-token")]
    {
        let answer = send(gateway.gateway.address, post(PATH, token, ZERO)).await;
        assert_eq!(slug(answer, StatusCode::UNAUTHORIZED).await, expected);
    }
}

#[tokio::test]
async fn nothing_is_stored_without_a_ttl() {
    for (name, flags) in [("zero", vec!["--cache-ttl", "0s"]), ("absent", Vec::new())] {
        let calls = Arc::new(AtomicU64::new(0));
        let upstream = Served::start(numbered(Arc::clone(&calls))).await;
        let (folder, signer) = (Folder::new(&format!("cache-{name}")), Signer::es256());
        let jwks = folder.write("jwks.json", &signer.jwks());
        let gateway = stub::gateway_with(&folder, &upstream.url, &jwks, flags).await;
        let token = signer.sign(&token::claims());
        for expected in 1..=2 {
            let answer = send(gateway.address, post(PATH, &token, ZERO)).await;
            assert_eq!(status(&answer), "");
            assert_eq!(number(answer).await, expected);
        }
        assert_eq!(calls.load(SeqCst), 2);
    }
}

#[tokio::test]
async fn a_stream_passes_at_once_and_is_replayed_byte_for_byte() {
    let mut stub = Stub::start().await;
    let (folder, signer) = (Folder::new("cache-replay"), Signer::es256());
    let gateway = stub::gateway(&folder, &stub.served.url, &signer, ["--cache-ttl", "1h"]).await;
    let token = signer.sign(&token::claims());
    let first = send(gateway.address, post(PATH, &token, ZERO_STREAM)).await;
    assert_eq!(status(&first), "tower-inference; fwd=miss");
    let mut seen = stub.seen().await;
    let mut body = first.into_body();
    // The upstream has sent no more than this.
    let mut whole = Vec::new();
    for sent in [EVENT, ": a comment\r\n\r\n", EVENT, FINISH] {
        seen.answer(sent).await;
        assert_eq!(piece(&mut body).await.unwrap(), sent);
        whole.extend_from_slice(sent.as_bytes());
    }
    seen.answer(DONE).await;
    drop(seen);
    whole.extend_from_slice(DONE.as_bytes());
    while let Some(piece) = piece(&mut body).await {
        assert_eq!(piece, DONE);
    }

    for _ in 0..2 {
        let again = send(gateway.address, post(PATH, &token, ZERO_STREAM)).await;
        assert!(status(&again).starts_with("tower-inference; hit; "), "{}", status(&again));
        assert_eq!(again.headers()["content-type"], "text/event-stream");
        assert_eq!(bytes(again).await, whole);
    }
    assert!(stub.saw_nothing());
}

#[tokio::test]
async fn a_plain_response_serves_a_stream() {
    let gateway = Counted::start("told", ["--cache-ttl", "5m"]).await;
    let token = gateway.token("a", "t");
    assert_eq!(gateway.call(&token, ZERO).await, 1);
    let stream = gateway.ask(&token, ZERO_STREAM).await;
    assert!(status(&stream).starts_with("tower-inference; hit; "), "{}", status(&stream));
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let stream = bytes(stream).await;
    assert!(stream.ends_with(DONE.as_bytes()));
    assert!(String::from_utf8_lossy(&stream).contains(r#"{"content":"one"}"#));
    assert_eq!(gateway.calls(), 1);
}

/// What servers on axum put on each stream of events, those of TGI and TEI among them.
#[tokio::test]
async fn a_stream_of_a_server_on_axum_is_replayed() {
    let upstream = Router::new().fallback(async || -> Answer {
        let fields = [("content-type", "text/event-stream"), ("cache-control", "no-cache")];
        (fields, [EVENT, FINISH, DONE].concat()).into_response()
    });
    let upstream = Served::start(upstream).await;
    let (folder, signer) = (Folder::new("cache-sse"), Signer::es256());
    let gateway = stub::gateway(&folder, &upstream.url, &signer, ["--cache-ttl", "1h"]).await;
    let token = signer.sign(&token::claims());
    let mut told = Vec::new();
    for _ in 0..2 {
        let answer = send(gateway.address, post(PATH, &token, ZERO_STREAM)).await;
        told.push(status(&answer).to_owned());
        assert!(bytes(answer).await.ends_with(DONE.as_bytes()));
    }
    assert!(told[1].contains("; hit; "), "{told:?}");
}

#[tokio::test]
async fn half_a_stream_is_not_given_again() {
    let mut stub = Stub::start().await;
    let (folder, signer) = (Folder::new("cache-half"), Signer::es256());
    let gateway = stub::gateway(&folder, &stub.served.url, &signer, ["--cache-ttl", "1h"]).await;
    let token = signer.sign(&token::claims());
    for ends in [false, false, true] {
        let answer = send(gateway.address, post(PATH, &token, ZERO_STREAM)).await;
        let mut seen = stub.seen().await;
        seen.answer(EVENT).await;
        if ends {
            seen.answer(FINISH).await;
            seen.answer(DONE).await;
        }
        drop(seen);
        let body = bytes(answer).await;
        assert_eq!(body.ends_with(DONE.as_bytes()), ends);
    }
    let again = send(gateway.address, post(PATH, &token, ZERO_STREAM)).await;
    assert!(status(&again).contains("; hit; "));
    assert!(stub.saw_nothing());
}

#[tokio::test]
async fn two_concurrent_requests_share_one_call() {
    let whole = chat(7).to_string();
    let (json_begin, json_end) = whole.split_at(20);
    for (name, mut stub, body, sent) in [
        ("stream", Stub::start().await, ZERO_STREAM, [EVENT, FINISH, DONE].map(str::to_owned)),
        (
            "plain",
            Stub::json().await,
            ZERO,
            [json_begin.to_owned(), json_end.to_owned(), " ".to_owned()],
        ),
    ] {
        let (folder, signer) = (Folder::new(&format!("cache-flight-{name}")), Signer::es256());
        let gateway = stub::gateway(&folder, &stub.served.url, &signer, ["--cache-ttl", "5m"]);
        let gateway = gateway.await;
        let token = signer.sign(&token::claims());
        let first = send(gateway.address, post(PATH, &token, body)).await;
        let mut seen = stub.seen().await;
        seen.answer(&sent[0]).await;
        // The upstream is still at it.
        let second = send(gateway.address, post(PATH, &token, body)).await;
        assert_eq!(status(&first), "tower-inference; fwd=miss");
        assert_eq!(status(&second), "tower-inference; fwd=miss; collapsed");
        let (mut first, mut second) = (first.into_body(), second.into_body());
        assert_eq!(piece(&mut first).await.unwrap(), sent[0]);
        assert_eq!(piece(&mut second).await.unwrap(), sent[0]);
        // The one who asked for it leaves, and the other does not notice.
        drop(first);
        let mut rest = String::new();
        for part in &sent[1..] {
            seen.answer(part).await;
        }
        drop(seen);
        while let Some(piece) = piece(&mut second).await {
            rest.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert_eq!(rest, sent[1..].concat());
        let third = send(gateway.address, post(PATH, &token, body)).await;
        assert!(status(&third).contains("; hit; "), "{name}: {}", status(&third));
        assert_eq!(bytes(third).await, sent.concat());
        assert!(stub.saw_nothing());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_goes_upstream() {
    let gateway = Counted::start("many", ["--cache-ttl", "5m"]).await;
    let token = gateway.token("a", "t");
    let address = gateway.gateway.address;
    for (number, body) in [ZERO.to_owned(), ZERO.replace("hi", "ho")].iter().enumerate() {
        let mut running = JoinSet::new();
        for at in 0..100 {
            let request = post(PATH, &token, body);
            running.spawn(async move {
                if at % 2 == 0 {
                    return bytes(send(address, request).await).await;
                }
                let (mut parts, body) = request.into_parts();
                parts.uri = format!("http://gateway{PATH}").parse().unwrap();
                parts.headers.remove("host");
                let request = http::Request::from_parts(parts, body);
                let stream = TcpStream::connect(address).await.unwrap();
                bytes(send_over_http2(stream, request).await).await
            });
        }
        let mut answers = running.join_all().await;
        answers.sort_unstable();
        answers.dedup();
        let number = number as u64 + 1;
        assert_eq!(answers, [Bytes::from(chat(number).to_string())]);
        assert_eq!(gateway.calls(), number);
    }
}

/// What is left of the budget after the reservation for this request, which is never cached.
async fn left(gateway: &mut Gateway, token: &str) -> u64 {
    let answer = send(gateway.address, post(PATH, token, CHAT)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let left = told(answer.headers().get("ratelimit")).expect("a budget");
    let _read = bytes(answer).await;
    settled(gateway).await;
    left
}

fn told(field: Option<&HeaderValue>) -> Option<u64> {
    let told = field?.to_str().unwrap();
    let left = told.strip_prefix(r#""tokens";r="#).and_then(|told| told.split(';').next());
    Some(left.unwrap_or_else(|| panic!("{told}")).parse().unwrap())
}

/// Its record is written at the request's true end.
async fn settled(gateway: &mut Gateway) {
    unless_hung(gateway.said(r#""status":200"#)).await;
}

#[tokio::test]
async fn a_hit_is_not_charged_to_the_budget() {
    let flags = ["--cache-ttl", "5m", "--token-budget", "1000/day", "--max-tokens", "50"];
    let mut counted = Counted::start("budget", flags).await;
    let token = counted.token("a", "t");
    let before = left(&mut counted.gateway, &token).await;
    let miss = counted.ask(&token, ZERO).await;
    assert!(told(miss.headers().get("ratelimit")).is_some());
    let _read = bytes(miss).await;
    settled(&mut counted.gateway).await;
    for _ in 0..5 {
        let hit = counted.ask(&token, ZERO).await;
        assert!(status(&hit).contains("; hit; "));
        // What was told with the miss is of that moment.
        assert_eq!(told(hit.headers().get("ratelimit")), None);
        let _read = bytes(hit).await;
        settled(&mut counted.gateway).await;
    }
    // Of the first request here, and of the miss.
    let after = left(&mut counted.gateway, &token).await;
    assert_eq!((before - after, counted.calls()), (2 * 15, 3));
}

#[tokio::test]
async fn a_shared_call_is_charged_once_to_the_one_whose_it_is() {
    let mut stub = Stub::json().await;
    let (folder, signer) = (Folder::new("cache-charged"), Signer::es256());
    let cache = ["--cache-ttl", "5m", "--cache-scope", "shared"];
    let budget = ["--token-budget", "1000/day", "--max-tokens", "50"];
    let flags = cache.into_iter().chain(budget);
    let jwks = folder.write("jwks.json", &signer.jwks());
    let mut gateway = stub::gateway_with(&folder, &stub.served.url, &jwks, flags).await;
    let (one, other) = (token_of(&signer, "a", "t"), token_of(&signer, "b", "t"));
    let whole = chat(7).to_string();
    let answer = async |stub: &mut Stub| stub.seen().await.answer(&whole).await;

    let mut before = Vec::new();
    for token in [&one, &other] {
        before.push(tokio::join!(left(&mut gateway, token), answer(&mut stub)).0);
    }
    let first = send(gateway.address, post(PATH, &one, ZERO)).await;
    let mut seen = stub.seen().await;
    let second = send(gateway.address, post(PATH, &other, ZERO)).await;
    assert!(told(first.headers().get("ratelimit")).is_some());
    assert_eq!(told(second.headers().get("ratelimit")), None);
    seen.answer(&whole).await;
    drop(seen);
    let (first, second) = tokio::join!(bytes(first), bytes(second));
    assert_eq!((&first, &second), (&whole.clone().into(), &whole.clone().into()));
    for _ in 0..2 {
        settled(&mut gateway).await;
    }
    let mut charged = Vec::new();
    for (token, before) in [&one, &other].into_iter().zip(before) {
        let left = tokio::join!(left(&mut gateway, token), answer(&mut stub)).0;
        charged.push(before - left);
    }
    // Each also asked once before it.
    assert_eq!(charged, [15 + 15, 15]);
}

#[tokio::test]
async fn invalid_cache_flags_exit_with_2() {
    for flags in [
        ["--cache-ttl", "300"],
        ["--cache-ttl", "-1s"],
        ["--cache-scope", "all"],
        ["--cache-max", "0"],
        ["--cache-max", "64MB"],
    ] {
        let output = run(flags).await;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("gateway: {} ", flags[0])), "{said}");
    }
}
