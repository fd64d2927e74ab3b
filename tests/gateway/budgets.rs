//! `--token-budget` beside the upstream's own count: what is settled is what was used.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::{
    client::{CHAT, CHAT_STREAM, bytes, post, send},
    process::{Gateway, unless_hung},
    stub::{self, Folder, Served},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";
const CHAT_STREAM_USAGE: &str = r#"{"model":"demo","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi there"}]}"#;

/// Answers each time with another usage, and keeps the sum.
#[derive(Clone, Default)]
struct Counting {
    answers: Arc<AtomicU64>,
    tokens: Arc<AtomicU64>,
}

async fn answer(State(counting): State<Counting>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let number = counting.answers.fetch_add(1, SeqCst);
    let (prompt, completion) = (3 + number, 1 + 2 * number);
    counting.tokens.fetch_add(prompt + completion, SeqCst);
    let usage = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    });
    if asked["stream"] != true {
        let choice = json!({ "index": 0, "message": { "role": "assistant", "content": "one" } });
        let whole = json!({ "choices": [choice], "usage": usage }).to_string();
        return ([(header::CONTENT_TYPE, "application/json")], whole).into_response();
    }
    let mut events = String::new();
    for word in ["one ", "two ", "three"] {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": word } }] });
        events.push_str(&format!("data: {chunk}\n\n"));
    }
    if asked["stream_options"]["include_usage"] == true {
        events.push_str(&format!("data: {}\n\n", json!({ "choices": [], "usage": usage })));
    }
    events.push_str("data: [DONE]\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from(events)).into_response()
}

/// What is left after the reservation for this request, as its answer says; and the answer.
async fn left(gateway: &mut Gateway, token: &str, body: &str) -> (u64, Bytes) {
    let answer = send(gateway.address, post(PATH, token, body)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let told = answer.headers()["ratelimit"].to_str().unwrap();
    let left = told.strip_prefix(r#""tokens";r="#).and_then(|told| told.split(';').next());
    let left = left.unwrap_or_else(|| panic!("{told}")).parse().unwrap();
    let body = bytes(answer).await;
    // Its record is written at the request's true end.
    unless_hung(gateway.said(r#""status":200"#)).await;
    (left, body)
}

#[tokio::test]
async fn the_settlement_is_the_upstreams_count() {
    let counting = Counting::default();
    let router = Router::new().fallback(answer).with_state(counting.clone());
    let upstream = Served::start(router).await;
    let (folder, signer) = (Folder::new("budgets"), Signer::es256());
    // A token grows back in 86 seconds: none does while this runs.
    let flags = ["--token-budget", "1000/day", "--max-tokens", "50"];
    let mut gateway = stub::gateway(&folder, &upstream.url, &signer, flags).await;
    let token = signer.sign(&token::claims());

    // The first and the last are alike, so they reserve alike: what is less is what was settled.
    let (first, _) = left(&mut gateway, &token, CHAT).await;
    for round in 0..3 {
        let (_, plain) = left(&mut gateway, &token, CHAT).await;
        assert!(plain.ends_with(b"}"), "{round}");
        let (_, hidden) = left(&mut gateway, &token, CHAT_STREAM).await;
        assert!(!String::from_utf8_lossy(&hidden).contains("usage"), "{round}");
        let (_, shown) = left(&mut gateway, &token, CHAT_STREAM_USAGE).await;
        assert!(String::from_utf8_lossy(&shown).contains("usage"), "{round}");
    }
    let counted = counting.tokens.load(SeqCst);
    let (last, _) = left(&mut gateway, &token, CHAT).await;
    assert_eq!(counting.answers.load(SeqCst), 11);
    assert_eq!(first - last, counted);
}
