//! Credentials that almost prove something, and clocks that are set.

use super::*;

/// A layer for opaque tokens about which the endpoint always answers this.
fn introspected(answer: Value) -> AuthLayer {
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        let response = Response::new(Full::<Bytes>::from(answer.to_string()));
        async { Ok::<_, Infallible>(response) }
    });
    let url = "https://issuer.example/introspect";
    let tokens = tower_inference::auth::Introspection::new(url, ISSUER, AUDIENCE, client);
    AuthLayer::new(tokens.build().unwrap())
}

#[tokio::test]
async fn active_refresh_token_is_no_access_token() {
    let answer = |name: &str, value: Value| {
        let mut answer = serde_json::json!({ "active": true, "sub": "user-7", "aud": AUDIENCE });
        answer[name] = value;
        introspected(answer)
    };
    for (name, value) in [("token_use", "refresh_token"), ("token_usage", "refresh_token")] {
        let outcome = try_token(&answer(name, value.into()), "opaque").await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{name}");
        assert!(outcome.challenge().contains(name), "{}", outcome.challenge());
    }
    for value in [Value::Bool(true), "".into(), "id_token".into(), serde_json::json!([])] {
        for name in ["token_use", "token_usage"] {
            assert!(!try_token(&answer(name, value.clone()), "opaque").await.passed(), "{name}");
        }
    }
    for (name, value) in
        [("token_use", "access_token"), ("token_use", "access"), ("token_usage", "access_token")]
    {
        assert!(try_token(&answer(name, value.into()), "opaque").await.passed(), "{value}");
    }
}
