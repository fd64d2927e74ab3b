//! What the operator learns about API keys: the cause of a refused key, the state of a file and of a
//! store, and never a key.

#[path = "support/log.rs"]
mod log;

use std::{convert::Infallible, fs, path::PathBuf};

use http::{Request, Response};
use log::{listen, taken};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{ApiKey, ApiKeyDigest, ApiKeyRecord, ApiKeyStore, ApiKeyStoreError, ApiKeys, AuthLayer},
    clock::FakeClock,
};
use tracing::Level;

const KEY: &str = "the-first-key-of-acme-0001";

async fn send(layer: &AuthLayer, key: &str) -> u16 {
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let request = Request::builder().header("x-api-key", key).body(()).unwrap();
    layer.layer(inner).oneshot(request).await.unwrap().status().as_u16()
}

/// Returns the lines of a level since the last call.
fn lines(level: &str) -> Vec<String> {
    let all = taken();
    all.lines().filter(|line| line.contains(level)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_log_has_the_cause_with_the_public_id() {
    listen(Level::DEBUG);
    let clock = FakeClock::default();
    let (disabled, expired) = ("the-disabled-key-of-acme", "the-expired-key-of-acme");
    let generated = ApiKey::generate("acme").unwrap();
    let mistyped = &generated.expose()[..40];
    let digest = |key: &str| ApiKeyDigest::of(key.as_bytes());
    let records = [
        (digest(disabled), ApiKeyRecord::new("partner-1").disabled()),
        (digest(expired), ApiKeyRecord::new("partner-2").expires_at(std::time::UNIX_EPOCH)),
    ];
    let keys = ApiKeys::new(records).unwrap().prefix("acme").unwrap();
    let layer = AuthLayer::new(keys.clock(clock.shared()));
    let long = "k".repeat(300);
    for (key, reason, id) in [
        (KEY, "unknown API key", None),
        (mistyped, "it was cut or mistyped", None),
        (disabled, "the API key is disabled", Some("partner-1")),
        (expired, "the API key has expired", Some("partner-2")),
        (&long, "longer than 256 bytes", None),
    ] {
        // The first refusal of a minute is a warning.
        for level in ["WARN", "DEBUG"] {
            assert_eq!(send(&layer, key).await, 401);
            let all = taken();
            let line = all.lines().find(|line| line.contains(reason)).unwrap_or_default();
            assert!(line.contains(level) && line.contains("invalid-api-key"), "{key}: {all}");
            if key.len() < 256 {
                assert!(line.contains(&digest(key).public_id()), "{line}");
            }
            assert!(id.is_none_or(|id| line.contains(id)), "{line}");
            assert!(!all.contains(key), "{all}");
        }
    }
    clock.advance(std::time::Duration::from_secs(60));
    send(&layer, KEY).await;
    assert_eq!(lines("WARN").len(), 1);
}

struct TestFile(PathBuf);

impl Drop for TestFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_bad_file_is_told_once_for_each_reason() {
    use std::os::unix::fs::PermissionsExt as _;

    listen(Level::DEBUG);
    let name = format!("tower-inference-{}-logged-keys.json", std::process::id());
    let file = TestFile(std::env::temp_dir().join(name));
    let write = |content: &str, mode: u32| {
        fs::write(&file.0, content).unwrap();
        fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
    };
    let good = json!([{ "id": "acme", "key": KEY }]).to_string();
    // Everyone can read it, as Kubernetes mounts it.
    write(&good, 0o644);
    let clock = FakeClock::default();
    let layer = AuthLayer::new(ApiKeys::file(&file.0).unwrap().clock(clock.shared()));
    let warnings = lines("WARN");
    assert!(
        warnings.len() == 1 && warnings[0].contains("can read the API key file"),
        "{warnings:?}"
    );

    let half = &good[..good.len() - 3];
    let unknown = good.replace("\"id\"", "\"nmae\":1,\"id\"");
    for (content, mode, words) in [
        (half, 0o644, "EOF while parsing"),
        (&*unknown, 0o644, "unknown member `nmae`"),
        (&*good, 0o664, "run `chmod go-w` on it"),
    ] {
        write(content, mode);
        for warnings in [1, 0, 0] {
            clock.advance(std::time::Duration::from_secs(1));
            assert_eq!(send(&layer, KEY).await, 200);
            let lines = lines("WARN");
            assert_eq!(lines.len(), warnings, "{lines:?}");
            assert!(
                lines.iter().all(|line| line.contains(words) && !line.contains(KEY)),
                "{lines:?}"
            );
        }
    }
    write(&good, 0o644);
    clock.advance(std::time::Duration::from_secs(1));
    send(&layer, KEY).await;
    assert!(lines("INFO")[0].contains("the API key file is valid again"));
}

struct FailingStore;

impl ApiKeyStore for FailingStore {
    async fn find(&self, _digest: ApiKeyDigest) -> Result<Option<ApiKeyRecord>, ApiKeyStoreError> {
        Err("the database\nis away".into())
    }
}

#[tokio::test]
async fn a_failing_store_is_told_once_a_minute() {
    listen(Level::DEBUG);
    let clock = FakeClock::default();
    let layer = AuthLayer::new(ApiKeys::store(FailingStore).clock(clock.shared()));
    for warnings in [1, 0] {
        assert_eq!(send(&layer, KEY).await, 503);
        let lines = lines("WARN");
        assert_eq!(lines.len(), warnings);
        assert!(lines.iter().all(|line| line.contains(r"the database\nis away")), "{lines:?}");
        clock.advance(std::time::Duration::from_secs(2));
    }
}
