//! The demo, and the commands it prints.

use std::process::Output;

use http::StatusCode;
use tokio::process::Command;

use crate::{
    client::{CHAT, post, send},
    process::{Banner, Gateway, unless_hung},
};

/// Pastes a printed command into a shell, after the lines that set the tokens.
async fn paste(banner: &Banner, label: &str) -> String {
    let script = format!("{}{}\n", banner.variables(), banner.command(label));
    let mut shell = Command::new("sh");
    let Output { status, stdout, stderr } =
        unless_hung(shell.args(["-c", &script]).kill_on_drop(true).output()).await.unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{script}\n{stdout}\n{}", String::from_utf8_lossy(&stderr));
    stdout
}

#[tokio::test]
async fn the_printed_commands_do_what_they_say() {
    let (gateway, banner) = Gateway::demo(["--max-body", "64KiB", "--schema", "builtin"]).await;
    assert!(banner.text().contains("This is the demo."));

    let answer = paste(&banner, "An answer").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(content, "This is a demo and no model has run. You wrote: Hello, gateway!");
    assert_eq!((&answer["model"], &answer["system_fingerprint"]), (&"demo".into(), &"demo".into()));
    assert_eq!(answer["usage"]["total_tokens"], 15);

    let stream = paste(&banner, "A stream").await;
    assert!(stream.matches("data: {").count() > 10, "{stream}");
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");

    let refused = paste(&banner, "401").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(refused.contains("\r\nwww-authenticate: Bearer"), "{refused}");
    assert!(refused.contains("refusal:missing-credentials"), "{refused}");

    let refused = paste(&banner, "403").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("refusal:insufficient-scope"), "{refused}");

    let refused = paste(&banner, "413").await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    assert!(refused.contains("refusal:payload-too-large"), "{refused}");

    let refused = paste(&banner, "422").await;
    assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
    assert!(refused.contains(r#""pointer":"/messages""#), "{refused}");

    let token = paste(&banner, "Another token").await;
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    let request = post("/v1/chat/completions", token["access_token"].as_str().unwrap(), CHAT);
    assert_eq!(send(gateway.address, request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_413_holds_at_the_default_limit() {
    let (_gateway, banner) = Gateway::demo::<&str>([]).await;
    assert!(banner.command("413").starts_with("head -c 10485761 /dev/zero | curl "));
    let refused = paste(&banner, "413").await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}
