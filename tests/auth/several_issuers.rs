//! Layers with several issuers.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{Algorithm, AuthLayer, ClaimMapping, Jwt, Keys},
    clock::SharedClock,
    limits::{Limit, Rate},
    payload::Payload,
    record::Record,
    rejection::Refusal,
    stack::Stack,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
};

use super::{
    bearer, fake_clock,
    fake_provider::FakeProvider,
    issuer::{AUDIENCE, ED25519, ED25519_OTHER, ISSUER, NOW, Pair, claims, merge, set, token},
    jwt, seconds, try_token,
};

const FIRST: &str = "https://first.example";
const SECOND: &str = "https://second.example";

/// Settings of an issuer with one key. Both issuers have the same `kid`.
fn of(issuer: &str, pair: &Pair) -> Jwt {
    let keys = Keys::from_jwks(set(&[pair.jwk_with(json!({ "kid": "k" }))])).unwrap();
    Jwt::new(keys, issuer, AUDIENCE)
        .clock(SharedClock::new(fake_clock()))
        .leeway(seconds(0))
        .claims(ClaimMapping::new().tenant("org"))
}

fn both() -> AuthLayer {
    AuthLayer::new(of(FIRST, &ED25519)).or(of(SECOND, &ED25519_OTHER))
}

fn signed(pair: &Pair, issuer: &str, extra: Value) -> String {
    let extra = merge(json!({ "iss": issuer, "org": "acme" }), extra);
    pair.token(&json!({ "alg": "EdDSA", "kid": "k" }), &claims(extra))
}

#[tokio::test]
async fn same_subject_and_kid_of_two_issuers_are_two_callers() {
    let layer = both();
    for _ in 0..2 {
        for (pair, issuer) in [(&*ED25519, FIRST), (&*ED25519_OTHER, SECOND)] {
            let outcome = try_token(&layer, &signed(pair, issuer, json!({}))).await;
            let identity = outcome.identity.unwrap();
            assert_eq!((identity.issuer(), identity.subject()), (issuer, "user-7"));
            assert_eq!(identity.principal().to_string(), format!("jwt:{issuer}#user-7"));
            assert_eq!(identity.tenant(), Some("acme"));
        }
        // The key of one issuer does not verify the tokens of the other.
        for (pair, issuer) in [(&*ED25519, SECOND), (&*ED25519_OTHER, FIRST)] {
            let outcome = try_token(&layer, &signed(pair, issuer, json!({}))).await;
            assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
            assert!(outcome.challenge().contains("invalid bearer token"));
        }
    }
}

#[tokio::test]
async fn cached_token_of_one_issuer_gives_no_access_to_the_other() {
    let clock = SharedClock::new(fake_clock());
    let first = AuthLayer::new(of(FIRST, &ED25519).clock(clock.clone()));
    let second = AuthLayer::new(of(SECOND, &ED25519_OTHER).clock(clock));
    let valid = signed(&ED25519, FIRST, json!({}));
    for _ in 0..2 {
        assert!(try_token(&first, &valid).await.passed());
        assert!(!try_token(&second, &valid).await.passed());
    }
}

#[tokio::test]
async fn limits_of_callers_and_tenants_do_not_cross() {
    for limit in [Limit::per_identity(Rate::per_day(1)), Limit::per_tenant(Rate::per_day(1))] {
        let inner = service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let service = both().layer(ThrottleLayer::new(limit).layer(inner));
        let mut statuses = Vec::new();
        for (pair, issuer) in [
            (&*ED25519, FIRST),
            (&*ED25519_OTHER, SECOND),
            (&*ED25519, FIRST),
            (&*ED25519_OTHER, SECOND),
        ] {
            let request = bearer(&signed(pair, issuer, json!({})));
            let response = service.clone().oneshot(request).await.unwrap();
            statuses.push(response.status().as_u16());
        }
        assert_eq!(statuses, [200, 200, 429, 429]);
    }
}

#[tokio::test]
async fn budgets_do_not_cross_and_the_log_tells_the_issuers_apart() {
    let records: Arc<Mutex<Vec<String>>> = Arc::default();
    let issuers = Arc::clone(&records);
    let access_log = AccessLogLayer::sink(move |record: &Record<'_>| {
        issuers.lock().unwrap().push(record.principal().unwrap().issuer.to_owned());
    });
    let budget = TokenBudgetLayer::new(Limit::per_identity(Rate::per_day(100)));
    let client = service_fn(async |_: Request<Payload>| {
        let usage = r#"{"usage":{"prompt_tokens":50,"completion_tokens":50,"total_tokens":100}}"#;
        let response = Response::builder().header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from(usage)).unwrap())
    });
    let service =
        Stack::new().access_log(access_log).auth(both()).token_budget(budget).layer(client);
    let mut statuses = Vec::new();
    for (pair, issuer) in [
        (&*ED25519, FIRST),
        (&*ED25519, FIRST),
        (&*ED25519_OTHER, SECOND),
        (&*ED25519_OTHER, SECOND),
    ] {
        let request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", signed(pair, issuer, json!({}))))
            .body(Full::<Bytes>::from(r#"{"model":"m","max_tokens":50,"messages":[]}"#));
        let response = service.clone().oneshot(request.unwrap()).await.unwrap();
        statuses.push(response.status().as_u16());
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(statuses, [200, 429, 200, 429]);
    let seen = records.lock().unwrap().clone();
    assert_eq!(seen, [FIRST, FIRST, SECOND, SECOND]);
}

#[tokio::test]
async fn token_of_an_unknown_issuer_looks_like_a_forged_one_and_causes_no_fetch() {
    let providers = [FakeProvider::new(), FakeProvider::new()];
    let [first, second] = [0, 1].map(|index| {
        let keys = providers[index].source().build().unwrap();
        Jwt::new(keys, [FIRST, SECOND][index], AUDIENCE).clock(SharedClock::new(fake_clock()))
    });
    let layer = AuthLayer::new(first).or(second);
    let header = json!({ "alg": "EdDSA", "kid": "EdDSA" });
    let mut seen = Vec::new();
    for issuer in [
        json!("https://third.example"),
        json!("https://first.example/"),
        json!("https://FIRST.example"),
        json!(""),
        json!(null),
        json!([FIRST]),
        json!(7),
    ] {
        let token = ED25519.token(&header, &claims(json!({ "iss": issuer })));
        seen.push(try_token(&layer, &token).await);
    }
    let twice = format!(r#"{{"iss":"{FIRST}","iss":"{SECOND}"}}"#);
    seen.push(try_token(&layer, &ED25519.token_of(&header.to_string(), &twice)).await);
    assert_eq!((providers[0].calls(), providers[1].calls()), (0, 0));
    assert_eq!(layer.counts().unverified, 8);

    let forged = signed(&ED25519_OTHER, FIRST, json!({}));
    let forged = try_token(&layer, &forged).await;
    assert_eq!((providers[0].calls(), providers[1].calls()), (1, 0));
    for outcome in seen {
        assert_eq!(outcome.visible(), forged.visible());
    }
}

#[tokio::test]
async fn failed_provider_of_one_issuer_does_not_reject_tokens_of_the_other() {
    let provider = FakeProvider::new();
    provider.fail(true);
    let broken = provider.source().build().unwrap();
    let broken = Jwt::new(broken, SECOND, AUDIENCE).clock(SharedClock::new(fake_clock()));
    let layer = AuthLayer::new(of(FIRST, &ED25519)).or(broken);
    let outcome = try_token(&layer, &signed(&ED25519_OTHER, SECOND, json!({}))).await;
    assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
    assert!(try_token(&layer, &signed(&ED25519, FIRST, json!({}))).await.passed());
}

#[tokio::test]
async fn each_issuer_has_settings_of_its_own() {
    let first = of(FIRST, &ED25519)
        .required_scopes(["infer"])
        .unwrap()
        .max_token_bytes(1_000)
        .leeway(seconds(30));
    let second = of(SECOND, &ED25519_OTHER)
        .additional_audiences(["https://other.example"])
        .algorithms([Algorithm::Rs256, Algorithm::EdDsa])
        .claims(ClaimMapping::new().subject("client_id").tenant("team"));
    let layer = AuthLayer::new(first).or(second);
    for (extra, first, second) in [
        (json!({ "scope": "infer" }), true, false),
        (json!({ "client_id": "app" }), false, true),
        (json!({ "scope": "infer", "client_id": "app" }), true, true),
        (json!({ "scope": "infer", "client_id": "app", "exp": NOW - 1 }), true, false),
        (
            json!({ "scope": "infer", "client_id": "app", "aud": "https://other.example" }),
            false,
            true,
        ),
        (json!({ "scope": "infer", "client_id": "app", "x": "x".repeat(1_000) }), false, true),
    ] {
        for (pair, issuer, passed) in [(&*ED25519, FIRST, first), (&*ED25519_OTHER, SECOND, second)]
        {
            let outcome = try_token(&layer, &signed(pair, issuer, extra.clone())).await;
            assert_eq!(outcome.passed(), passed, "{issuer}: {extra}");
        }
    }
    let team = signed(&ED25519_OTHER, SECOND, json!({ "client_id": "app", "team": "t" }));
    let identity = try_token(&layer, &team).await.identity.unwrap();
    assert_eq!((identity.subject(), identity.tenant()), ("app", Some("t")));
}

/// A cached token stays expired when the wall clock is set back. A token that is not cached does not.
#[tokio::test]
async fn issuer_without_a_cache_is_never_cached() {
    let clock = fake_clock();
    let shared = SharedClock::new(clock.clone());
    let layer =
        AuthLayer::new(of(FIRST, &ED25519).clock(shared.clone()))
            .or(of(SECOND, &ED25519_OTHER).clock(shared).max_cache_bytes(0));
    let tokens = [signed(&ED25519, FIRST, json!({})), signed(&ED25519_OTHER, SECOND, json!({}))];
    for token in &tokens {
        assert!(try_token(&layer, token).await.passed());
    }
    clock.advance(seconds(300));
    clock.set_wall(UNIX_EPOCH + seconds(NOW));
    let [cached, uncached] = &tokens;
    assert_eq!(try_token(&layer, cached).await.refusal(), Some(Refusal::ExpiredToken));
    assert!(try_token(&layer, uncached).await.passed());
}

#[tokio::test]
async fn names_of_one_issuer_are_one_caller() {
    for layer in [
        AuthLayer::new(jwt().issuer_aliases(["issuer.example", "urn:issuer"])),
        AuthLayer::new(jwt().issuer_aliases(["issuer.example", "urn:issuer"]))
            .or(of(FIRST, &ED25519)),
    ] {
        for name in [ISSUER, "issuer.example", "urn:issuer"] {
            let outcome = try_token(&layer, &token("EdDSA", json!({ "iss": name }))).await;
            assert_eq!(outcome.identity.unwrap().issuer(), ISSUER, "{name}");
        }
        for name in ["http://issuer.example", "issuer.example/", "Issuer.example"] {
            assert!(!try_token(&layer, &token("EdDSA", json!({ "iss": name }))).await.passed());
        }
    }
}

#[tokio::test]
async fn first_of_two_issuers_of_one_name_decides() {
    let strict = of(FIRST, &ED25519).required_scopes(["infer"]).unwrap();
    let valid = signed(&ED25519, FIRST, json!({}));
    let layer = AuthLayer::new(strict.clone()).or(of(FIRST, &ED25519));
    assert!(!try_token(&layer, &valid).await.passed());
    let layer = AuthLayer::new(of(FIRST, &ED25519)).or(strict);
    assert!(try_token(&layer, &valid).await.passed());
}

#[tokio::test]
async fn two_routes_judge_one_token_by_their_own_audience() {
    let keys = Keys::from_jwks(set(&[ED25519.jwk_with(json!({ "kid": "k" }))])).unwrap();
    let route = |audience: &str| {
        AuthLayer::new(
            Jwt::new(keys.clone(), FIRST, audience).clock(SharedClock::new(fake_clock())),
        )
    };
    let (chat, batch) = (route("https://chat.example"), route("https://batch.example"));
    let valid = signed(&ED25519, FIRST, json!({ "aud": "https://chat.example" }));
    for _ in 0..2 {
        assert!(try_token(&chat, &valid).await.passed());
        assert!(!try_token(&batch, &valid).await.passed());
    }
    let both = json!({ "aud": ["https://chat.example", "https://batch.example"] });
    let both = signed(&ED25519, FIRST, both);
    assert!(try_token(&chat, &both).await.passed() && try_token(&batch, &both).await.passed());
}
