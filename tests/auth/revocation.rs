//! The revocation hook and the check of `iat`.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use serde_json::json;
use tower_inference::{auth::AuthLayer, rejection::Refusal};

use super::{
    issuer::{NOW, token},
    jwt, seconds, try_token,
};

#[tokio::test]
async fn revoked_token_is_rejected_while_it_is_cached() {
    let revoked = Arc::new(Mutex::new(HashSet::<String>::new()));
    let calls = Arc::new(AtomicUsize::new(0));
    let layer = {
        let (revoked, calls) = (Arc::clone(&revoked), Arc::clone(&calls));
        AuthLayer::new(jwt().revocation(move |identity| {
            calls.fetch_add(1, SeqCst);
            let claim = |name| identity.claim(name).and_then(|claim| claim.as_str());
            let names = [claim("jti"), claim("sid"), Some(identity.subject())];
            let revoked = revoked.lock().unwrap();
            names.into_iter().flatten().any(|name| revoked.contains(name))
        }))
    };
    for name in ["token-1", "session-1", "user-1"] {
        let valid =
            token("EdDSA", json!({ "jti": "token-1", "sid": "session-1", "sub": "user-1" }));
        let other =
            token("EdDSA", json!({ "jti": "token-2", "sid": "session-2", "sub": "user-2" }));
        // New, then cached.
        assert!(try_token(&layer, &valid).await.passed());
        assert!(try_token(&layer, &valid).await.passed());
        revoked.lock().unwrap().insert(name.to_owned());
        let outcome = try_token(&layer, &valid).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{name}");
        assert!(outcome.challenge().contains("the token is revoked"), "{}", outcome.challenge());
        assert!(try_token(&layer, &other).await.passed(), "{name}");
        revoked.lock().unwrap().clear();
        assert!(try_token(&layer, &valid).await.passed());
    }
    assert_eq!(calls.load(SeqCst), 15);
}

#[tokio::test]
async fn hook_sees_no_token_that_is_invalid() {
    let layer = AuthLayer::new(jwt().revocation(|_| panic!("an unverified token")));
    for extra in [json!({ "exp": NOW }), json!({ "aud": "x" }), json!({ "iss": "x" })] {
        assert!(!try_token(&layer, &token("EdDSA", extra)).await.passed());
    }
    let valid = token("EdDSA", json!({}));
    assert!(!try_token(&layer, &format!("{valid}A")).await.passed());
}

#[tokio::test]
async fn future_iat_is_accepted_only_when_asked() {
    let strict = AuthLayer::new(jwt().leeway(seconds(30)));
    let lenient = AuthLayer::new(jwt().leeway(seconds(30)).future_iat());
    for (iat, passed) in [(NOW + 30, true), (NOW + 31, false), (NOW + 86_400, false)] {
        let valid = token("EdDSA", json!({ "iat": iat }));
        let outcome = try_token(&strict, &valid).await;
        assert_eq!(outcome.passed(), passed, "{iat}");
        if !passed {
            assert!(outcome.challenge().contains("claim `iat` is in the future"));
        }
        // New, then cached.
        assert!(try_token(&lenient, &valid).await.passed(), "{iat}");
        assert!(try_token(&lenient, &valid).await.passed(), "{iat}");
    }
    // Its type is still checked, and so is `nbf`.
    for extra in [json!({ "iat": "1" }), json!({ "nbf": NOW + 31 })] {
        assert!(!try_token(&lenient, &token("EdDSA", extra)).await.passed());
    }
}
