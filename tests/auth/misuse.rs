//! Credentials that almost prove something, and clocks that are set.

use tower_inference::{
    auth::{
        AccessRule, AccessRules, ApiKey, ApiKeyRecord, ApiKeys, Authenticator, CustomAuth,
        Introspection, Provider,
    },
    context::RequestHead,
    identity::{Callers, Proof},
    secret::Secret,
};

use super::{
    bound_tokens::{bound_layer, bound_token, proof_at, with_proof},
    *,
};

/// A layer for opaque tokens about which the endpoint always answers this.
fn introspected(answer: Value) -> AuthLayer {
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        let response = Response::new(Full::<Bytes>::from(answer.to_string()));
        async { Ok::<_, Infallible>(response) }
    });
    let url = "https://issuer.example/introspect";
    let tokens = Introspection::new(url, ISSUER, AUDIENCE, client);
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

fn session_of(head: &RequestHead<'_>) -> Option<Secret> {
    head.headers().get("x-session")?.to_str().ok().map(Secret::new)
}

/// Counts its calls. Each takes a while and has an identity that expires in a minute.
#[derive(Clone, Default)]
struct Slow(Arc<AtomicUsize>);

impl Authenticator for Slow {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        session_of(head)
    }

    async fn authenticate(&self, session: Secret) -> Result<Identity, Rejection> {
        self.0.fetch_add(1, SeqCst);
        settle().await;
        let proof = Proof::Other("session");
        let identity = Identity::new(proof, "sessions", session.expose());
        Ok(identity.with_expires_at(UNIX_EPOCH + seconds(NOW + 60)))
    }
}

fn session() -> Request<Full<Bytes>> {
    let mut request = request(&[]);
    request.headers_mut().insert("x-session", http::HeaderValue::from_static("s-1"));
    request
}

#[tokio::test]
async fn waiting_requests_share_a_call_whose_result_is_not_used_again() {
    let slow = Slow::default();
    let custom = CustomAuth::new(slow.clone()).ttl(Duration::ZERO);
    let layer = AuthLayer::new(custom.clock(fake_clock().shared()));
    let send = || send(&layer, session());
    let (one, two, three) = tokio::join!(send(), send(), send());
    assert!(one.passed() && two.passed() && three.passed());
    assert_eq!(slow.0.load(SeqCst), 1);
    assert!(send().await.passed());
    assert_eq!(slow.0.load(SeqCst), 2, "a later request asks again");
}

#[tokio::test]
async fn identity_of_ones_own_ends_at_its_expiry_when_the_wall_clock_is_set() {
    let clock = fake_clock();
    let custom = CustomAuth::new(Slow::default());
    let layer = AuthLayer::new(custom.clock(clock.shared()));
    assert!(send(&layer, session()).await.passed());
    clock.set_wall(UNIX_EPOCH + seconds(NOW + 60));
    let outcome = send(&layer, session()).await;
    assert_eq!(outcome.refusal(), Some(Refusal::ExpiredToken));
    assert!(outcome.challenge().contains("invalid_token"), "{}", outcome.challenge());
}

#[tokio::test]
async fn forgotten_proof_is_refused_when_the_wall_clock_is_set_back() {
    let clock = fake_clock();
    let (layer, token) = (bound_layer(&clock), bound_token());
    let captured = proof_at(&token, "one", NOW);
    assert!(with_proof(&layer, &token, &captured).await.passed());
    clock.advance(seconds(120));
    assert!(with_proof(&layer, &token, &proof_at(&token, "two", NOW + 120)).await.passed());
    clock.set_wall(UNIX_EPOCH + seconds(NOW + 1));
    assert!(!with_proof(&layer, &token, &captured).await.passed());
    assert!(with_proof(&layer, &token, &proof_at(&token, "three", NOW + 1)).await.passed());
}

#[tokio::test]
async fn preset_of_keycloak_does_not_depend_on_the_order_of_the_settings() {
    let claims = serde_json::json!({
        "aud": "other",
        "resource_access": { AUDIENCE: { "roles": ["own"] } },
    });
    let token = issuer::token("EdDSA", claims);
    for jwt in [
        jwt().dangerous_any_audience().provider(Provider::Keycloak).unwrap(),
        jwt().provider(Provider::Keycloak).unwrap().dangerous_any_audience(),
        jwt()
            .dangerous_any_audience()
            .additional_audiences(["x"])
            .provider(Provider::Keycloak)
            .unwrap(),
    ] {
        let identity = try_token(&AuthLayer::new(jwt), &token).await.identity.unwrap();
        assert_eq!(identity.roles().collect::<Vec<_>>(), ["own"]);
    }
}

#[test]
fn rule_without_methods_allows_nothing() {
    let rules = AccessRules::new().allow(AccessRule::new("none", Callers::new()).methods([]));
    let caller = Identity::new(Proof::Jwt, ISSUER, "user-7");
    let explained = rules.explain(&caller, &http::Method::GET, "/v1/models");
    assert_eq!(explained.to_string(), "denied: rule `none` is for other methods");
}

/// Counts its calls. Its identities have large claims.
#[derive(Clone, Default)]
struct Large(Arc<AtomicUsize>);

impl Authenticator for Large {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        session_of(head)
    }

    async fn authenticate(&self, session: Secret) -> Result<Identity, Rejection> {
        self.0.fetch_add(1, SeqCst);
        let proof = Proof::Other("session");
        let identity = Identity::new(proof, "sessions", session.expose());
        Ok(identity.with_claim("profile", "x".repeat(8 << 10)))
    }
}

#[tokio::test]
async fn claims_of_ones_own_count_in_the_memory_of_results() {
    let large = Large::default();
    let custom = CustomAuth::new(large.clone()).max_cache_bytes(256 << 10);
    let layer = AuthLayer::new(custom);
    for id in (0..64).chain(0..64) {
        let mut request = session();
        request.headers_mut().insert("x-session", id.into());
        assert!(send(&layer, request).await.passed());
    }
    // The claims of all would take 512 KiB.
    assert!(large.0.load(SeqCst) >= 64 + 32, "{}", large.0.load(SeqCst));
}

#[tokio::test]
async fn each_authorization_header_is_sensitive_whatever_method_decides() {
    let key = ApiKey::generate("acme").unwrap();
    let keys = ApiKeys::new([(&key, ApiKeyRecord::new("batch"))]).unwrap();
    let layer = AuthLayer::new(keys.header_only());
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let values = request.headers().get_all("authorization").iter();
        let sensitive: Vec<_> = values.map(http::HeaderValue::is_sensitive).collect();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{sensitive:?}"))))
    });
    let mut request = request(&["Bearer one", "Bearer two"]);
    request.headers_mut().insert("x-api-key", key.expose().parse().unwrap());
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "[true, true]");
}
