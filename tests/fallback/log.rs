//! What the operator reads.

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
