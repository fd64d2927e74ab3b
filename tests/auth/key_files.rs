//! Keys from a file.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, KeySource},
    clock::SharedClock,
};

use super::{
    fake_clock, fault,
    issuer::{ED25519, ED25519_OTHER, Pair, claims, set},
    jwt_of, seconds, try_token,
};

/// A path. Dropping it removes the file.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> Self {
        let name = format!("tower-inference-{}-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, keys: &[Value]) {
        fs::write(&self.0, set(keys)).unwrap();
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn signed(pair: &Pair, kid: &str) -> String {
    pair.token(&json!({ "alg": "EdDSA", "kid": kid }), &claims(json!({})))
}

#[tokio::test]
async fn changed_file_is_reloaded_within_a_second() {
    let file = TestFile::new("changed");
    let (old, new) =
        (ED25519.jwk_with(json!({ "kid": "a" })), ED25519_OTHER.jwk_with(json!({ "kid": "b" })));
    file.write(std::slice::from_ref(&old));
    let clock = fake_clock();
    let source = KeySource::file(&file.0).unwrap();
    let layer = AuthLayer::new(jwt_of(source).clock(SharedClock::new(clock.clone())));
    assert!(try_token(&layer, &signed(&ED25519, "a")).await.passed());

    // The new content has the same length. The timestamp may be the same too.
    file.write(&[new]);
    assert!(!try_token(&layer, &signed(&ED25519_OTHER, "b")).await.passed());
    clock.advance(seconds(1));
    assert!(try_token(&layer, &signed(&ED25519_OTHER, "b")).await.passed());
    // The cached token is rejected too.
    assert!(!try_token(&layer, &signed(&ED25519, "a")).await.passed());
}

#[tokio::test]
async fn unusable_file_never_refiles_usable_keys() {
    let file = TestFile::new("bad");
    file.write(&[ED25519.jwk_with(json!({ "kid": "a" }))]);
    let clock = fake_clock();
    let source = KeySource::file(&file.0).unwrap();
    let layer = AuthLayer::new(
        jwt_of(source.clone()).clock(SharedClock::new(clock.clone())).max_cache_bytes(0),
    );
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(150_000));
    for bad in ["", "{", "{\"keys\":[]}", &long] {
        fs::write(&file.0, bad).unwrap();
        clock.advance(seconds(1));
        assert!(try_token(&layer, &signed(&ED25519, "a")).await.passed());
    }
    fs::remove_file(&file.0).unwrap();
    clock.advance(seconds(100_000));
    assert!(source.is_ready());
    assert_eq!(source.refresh().await, Ok(()));
    let valid = mint_later(100_000);
    assert!(try_token(&layer, &valid).await.passed());
    // A usable file is loaded again.
    file.write(&[ED25519_OTHER.jwk_with(json!({ "kid": "a" }))]);
    clock.advance(seconds(1));
    assert!(!try_token(&layer, &valid).await.passed());
}

fn mint_later(later: u64) -> String {
    let times = json!({ "exp": super::NOW + later + 300 });
    ED25519.token(&json!({ "alg": "EdDSA", "kid": "a" }), &claims(times))
}

#[test]
fn unusable_file_is_an_error_at_startup() {
    let file = TestFile::new("error");
    assert_eq!(fault(KeySource::file(&file.0)), "Unreadable");
    assert_eq!(fault(KeySource::file(std::env::temp_dir())), "NotAFile");
    #[cfg(unix)]
    assert_eq!(fault(KeySource::file("/dev/zero")), "NotAFile");
    fs::write(&file.0, "[]").unwrap();
    assert_eq!(fault(KeySource::file(&file.0)), "Malformed");
    fs::write(&file.0, " ".repeat((512 << 10) + 1)).unwrap();
    assert_eq!(fault(KeySource::file(&file.0)), "TooLarge");
}
