//! What callers may take: `--rate`, `--burst`, `--quota` and `--token-budget`, over real HTTP.

use http::{StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use tokio::time::{Duration, Instant, interval_at};

use crate::{
    client::{CHAT, CHAT_STREAM, bytes, json, post, send},
    process::{Gateway, run, unless_hung},
};

const PATH: &str = "/v1/chat/completions";

/// Asks once: the status, the whole seconds of `retry-after`, and the body.
async fn ask(gateway: &Gateway, token: &str) -> (StatusCode, Option<u64>, Value) {
    let answer = send(gateway.address, post(PATH, token, CHAT)).await;
    let status = answer.status();
    let wait = answer.headers().get(RETRY_AFTER);
    let wait = wait.map(|wait| wait.to_str().unwrap().parse().unwrap());
    if status == StatusCode::TOO_MANY_REQUESTS {
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    (status, wait, json(answer).await)
}

#[tokio::test]
async fn requests_beyond_the_burst_get_429_and_pass_after_retry_after() {
    // One permit takes two seconds to grow: what follows at once is refused on a slow machine too.
    let (gateway, banner) = Gateway::demo(["--rate", "30/min", "--burst", "3"]).await;
    let token = banner.token();
    for _ in 0..3 {
        assert_eq!(ask(&gateway, token).await.0, StatusCode::OK);
    }
    let (status, wait, problem) = ask(&gateway, token).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem["type"], "urn:tower-inference:refusal:throttled");
    let wait = wait.expect("it says when to come again");
    assert!((1..=2).contains(&wait), "{wait}");

    let until = Instant::now() + Duration::from_secs(wait);
    unless_hung(interval_at(until, Duration::from_secs(1)).tick()).await;
    assert_eq!(ask(&gateway, token).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_quota_ends_with_a_slug_of_its_own() {
    let (gateway, banner) = Gateway::demo(["--quota", "2/month"]).await;
    let token = banner.token();
    for _ in 0..2 {
        assert_eq!(ask(&gateway, token).await.0, StatusCode::OK);
    }
    let (status, wait, problem) = ask(&gateway, token).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem["type"], "urn:tower-inference:refusal:quota-exceeded");
    assert!(wait.is_some_and(|wait| (1..=31 * 86_400).contains(&wait)), "{wait:?}");
}

#[tokio::test]
async fn a_budget_is_charged_what_the_upstream_counted() {
    // More than 100 are reserved for each answer, and the demo counts some 15: without settling,
    // the second would not pass.
    let flags = ["--token-budget", "200/day", "--max-tokens", "100"];
    let (gateway, banner) = Gateway::demo(flags).await;
    let token = banner.token();
    assert_eq!(ask(&gateway, token).await.0, StatusCode::OK);
    let stream = send(gateway.address, post(PATH, token, CHAT_STREAM)).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert!(bytes(stream).await.ends_with(b"data: [DONE]\n\n"));
    // Each answer takes some of it: within twenty the budget is used up.
    let mut refused = None;
    for _ in 0..20 {
        let (status, wait, problem) = ask(&gateway, token).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((wait, problem));
            break;
        }
    }
    let (wait, problem) = refused.expect("a budget that ends");
    assert_eq!(problem["type"], "urn:tower-inference:refusal:throttled");
    assert!(wait.is_some_and(|wait| wait > 0));
}

#[tokio::test]
async fn invalid_limits_exit_with_2() {
    for flags in [
        ["--rate", "10"],
        ["--burst", "3"],
        ["--quota", "1/s"],
        ["--token-budget", "x"],
        ["--auth-failures", "0/s"],
    ] {
        let output = run(flags).await;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("gateway: {} ", flags[0])), "{said}");
    }
}
