//! `--check`: what it says of an upstream, in words.

use axum::{Router, http::StatusCode, routing::post};

use crate::{
    process::{Gateway, run},
    stub::{Folder, Served, UPSTREAM_TOKEN},
};

/// What it says of an upstream that answers a chat completion like this.
async fn said(name: &str, status: u16, body: &'static str) -> (Option<i32>, String) {
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().route("/v1/chat/completions", post(async move || (status, body)));
    let upstream = Served::start(router).await;
    check(name, &upstream.url).await
}

async fn check(name: &str, url: &str) -> (Option<i32>, String) {
    let folder = Folder::new(name);
    let token = folder.write("token", UPSTREAM_TOKEN);
    let output = run(["--check", "--upstream", url, "--hf-token-file", &token]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    let all = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains(UPSTREAM_TOKEN), "{all}");
    (output.status.code(), said)
}

#[tokio::test]
async fn the_demo_is_fine() {
    let output = run(["--check"]).await;
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Fine: "), "{said}");
}

#[tokio::test]
async fn each_response_is_explained() {
    let model_away = r#"{"error":{"message":"The requested model 'tgi' does not exist","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
    let loading = r#"{"error":"Model tgi is currently loading","estimated_time":20.0}"#;
    for (name, status, body, start) in [
        (
            "check-200",
            200,
            r#"{"choices":[{"message":{"content":"p"},"finish_reason":"length"}]}"#,
            "Fine: ",
        ),
        // Failures that some servers send with 200.
        ("check-none", 200, r#"{"choices":[]}"#, "The response is no chat completion: "),
        ("check-error", 200, r#"{"error":"CUDA"}"#, "The response is no chat completion: "),
        (
            "check-aborted",
            200,
            r#"{"choices":[{"message":{"content":""},"finish_reason":"abort"}]}"#,
            "The response is no chat completion: ",
        ),
        ("check-page", 200, "<html>", "The response is no chat completion: "),
        ("check-401", 401, "", "The token is wrong: "),
        (
            "check-402",
            402,
            r#"{"error":"You have exceeded your monthly included credits"}"#,
            "No credits: ",
        ),
        (
            "check-403",
            403,
            r#"{"error":"insufficient permissions"}"#,
            "The token lacks a permission: ",
        ),
        ("check-404", 404, "Not Found", "The path is unknown: "),
        ("check-404m", 404, model_away, "The model is unknown: "),
        ("check-400", 400, model_away, "The model is unknown: "),
        (
            "check-422",
            422,
            r#"{"error":"x","error_type":"validation"}"#,
            "The upstream rejected the request: ",
        ),
        ("check-429", 429, "", "Too many requests: "),
        ("check-503", 503, loading, "The model is cold: "),
        ("check-503b", 503, "", "The model is cold or the upstream overloaded: "),
        ("check-500", 500, "", "The upstream failed: "),
    ] {
        let (code, said) = said(name, status, body).await;
        assert!(said.starts_with(start), "{status}: {said}");
        assert_eq!(code, Some(i32::from(start != "Fine: ")), "{said}");
    }
}

#[tokio::test]
async fn an_unreachable_upstream_is_reported() {
    let upstream = Served::start(Router::new()).await;
    let url = upstream.url.clone();
    drop(upstream);
    let (code, said) = check("check-away", &url).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("The upstream cannot be reached: "), "{said}");
}

#[tokio::test]
async fn an_upstream_whose_certificate_nobody_vouches_for_is_not_reached() {
    let folder = Folder::new("check-tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = folder.write("cert.pem", &made.cert.pem());
    let key = folder.write("key.pem", &made.signing_key.serialize_pem());
    let (upstream, _banner) = Gateway::demo(["--tls-cert", &cert, "--tls-key", &key]).await;
    let url = format!("https://localhost:{}", upstream.address.port());
    let (code, said) = check("check-untrusted", &url).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("The upstream cannot be reached: "), "{said}");
}

#[tokio::test]
async fn a_missing_token_is_reported() {
    let output =
        run(["--check", "--upstream", "http://127.0.0.1:1", "--hf-token-env", "NO_SUCH_TOKEN"])
            .await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("NO_SUCH_TOKEN"), "{said}");
}
