//! The demo, and the commands it prints.

use std::{fs, process::Output};

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

    let answer = paste(&banner, "A response").await;
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

    let token = paste(&banner, "A new token").await;
    let token: serde_json::Value = serde_json::from_str(&token).unwrap();
    let request = post("/v1/chat/completions", token["access_token"].as_str().unwrap(), CHAT);
    assert_eq!(send(gateway.address, request).await.status(), StatusCode::OK);
}

/// What the printed commands say of each answer, of which call of the upstream it is and how it was
/// come by.
async fn upstream_calls(banner: &Banner, label: &str) -> Vec<(String, String)> {
    let said = paste(banner, label).await;
    let told = said.lines().filter_map(|line| line.strip_prefix("upstream call "));
    let told = told.map(|line| {
        let (call, how) = line.split_once([':', ',']).unwrap();
        let (how, _time) = how.rsplit_once(',').unwrap_or_default();
        (call.to_owned(), how.trim().to_owned())
    });
    told.collect()
}

#[tokio::test]
async fn a_demo_shows_a_hit_and_a_replayed_stream() {
    let (_gateway, banner) = Gateway::demo(["--schema", "builtin"]).await;
    let miss = |call: &str| (call.to_owned(), "tower-inference; fwd=miss, age".to_owned());
    let is_hit = |told: &(String, String), call: &str| {
        told.0 == call
            && told.1.starts_with("tower-inference; hit; ttl=")
            && !told.1.ends_with("age")
    };
    let told = upstream_calls(&banner, "A hit").await;
    assert_eq!((told.len(), &told[0]), (2, &miss("1")));
    assert!(is_hit(&told[1], "1"), "{told:?}");

    let told = upstream_calls(&banner, "A replayed stream").await;
    assert_eq!((told.len(), &told[0]), (2, &miss("2")));
    assert!(is_hit(&told[1], "2"), "{told:?}");
    // Once more, the stream itself: both of the loop are replayed.
    let streams = paste(&banner, "A replayed stream").await;
    let streams: Vec<_> = streams.split_inclusive("data: [DONE]\n\n").collect();
    assert!(streams[0].matches("data: {").count() > 10, "{streams:?}");
    assert!(streams[1].ends_with(streams[0]), "{streams:?}");
}

#[tokio::test]
async fn a_demo_shows_a_shared_call() {
    // The second may come late on a busy machine, and then it is a hit.
    for _ in 0..10 {
        let (_gateway, banner) = Gateway::demo::<&str>([]).await;
        let told = upstream_calls(&banner, "A shared call").await;
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|(call, _)| call == "1"), "{told:?}");
        if told.iter().any(|(_, how)| how.ends_with("; collapsed, age")) {
            return;
        }
    }
    panic!("it never came while the first was under way");
}

#[tokio::test]
async fn a_demo_of_a_wider_scope_shows_that_the_upstream_is_called_once() {
    for scope in ["tenant", "shared"] {
        let (_gateway, banner) = Gateway::demo(["--cache-scope", scope]).await;
        for (label, call) in [("A hit", "1"), ("A replayed stream", "2"), ("A shared call", "3")] {
            let told = upstream_calls(&banner, label).await;
            let same = (call.to_owned(), String::new());
            assert_eq!(told, [same.clone(), same]);
        }
    }
}

#[tokio::test]
async fn a_demo_without_a_cache_does_not_speak_of_it() {
    let (_gateway, banner) = Gateway::demo(["--cache-ttl", "0s"]).await;
    assert!(!banner.text().contains("upstream call"));
}

#[tokio::test]
async fn the_413_command_exceeds_the_default_limit() {
    let (_gateway, banner) = Gateway::demo::<&str>([]).await;
    assert!(banner.command("413").starts_with("head -c 10485761 /dev/zero | curl "));
    let refused = paste(&banner, "413").await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[tokio::test]
async fn a_demo_with_limits_shows_what_is_left_and_a_429() {
    let flags = ["--rate", "6/min", "--burst", "3", "--quota", "1000/day"];
    let (_gateway, banner) = Gateway::demo(flags).await;
    let left = paste(&banner, "The remaining permits").await;
    assert!(left.contains("ratelimit: \"rate\";r=2;t="), "{left}");
    assert!(left.contains("\"quota\";r=999;t="), "{left}");

    let beyond = paste(&banner, "429").await;
    let tries: Vec<_> = beyond.lines().collect();
    assert_eq!(tries.len(), 6, "{beyond}");
    assert!(tries[0].starts_with("200 \"rate\";r=1;"), "{beyond}");
    let (_, wait) = tries[5].rsplit_once(' ').unwrap();
    assert!(tries[5].starts_with("429 \"rate\";r=0;"), "{beyond}");
    assert!((1..=10).contains(&wait.parse().unwrap()), "{beyond}");
}

#[tokio::test]
async fn a_demo_without_limits_does_not_speak_of_them() {
    let (_gateway, banner) = Gateway::demo::<&str>([]).await;
    // Ports and tokens may have the digits too.
    let words = banner.text();
    let mut words = words.split(|letter: char| !letter.is_ascii_alphanumeric());
    assert!(!words.any(|word| word == "429" || word == "ratelimit"), "{}", banner.text());
}

#[tokio::test]
async fn the_access_log_does_not_run_into_the_commands() {
    let args = ["--listen", "127.0.0.1:0"];
    let (mut gateway, banner) = Gateway::demo_of(Gateway::start_with(args).await).await;
    let file = banner.value("  access log     ").to_owned();
    let answer = paste(&banner, "A response").await;
    assert!(answer.contains("no model has run"), "{answer}");
    gateway.signal("TERM").await;
    assert!(gateway.ended().await.success());
    assert!(gateway.rest().await.iter().all(String::is_empty));
    let records = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    assert_eq!(records.lines().count(), 1);
    assert!(records.contains(r#""path":"/v1/chat/completions""#), "{records}");
}
