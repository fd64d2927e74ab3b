//! The charge of each request.

use super::*;
use crate::size;

#[tokio::test]
async fn each_request_is_charged_for_its_text_on_every_route() {
    let flags = ["--token-budget", "200M/day", "--max-tokens", "100"];
    let mut doors = Doors::open("charged", flags).await;
    let long = "x ".repeat(LONG / 2);
    for (path, _, row) in rows() {
        let mut charged: Vec<_> = row.form.generating().into_iter().map(|body| body.good).collect();
        if matches!(row.form, Form::Reads(_) | Form::Media | Form::Predict) {
            charged.push(json!({ "input": "once", "inputs": "once" }));
        }
        for (index, body) in charged.iter().enumerate() {
            let body = body.to_string().replace("once", &long);
            for _ in 0..if index == 0 { size(1, 20) } else { 1 } {
                let request = post(&path, &doors.token, &body);
                let cost = doors.cost(request).await;
                assert!(cost >= FOR_LONG, "{path}: {cost} tokens for {} bytes", body.len());
            }
        }
        doors.seen.take();
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_has_its_price() {
    let mut doors = Doors::open("binary", ["--token-budget", "1M/day"]).await;
    for (path, payload, _) in rows() {
        if payload != Payload::Json {
            let request = doors.typed(&path, "audio/flac", vec![0xff; LONG]);
            let cost = doors.cost(request).await;
            // What grows back in the meantime is about twelve tokens a second.
            assert!((BINARY_COST - 100..=BINARY_COST).contains(&cost), "{path}: {cost}");
        }
        if payload == Payload::Streamed {
            // JSON that nobody reads has none.
            let status = doors.json(&path, "{}").await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        }
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_charged_by_its_bytes() {
    let mut doors = Doors::open("text", ["--token-budget", "20M/day"]).await;
    let text = "once upon a time ".repeat(LONG / 17);
    for (path, media_type) in [
        ("/", "text/plain"),
        ("/models/org/m", "audio/flac"),
        ("/models/org/m", ""),
        ("/", "application/x-www-form-urlencoded"),
        ("/", "multipart/form-data; boundary=x"),
    ] {
        let request = doors.typed(path, media_type, text.clone());
        let cost = doors.cost(request).await;
        assert!(cost >= FOR_LONG, "{path} {media_type}: {cost}");
    }
}

#[tokio::test]
async fn each_requested_choice_is_reserved() {
    // 5,000 hold a request of fifty answers of 100 tokens, but for its prompt.
    let doors = Doors::open("answers", ["--token-budget", "5000/day", "--max-tokens", "100"]).await;
    for (path, body) in [
        ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"a"}],"n":50}"#),
        ("/v1/completions", r#"{"prompt":"a","best_of":50,"n":1}"#),
        ("/generate", r#"{"inputs":"a","parameters":{"best_of":50}}"#),
        ("/models/org/m", r#"{"inputs":"a","parameters":{"num_return_sequences":50}}"#),
        ("/invocations", r#"{"messages":[{"role":"user","content":"a"}],"n":50.0}"#),
        ("/", r#"{"inputs":"a","n":50}"#),
    ] {
        let status = doors.json(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
    let many = format!(r#"{{"instances":[{}{{"inputs":"a"}}]}}"#, r#"{"inputs":"a"},"#.repeat(49));
    assert_eq!(doors.json("/vertex", &many).await, StatusCode::BAD_REQUEST);
    let prompts = format!(r#"{{"prompt":[{}"a"]}}"#, r#""a","#.repeat(49));
    assert_eq!(doors.json("/v1/completions", &prompts).await, StatusCode::BAD_REQUEST);
    for body in
        [r#"{"messages":[],"n":"50"}"#, r#"{"messages":[],"n":-1}"#, r#"{"messages":[],"N":50}"#]
    {
        let status = doors.json("/v1/chat/completions", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert!(doors.seen.take().is_empty());
    // The honest caller has the budget left.
    let two = r#"{"messages":[{"role":"user","content":"a"}],"n":2}"#;
    assert_eq!(doors.json("/v1/chat/completions", two).await, StatusCode::OK);
}
