//! Keys in a file.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, KeySource, KeysError},
    clock::SharedClock,
};

use super::{
    fake_clock, jwt_of,
    mint::{ED25519, ED25519_OTHER, Pair, claims, set},
    seconds, try_token,
};

/// A path that is removed with its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("tower-inference-{}-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, keys: &[Value]) {
        fs::write(&self.0, set(keys)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn signed(pair: &Pair, kid: &str) -> String {
    pair.token(&json!({ "alg": "EdDSA", "kid": kid }), &claims(json!({})))
}

#[tokio::test]
async fn a_changed_file_is_taken_within_a_second() {
    let place = Place::new("changed");
    let (old, new) =
        (ED25519.jwk_with(json!({ "kid": "a" })), ED25519_OTHER.jwk_with(json!({ "kid": "b" })));
    place.write(std::slice::from_ref(&old));
    let clock = fake_clock();
    let source = KeySource::file(&place.0).unwrap();
    let layer = AuthLayer::new(jwt_of(source).clock(SharedClock::new(clock.clone())));
    assert!(try_token(&layer, &signed(&ED25519, "a")).await.passed());

    // The same length, and within the same tick of the file's time.
    place.write(&[new]);
    assert!(!try_token(&layer, &signed(&ED25519_OTHER, "b")).await.passed());
    clock.advance(seconds(1));
    assert!(try_token(&layer, &signed(&ED25519_OTHER, "b")).await.passed());
    // Also forgotten, not only unknown.
    assert!(!try_token(&layer, &signed(&ED25519, "a")).await.passed());
}

#[tokio::test]
async fn a_bad_file_never_replaces_a_good_one() {
    let place = Place::new("bad");
    place.write(&[ED25519.jwk_with(json!({ "kid": "a" }))]);
    let clock = fake_clock();
    let source = KeySource::file(&place.0).unwrap();
    let layer = AuthLayer::new(
        jwt_of(source.clone()).clock(SharedClock::new(clock.clone())).cache_bytes(0),
    );
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(150_000));
    for bad in ["", "{", "{\"keys\":[]}", &long] {
        fs::write(&place.0, bad).unwrap();
        clock.advance(seconds(1));
        assert!(try_token(&layer, &signed(&ED25519, "a")).await.passed());
    }
    fs::remove_file(&place.0).unwrap();
    clock.advance(seconds(100_000));
    assert!(source.is_ready());
    assert_eq!(source.refresh().await, Ok(()));
    let held = mint_later(100_000);
    assert!(try_token(&layer, &held).await.passed());
    // And a good one is taken again.
    place.write(&[ED25519_OTHER.jwk_with(json!({ "kid": "a" }))]);
    clock.advance(seconds(1));
    assert!(!try_token(&layer, &held).await.passed());
}

fn mint_later(later: u64) -> String {
    let times = json!({ "exp": super::NOW + later + 300 });
    ED25519.token(&json!({ "alg": "EdDSA", "kid": "a" }), &claims(times))
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_at_once() {
    let place = Place::new("error");
    assert_eq!(KeySource::file(&place.0).unwrap_err(), KeysError::Unreadable);
    assert_eq!(KeySource::file(std::env::temp_dir()).unwrap_err(), KeysError::Unreadable);
    #[cfg(unix)]
    assert_eq!(KeySource::file("/dev/zero").unwrap_err(), KeysError::Unreadable);
    fs::write(&place.0, "[]").unwrap();
    assert_eq!(KeySource::file(&place.0).unwrap_err(), KeysError::Malformed);
    fs::write(&place.0, " ".repeat(150_001)).unwrap();
    assert_eq!(KeySource::file(&place.0).unwrap_err(), KeysError::TooLarge);
}
