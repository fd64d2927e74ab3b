//! The listener for operators.

use std::process::Command;

use http::StatusCode;
use http_body_util::BodyExt as _;

use crate::{
    client::{CHAT, get, post, send},
    process::{Gateway, run},
    stub::Folder,
};

#[tokio::test]
async fn metrics_are_served_on_the_listener_for_operators_alone() {
    let (mut gateway, banner) = Gateway::demo(["--admin", "127.0.0.1:0"]).await;
    let line = gateway.said("metrics on http://").await;
    let address = line.trim_start_matches("metrics on http://").trim_end_matches("/metrics");
    let admin = address.parse().unwrap();
    let token = banner.variables();
    let token = token.lines().find_map(|line| line.strip_prefix("TOKEN=")).unwrap();

    let served = send(gateway.address, post("/v1/chat/completions", token, CHAT)).await;
    assert_eq!(served.status(), StatusCode::OK);
    served.into_body().collect().await.unwrap();
    // The record is there when the connection is done with the request.
    let page = loop {
        let response = send(admin, get("/metrics")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let page = response.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.to_vec()).unwrap();
        if page.contains("tower_inference_requests_total{") {
            break page;
        }
    };
    let requests = "tower_inference_requests_total{route=\"/v1/chat/completions\",";
    assert!(page.contains(requests), "{page}");
    assert!(page.contains("# TYPE tower_inference_request_duration_seconds histogram"), "{page}");
    assert!(page.contains("tower_inference_keys_ready{keys=\"127.0.0.1\"} 1"), "{page}");
    assert!(!page.contains(token) && !page.contains("demo-caller"), "{page}");

    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/v1/models", 404)] {
        assert_eq!(send(admin, get(path)).await.status(), status, "{path}");
    }
    // Callers do not see them.
    assert_eq!(send(gateway.address, get("/metrics")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(gateway.address, get("/healthz")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_to_be_asked_for() {
    let flags = ["--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"];
    let output = run(flags).await;
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("--admin 0.0.0.0:0: other machines can reach this address"), "{error}");

    let mut gateway = Gateway::start(["--admin", "0.0.0.0:0", "--admin-remote"]).await;
    gateway.said("metrics on http://0.0.0.0:").await;
}

#[tokio::test]
async fn requests_are_counted_without_a_log() {
    let flags = ["--admin", "127.0.0.1:0", "--access-log", "off"];
    let mut gateway = Gateway::start(flags).await;
    let line = gateway.said("metrics on http://").await;
    let address = line.trim_start_matches("metrics on http://").trim_end_matches("/metrics");
    let admin = address.parse().unwrap();
    assert_eq!(send(gateway.address, get("/nowhere")).await.status(), StatusCode::NOT_FOUND);
    loop {
        let page = send(admin, get("/metrics")).await.into_body().collect().await.unwrap();
        let page = String::from_utf8(page.to_bytes().to_vec()).unwrap();
        if page.contains("refusal=\"not-found\"} 1") {
            break;
        }
    }
}

/// An alert reads them.
#[tokio::test]
async fn the_state_of_the_audit_trail_is_shown() {
    if !crate::program::is_there("openssl") {
        return;
    }
    let folder = Folder::new("admin-audit");
    let (trail, key) = (folder.path("audit.jsonl"), folder.path("audit.key"));
    let mut made = Command::new("openssl");
    made.args(["genpkey", "-algorithm", "ed25519", "-out", &key]);
    assert!(made.status().unwrap().success());
    let flags = ["--admin", "127.0.0.1:0", "--audit", &trail, "--audit-key", &key];
    let (mut gateway, _banner) = Gateway::demo(flags).await;
    let line = gateway.said("metrics on http://").await;
    let address = line.trim_start_matches("metrics on http://").trim_end_matches("/metrics");
    let response = send(address.parse().unwrap(), get("/metrics")).await;
    let page = response.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("\ntower_inference_audit_lag_records 0"), "{page}");
    assert!(page.contains("\ntower_inference_audit_lost_records_total 0"), "{page}");
}
