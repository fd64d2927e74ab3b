//! The lines that the operator reads.

#[path = "../support/log.rs"]
mod listening;

use listening::{listen, taken};
use tracing::Level;

use super::*;

#[tokio::test(start_paused = true)]
async fn each_failed_attempt_is_a_line_without_secrets() {
    listen(Level::TRACE);
    let secret = r#"{"model":"m","messages":[{"role":"user","content":"my secret prompt"}]}"#;
    let hosts = hosts(status(500), TestResponse::unreachable());
    let got = send(&two(), &hosts, chat(secret)).await;
    assert_eq!(got.status, 502);
    let lines = taken();
    let attempt = lines.lines().find(|line| line.contains("another one follows")).unwrap();
    assert!(attempt.contains("INFO") && attempt.contains("target_name=a"), "{attempt}");
    assert!(attempt.contains("reason=Status") && attempt.contains("status=500"), "{attempt}");
    let all = lines.lines().find(|line| line.contains("all attempts")).unwrap();
    assert!(all.contains("WARN") && all.contains("attempts=2"), "{all}");
    for secret in ["secret prompt", "hf_tokenOf"] {
        assert!(!lines.contains(secret), "{lines}");
    }
    let debug = format!("{:?} {:?}", two(), target("a").model("m").group("g"));
    assert!(!debug.contains("hf_tokenOf"), "{debug}");
}

#[tokio::test(start_paused = true)]
async fn a_skipped_target_is_a_line_with_the_reason() {
    listen(Level::TRACE);
    let layer = FallbackLayer::new([target("a"), target("b").model("org/other")]);
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let request = Request::post("/generate").header("content-type", "application/json");
    send(&layer, &hosts, request.body(Payload::buffered(r#"{"inputs":"x"}"#)).unwrap()).await;
    let lines = taken();
    let line = lines.lines().find(|line| line.contains("a target is skipped")).unwrap();
    assert!(line.contains("b/org/other") && line.contains("Target::model"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_not_repeated_is_a_line_with_the_reason() {
    listen(Level::TRACE);
    let streamed = hello()
        .map(|body| Payload::streamed(http_body_util::Full::from(body.bytes().unwrap().clone())));
    let other = Request::post("/v1/files").body(Payload::buffered("x")).unwrap();
    for (request, reason) in [(streamed, "PayloadLayer::new()"), (other, "stateless inference")] {
        let hosts = hosts(status(500), TestResponse::chat("two"));
        assert_eq!(send(&two(), &hosts, request).await.status, 500);
        let lines = taken();
        let line = lines.lines().find(|line| line.contains("is not repeated")).unwrap();
        assert!(line.contains("INFO") && line.contains(reason), "{line}");
    }
    // One target alone would not be tried again.
    send(&FallbackLayer::new([target("a")]), &hosts(status(500), status(500)), hello()).await;
    assert!(!taken().contains("is not repeated"));
}

#[tokio::test(start_paused = true)]
async fn a_token_layer_outside_is_logged_once() {
    listen(Level::TRACE);
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let inner = two().layer(UpstreamLayer::new().layer(hosts.clone()));
    let service = HfTokenLayer::stage(stage("a")).layer(inner);
    for _ in 0..2 {
        send_to(service.clone(), hello()).await;
    }
    assert_eq!(hosts.calls(), [4, 0]);
    let lines = taken();
    let warnings: Vec<_> =
        lines.lines().filter(|line| line.contains("outside of FallbackLayer")).collect();
    assert_eq!(warnings.len(), 1, "{lines}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains("Router::layer"), "{lines}");

    let right = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let request = Request::post("https://gateway.example/v1/chat/completions");
    send(&two(), &right, request.body(Payload::buffered("{}")).unwrap()).await;
    assert!(!taken().contains("outside of FallbackLayer"));
}
