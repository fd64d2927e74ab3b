//! The audit trail of the example and the program that verifies it.

use std::{env, fs, path::Path, process::Command};

use http::StatusCode;
use http_body_util::BodyExt as _;

use crate::{
    client::{CHAT, get, post, send, slug},
    process::unless_hung,
    stub::{Folder, Stub, UPSTREAM_TOKEN, gateway},
    token::{self, Signer},
};

/// Runs the example `verify_audit`. Returns its exit code and what it prints.
fn verify(args: &[&str]) -> (Option<i32>, String) {
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/verify_audit");
    assert!(program.exists(), "run `cargo build --examples` first");
    let output = Command::new(program).args(args).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[tokio::test]
async fn each_request_is_in_a_trail_that_verifies() {
    if !crate::program::is_there("openssl") {
        return;
    }
    let folder = Folder::new("audit");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let (trail, key) = (folder.path("audit.jsonl"), folder.path("audit.key"));
    let (public_file, kept) = (folder.path("audit.pub"), folder.path("stderr"));
    // As the help says.
    for args in [
        vec!["genpkey", "-algorithm", "ed25519", "-out", &key],
        vec!["pkey", "-in", &key, "-pubout", "-out", &public_file],
    ] {
        assert!(Command::new("openssl").args(args).status().unwrap().success());
    }
    let flags = ["--audit", &trail, "--audit-key", &key];
    let mut gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
    let line = gateway.complained("the public key of the audit trail").await;
    let public = line.rsplit(' ').next().unwrap();

    let rejected = send(gateway.address, post("/v1/chat/completions", "no-token", CHAT)).await;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    drop(rejected.collect().await);
    let caller = signer.sign(&token::claims());
    let (response, ()) =
        tokio::join!(send(gateway.address, post("/v1/chat/completions", &caller, CHAT)), async {
            stub.seen().await.answer("ok").await;
        });
    drop(response.collect().await);
    let unknown = send(gateway.address, get("/metrics")).await;
    assert_eq!(slug(unknown, StatusCode::NOT_FOUND).await, "not-found");
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    fs::write(&kept, gateway.rest_of_errors().await.join("\n")).unwrap();

    let text = fs::read_to_string(&trail).unwrap();
    assert!(!text.contains(UPSTREAM_TOKEN) && !text.contains(&caller));
    assert!(text.contains("248289761001-machine-to-machine-client") && text.contains("sha256"));
    for key in [public, &public_file] {
        let (code, printed) = verify(&["--key", key, "--checkpoint", &kept, &trail]);
        assert_eq!(code, Some(0), "{printed}");
        assert!(printed.contains("3 of them are records of requests"), "{printed}");
        assert!(printed.contains("the trail has the known checkpoint"), "{printed}");
    }
    fs::write(&trail, text.replacen("\"status\":401", "\"status\":200", 1)).unwrap();
    let (code, printed) = verify(&["--key", public, &trail]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("audit.jsonl line 3: record 2 was edited"), "{printed}");
    let last = text.lines().last().unwrap();
    fs::write(&trail, text.strip_suffix(&format!("{last}\n")).unwrap()).unwrap();
    let (code, printed) = verify(&["--key", public, "--checkpoint", &kept, &trail]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("the trail was cut"), "{printed}");
    let (code, printed) = verify(&["--key", public, &folder.path("none")]);
    assert_eq!(code, Some(2), "{printed}");
    assert_eq!(verify(&[]).0, Some(2));
}

#[tokio::test]
async fn a_key_that_others_can_read_stops_the_start() {
    let folder = Folder::new("audit-key");
    let (trail, key) = (folder.path("audit.jsonl"), folder.path("audit.key"));
    fs::write(&key, [7; 32]).unwrap();
    assert!(Command::new("chmod").args(["644", &key]).status().unwrap().success());
    let output = crate::process::run(["--audit", &trail, "--audit-key", &key]).await;
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(printed.contains("audit.key: every user of this machine can read it"), "{printed}");
    assert!(!Path::new(&trail).exists());
}

/// A flag for each part of the trail in this folder, whose key is written there.
fn trail(folder: &Folder) -> [String; 4] {
    let key = folder.path("audit.key");
    fs::write(&key, [7; 32]).unwrap();
    assert!(Command::new("chmod").args(["600", &key]).status().unwrap().success());
    ["--audit".into(), folder.path("audit.jsonl"), "--audit-key".into(), key]
}

#[tokio::test]
async fn a_gateway_without_its_trail_is_not_ready_and_its_lag_is_shown() {
    let folder = Folder::new("audit-ready");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    let [audit, path, audit_key, key] = trail(&folder);
    let flags = [&*audit, &path, &audit_key, &key, "--admin", "127.0.0.1:0"];
    let mut gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
    let line = gateway.said("metrics on http://").await;
    let admin = line.trim_start_matches("metrics on http://").trim_end_matches("/metrics");
    let admin = admin.parse().unwrap();
    let page = async || {
        let page = send(admin, get("/metrics")).await.into_body().collect().await.unwrap();
        String::from_utf8(page.to_bytes().to_vec()).unwrap()
    };
    unless_hung(async {
        while send(gateway.address, get("/readyz")).await.status() != StatusCode::OK {}
        while !page().await.contains("\ntower_inference_audit_lag_records 0") {}
    })
    .await;
    fs::rename(&path, folder.path("away")).unwrap();
    // The write of its record fails.
    assert_eq!(send(gateway.address, get("/nowhere")).await.status(), StatusCode::NOT_FOUND);
    unless_hung(async {
        for address in [gateway.address, admin] {
            let body = loop {
                let response = send(address, get("/readyz")).await;
                if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                    break response.into_body().collect().await.unwrap().to_bytes();
                }
            };
            assert_eq!(body, "the audit trail cannot be written\n");
        }
        while !page().await.contains("\ntower_inference_audit_lag_records 1") {}
    })
    .await;
    assert!(page().await.contains("\ntower_inference_audit_lost_records_total 0"));
    fs::rename(folder.path("away"), &path).unwrap();
    unless_hung(async {
        while send(gateway.address, get("/readyz")).await.status() != StatusCode::OK {}
    })
    .await;
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    // Signed at the end, whoever else had the log.
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().last().unwrap().contains("\"reason\":\"close\""), "{text}");
}

#[tokio::test]
async fn the_known_checkpoint_is_the_last_one_that_the_key_has_signed() {
    let folder = Folder::new("audit-known");
    let (signer, stub) = (Signer::es256(), Stub::start().await);
    let flags = trail(&folder);
    let path = flags[1].clone();
    let flags = flags.each_ref().map(String::as_str);
    let mut gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
    let line = gateway.complained("the public key of the audit trail").await;
    let public = line.rsplit(' ').next().unwrap();
    assert_eq!(send(gateway.address, get("/nowhere")).await.status(), StatusCode::NOT_FOUND);
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    let text = fs::read_to_string(&path).unwrap();
    let (first, last) = (text.lines().nth(1).unwrap(), text.lines().last().unwrap());
    assert!(first.contains("\"reason\":\"start\"") && last.contains("\"reason\":\"close\""));
    // Somebody has an earlier checkpoint, and one of another key, logged later. The log is not all UTF-8.
    let other = tower_inference::audit::AuditKey::from_bytes(&[8; 32]).unwrap();
    let elsewhere = folder.path("other.jsonl");
    drop(tower_inference::audit::AuditFile::new(&elsewhere, other).open().unwrap());
    let of_other = fs::read_to_string(&elsewhere).unwrap();
    let of_other = of_other.lines().last().unwrap();
    let log = format!("a {last}\npath: {first}\npath: {of_other}\n");
    fs::write(folder.path("log"), [log.as_bytes(), b"\xff\n"].concat()).unwrap();
    let log = folder.path("log");
    let (code, printed) = verify(&["--checkpoint", &log, "--key", public, &path]);
    assert_eq!(code, Some(0), "{printed}");
    fs::write(&path, text.strip_suffix(&format!("{last}\n")).unwrap()).unwrap();
    let (code, printed) = verify(&["--checkpoint", &log, "--key", public, &path]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("the trail was cut"), "{printed}");
}
