//! The log of `AuthLayer` and the secrets that it never prints. The tests run in their own process,
//! because a process has one global subscriber.
#![allow(unreachable_pub, reason = "modules of one test crate")]

#[path = "auth/fake_provider.rs"]
mod fake_provider;
#[path = "auth/issuer.rs"]
mod issuer;
#[path = "support/log.rs"]
mod log;
mod support;

use std::{
    convert::Infallible,
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use fake_provider::FakeProvider;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use issuer::{AUDIENCE, ED25519, ED25519_OTHER, ISSUER, NOW, claims, jwks, set, token};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{
        AuthLayer, Authenticator, CustomAuth, Introspection, Jwt, KeySource, Keys, RemoteKeys,
        aws_iam::{
            CredentialStore, SigV4, SignedBodyLayer, SigningCredential, SigningCredentials,
            SigningScope,
        },
    },
    clock::{FakeClock, SharedClock},
    context::RequestHead,
    identity::{Callers, Identity},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    rejection::Rejection,
    secret::Secret,
    stack::Stack,
};
use tracing::Level;

fn layer(keys: impl Into<KeySource>, clock: &FakeClock) -> AuthLayer {
    let jwt = Jwt::new(keys, ISSUER, AUDIENCE).clock(SharedClock::new(clock.clone()));
    AuthLayer::new(jwt.max_cache_bytes(0))
}

fn clock() -> FakeClock {
    FakeClock::new(UNIX_EPOCH + Duration::from_secs(NOW))
}

/// Sends a request to a handler that prints its headers. Returns everything that is printed.
async fn visible_output(layer: &AuthLayer, token: &str) -> String {
    let mut service = layer.layer(service_fn(|request: Request<String>| async move {
        let fields = format!("{:?}", request.headers());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(fields)))
    }));
    let mut seen = format!("{service:?}");
    let field = format!("Bearer {token}");
    let request = Request::builder().header("authorization", field).body(String::new()).unwrap();
    let future = service.ready().await.unwrap().call(request);
    seen += &format!("{future:?}");
    let response = future.await.unwrap();
    seen += &format!("{response:?}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    seen + &String::from_utf8_lossy(&body)
}

#[tokio::test]
async fn no_part_of_a_token_is_printed() {
    log::listen(Level::TRACE);
    let layer = layer(Keys::from_jwks(jwks()).unwrap(), &clock());
    let secret =
        json!({ "sub": "secret-subject", "email": "secret-mail", "scope": "secret-scope" });
    let header = json!({ "alg": "EdDSA", "kid": "other-kid" });
    let tokens = [
        token("EdDSA", secret.clone()),
        token("EdDSA", json!({ "sub": "secret-subject", "exp": 1 })),
        token("EdDSA", json!({ "sub": "secret-subject", "aud": "other-audience" })),
        ED25519_OTHER.token(&header, &claims(secret)),
        "secret-token".to_owned(),
        "secret token".to_owned(),
    ];
    let mut seen = String::new();
    for token in &tokens {
        seen += &visible_output(&layer, token).await;
    }
    let lines = log::taken();
    assert_eq!(lines.matches("token rejected").count(), 4, "{lines}");
    for reason in [
        "the bearer token has expired",
        "claim `aud` does not name this service",
        "no key has this kid",
        "the token does not have three parts",
        "expected one `authorization` header with exactly one bearer token",
    ] {
        assert!(lines.contains(&format!("reason={reason}")), "{reason}: {lines}");
    }
    assert_eq!(seen.matches("Sensitive").count(), 2, "{seen}");
    seen += &lines;
    assert!(!seen.contains("secret"), "{seen}");
    for part in tokens.iter().take(4).flat_map(|token| token.split('.')) {
        assert!(!seen.contains(part), "{part}: {seen}");
    }
}

/// Sends a token. Returns the one line about it.
async fn line_of(layer: &AuthLayer, token: &str) -> String {
    log::taken();
    visible_output(layer, token).await;
    let lines = log::taken();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    lines
}

#[tokio::test]
async fn cause_is_logged_with_what_was_expected_and_received() {
    log::listen(Level::TRACE);
    let layer = layer(Keys::from_jwks(jwks()).unwrap(), &clock());
    let forged = ED25519_OTHER.token(
        &json!({ "alg": "EdDSA", "kid": "no\nbody" }),
        &claims(json!({ "iss": "hidden", "aud": "hidden" })),
    );
    let hs256 = ED25519.token(&json!({ "alg": "HS256", "kid": "k" }), &claims(json!({})));
    for (token, parts) in [
        (
            forged,
            &[
                "WARN",
                "reason=no key has this kid",
                "alg=\"EdDSA\"",
                r#"received="no\\nbody""#,
                r#"expected="[\"RS256\", "#,
                "claim=\"kid\"",
                "issuer=\"https://issuer.example\"",
            ][..],
        ),
        (
            token("EdDSA", json!({ "iss": "https://issuer.example/" })),
            &[
                "WARN",
                "claim `iss` is not the expected issuer",
                "received=\"https://issuer.example/\"",
                "expected=\"https://issuer.example\"",
                "claim=\"iss\"",
                "slash",
                "kid=\"EdDSA\"",
            ],
        ),
        (
            token("EdDSA", json!({ "aud": ["a\nb", "c"] })),
            &[
                "WARN",
                "claim=\"aud\"",
                r#"received="a\\nb, c""#,
                "expected=\"https://gateway.example\"",
            ],
        ),
        (
            hs256,
            &[
                "INFO",
                "the algorithm is not supported",
                "received=\"HS256\"",
                "expected=\"RS256, RS384",
            ],
        ),
        (token("EdDSA", json!({ "exp": 1 })), &["INFO", "the bearer token has expired"]),
        (token("EdDSA", json!({ "sub": 7 })), &["INFO", "claim `sub` is not a string"]),
        (token("EdDSA", json!({ "iat": NOW + 31 })), &["INFO", "claim `iat` is in the future"]),
    ] {
        let line = line_of(&layer, &token).await;
        assert!(!line.contains("hidden"), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    // A text of an unverified token stays within its field.
    let header = json!({ "alg": "EdDSA", "kid": "k\" reason=forged \"" });
    let line = line_of(&layer, &ED25519_OTHER.token(&header, &claims(json!({})))).await;
    assert!(line.contains(r#"kid="k\" reason=forged \"""#), "{line}");
    // A second mismatch of a kind is no warning.
    let line = line_of(&layer, &token("EdDSA", json!({ "aud": "c" }))).await;
    assert!(line.contains("INFO") && line.contains("received=\"c\""), "{line}");
}

#[tokio::test]
async fn texts_of_a_token_are_logged_short() {
    log::listen(Level::TRACE);
    let layer = layer(Keys::from_jwks(jwks()).unwrap(), &clock());
    let long = "x".repeat(5_000);
    let header = json!({ "alg": "EdDSA", "kid": long });
    for token in [
        ED25519.token(&header, &claims(json!({}))),
        token("EdDSA", json!({ "iss": long })),
        token("EdDSA", json!({ "aud": vec![long.clone(); 2] })),
    ] {
        let line = line_of(&layer, &token).await;
        assert!(line.len() < 2_000 && line.contains('…'), "{} {line}", line.len());
    }
}

#[tokio::test]
async fn flood_of_invalid_tokens_does_not_fill_the_log() {
    log::listen(Level::TRACE);
    let clock = clock();
    let layer = layer(Keys::from_jwks(jwks()).unwrap(), &clock);
    let forged = ED25519_OTHER.token(&json!({ "alg": "EdDSA", "kid": "k" }), &claims(json!({})));
    for _ in 0..1_000 {
        visible_output(&layer, &forged).await;
    }
    let lines = log::taken();
    assert_eq!(lines.matches("token rejected").count(), 10, "{lines}");
    assert!(!lines.contains("suppressed"), "{lines}");
    clock.advance(Duration::from_secs(6));
    let line = line_of(&layer, &forged).await;
    assert!(line.contains("suppressed=990"), "{line}");
    assert_eq!(layer.counts().unverified, 1_001);
    // Valid tokens are not logged.
    visible_output(&layer, &token("EdDSA", json!({}))).await;
    assert_eq!(log::taken(), "");
}

#[tokio::test]
async fn unknown_issuer_is_logged_without_its_name() {
    log::listen(Level::TRACE);
    let of = |issuer: &str| {
        Jwt::new(Keys::from_jwks(jwks()).unwrap(), issuer, AUDIENCE)
            .clock(SharedClock::new(clock()))
    };
    let layer = AuthLayer::new(of("https://a.example")).or(of("https://b.example"));
    let line = line_of(&layer, &token("EdDSA", json!({ "iss": "https://hidden.example" }))).await;
    for part in [
        "no issuer has the `iss`",
        "expected=\"https://a.example, https://b.example\"",
        "kid=\"EdDSA\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("hidden"), "{line}");
    // A misspelt issuer is the likelier cause until a token was accepted.
    assert!(line.contains("WARN"), "{line}");
    // Each issuer is named by its own lines.
    let expired = json!({ "iss": "https://b.example", "exp": 1 });
    let line = line_of(&layer, &token("EdDSA", expired)).await;
    assert!(line.contains("issuer=\"https://b.example\""), "{line}");
}

#[tokio::test]
async fn change_of_the_provider_is_logged_once() {
    log::listen(Level::TRACE);
    let provider = FakeProvider::new();
    let clock = clock();
    let source = provider.source().max_age(Duration::from_secs(60)).build().unwrap();
    let layer = layer(source, &clock);
    let forever = claims(json!({ "exp": NOW + 100_000 }));
    let valid = ED25519.token(&json!({ "alg": "EdDSA", "kid": "EdDSA" }), &forever);

    provider.fail(true);
    visible_output(&layer, &valid).await;
    let lines = log::taken();
    assert_eq!(lines.matches("cannot fetch keys").count(), 1, "{lines}");
    assert!(lines.contains("keys.example") && lines.contains("cannot reach the server"), "{lines}");
    for _ in 0..5 {
        clock.advance(Duration::from_secs(30));
        visible_output(&layer, &valid).await;
    }
    assert_eq!(log::taken().matches("WARN").count(), 0);

    provider.fail(false);
    clock.advance(Duration::from_secs(30));
    visible_output(&layer, &valid).await;
    let lines = log::taken();
    assert!(lines.contains("keys can be fetched again"), "{lines}");
    assert!(lines.contains("keys changed") && lines.contains("keys=10"), "{lines}");

    // A fetch of the same keys logs nothing.
    clock.advance(Duration::from_secs(60));
    visible_output(&layer, &valid).await;
    settle().await;
    assert_eq!((log::taken().as_str(), provider.calls()), ("", 8));

    provider.keys(&set(&[ED25519.jwk_with(json!({ "kid": "EdDSA" })), json!({ "kty": "oct" })]));
    clock.advance(Duration::from_secs(60));
    visible_output(&layer, &valid).await;
    settle().await;
    let lines = log::taken();
    assert!(lines.contains("keys changed") && lines.contains("keys=1"), "{lines}");
    assert!(lines.contains("skipped keys of the set"), "{lines}");

    // A redirect is not followed. The line has its status.
    provider.status(302);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        visible_output(&layer, &valid).await;
        settle().await;
    }
    let lines = log::taken();
    assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
    assert!(lines.contains("received 302") && lines.contains("redirects are not"), "{lines}");
}

/// Lets the fetch of aged keys finish.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn change_of_a_key_file_is_logged_once() {
    log::listen(Level::TRACE);
    let path =
        std::env::temp_dir().join(format!("tower-inference-log-{}.json", std::process::id()));
    fs::write(&path, jwks()).unwrap();
    let clock = clock();
    let layer = layer(KeySource::file(&path).unwrap(), &clock);
    let valid = ED25519.token(
        &json!({ "alg": "EdDSA", "kid": "EdDSA" }),
        &claims(json!({ "exp": NOW + 100_000 })),
    );
    visible_output(&layer, &valid).await;
    assert_eq!(log::taken(), "");

    fs::write(&path, "{").unwrap();
    for warnings in [1, 0, 0] {
        clock.advance(Duration::from_secs(1));
        visible_output(&layer, &valid).await;
        let lines = log::taken();
        assert_eq!(
            lines.matches("cannot use the key file; the last keys stay in use").count(),
            warnings
        );
    }
    fs::write(&path, set(&[ED25519.jwk_with(json!({ "kid": "EdDSA" }))])).unwrap();
    clock.advance(Duration::from_secs(1));
    visible_output(&layer, &valid).await;
    let lines = log::taken();
    assert!(lines.contains("keys changed") && lines.contains("keys=1"), "{lines}");
    assert!(lines.contains("the key file is usable again"), "{lines}");
    fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn debug_output_of_a_source_holds_no_key() {
    let remote = RemoteKeys::discovery(ISSUER, FakeProvider::new().client());
    let printed = format!("{remote:?} {:?}", remote.clone().build().unwrap());
    assert!(printed.contains("issuer.example"));
    let secret = RemoteKeys::jwks(
        "https://u:secret@k.example/secret?key=secret",
        FakeProvider::new().client(),
    );
    assert!(!format!("{secret:?}").contains("secret"));
    let source =
        KeySource::from(Keys::from_jwks(set(&[ED25519.jwk_with(json!({ "kid": "k" }))])).unwrap());
    let printed = format!("{source:?}");
    assert!(printed.contains("\"k\""));
    assert!(!printed.contains(ED25519.jwk()["x"].as_str().unwrap()));
}

/// The warnings among the lines since the last call.
fn warnings() -> Vec<String> {
    log::taken().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
}

#[tokio::test]
async fn skipped_keys_are_logged_once_for_each_change() {
    log::listen(Level::TRACE);
    let (provider, clock) = (FakeProvider::new(), clock());
    let good = ED25519.jwk_with(json!({ "kid": "k1" }));
    let oct = json!({ "kty": "oct", "k": "secret" });
    let enc = json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" });
    let weak = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
    provider.keys(&set(&[oct.clone(), good.clone(), enc.clone()]));
    let source = provider.source().max_age(Duration::from_secs(60)).build().unwrap();
    let layer = layer(source, &clock);
    let valid = ED25519
        .token(&json!({ "alg": "EdDSA", "kid": "k1" }), &claims(json!({ "exp": NOW + 100_000 })));
    let fetch = async || {
        let calls = provider.calls();
        clock.advance(Duration::from_secs(60));
        for _ in 0..3 {
            assert!(!visible_output(&layer, &valid).await.contains("secret"));
            settle().await;
        }
        assert_eq!(provider.calls(), calls + 1);
        warnings()
    };

    let said = fetch().await;
    assert_eq!(said.len(), 1, "{said:?}");
    for part in [
        "skipped keys of the set",
        "source=keys.example",
        "keys=1",
        "skipped=1",
        "reasons=#1: the key is symmetric",
    ] {
        assert!(said[0].contains(part), "{part}: {said:?}");
    }
    assert!(!said[0].contains("secret"), "{said:?}");
    assert_eq!(fetch().await, [""; 0]);

    provider.keys(&set(&[oct.clone(), good, enc.clone(), weak]));
    let said = fetch().await;
    assert_eq!(said.len(), 1, "{said:?}");
    let reasons = "reasons=#1: the key is symmetric, #4: n does not have 2048 to 8192 bits";
    assert!(said[0].contains("skipped=2") && said[0].contains(reasons), "{said:?}");
    assert_eq!(fetch().await, [""; 0]);

    // A set without a usable key logs the reasons. The last keys stay in use.
    provider.keys(&set(&[oct, enc]));
    let said = fetch().await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("keys=0") && said[0].contains("#1: the key is symmetric"), "{said:?}");
    assert!(said[1].contains("cannot use the fetched keys"), "{said:?}");
    assert!(said[1].contains("the key set has no usable key"), "{said:?}");
    assert_eq!(fetch().await, [""; 0]);

    // A new reason is logged.
    provider.status(301);
    let said = fetch().await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("301"), "{said:?}");
}

#[tokio::test]
async fn encryption_key_is_logged_without_a_warning() {
    log::listen(Level::TRACE);
    let enc = json!({ "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB" });
    let good = ED25519.jwk_with(json!({ "kid": "k" }));
    let _source = KeySource::from(Keys::from_jwks(set(&[enc.clone(), good])).unwrap());
    let lines = log::taken();
    assert!(lines.contains("skipped an encryption key of the set"), "{lines}");
    assert!(!lines.contains("WARN"), "{lines}");
    // It is a warning if the set has no other key.
    Keys::from_jwks(set(&[enc])).unwrap_err();
    let said = warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("#1: the key is for encryption"), "{said:?}");
}

#[tokio::test]
async fn skipped_keys_of_a_set_and_of_a_file_are_logged() {
    log::listen(Level::TRACE);
    let jwks = set(&[ED25519.jwk_with(json!({ "kid": "k" })), json!({ "kty": "AKP" })]);
    let source = KeySource::from(Keys::from_jwks(&jwks).unwrap());
    let said = warnings();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("#2: kty is not supported"), "{said:?}");
    drop(source);

    let path = std::env::temp_dir().join(format!("skipped-{}.json", std::process::id()));
    fs::write(&path, &jwks).unwrap();
    let clock = clock();
    let source = KeySource::file(&path).unwrap();
    assert_eq!(warnings().len(), 1);
    let layer = layer(source, &clock);
    fs::write(&path, r#"{"keys":[{"kty":"oct"}]}"#).unwrap();
    // The last warning is that no key verifies the token. Later ones are logged at `info`.
    for expected in [3, 0, 0] {
        clock.advance(Duration::from_secs(1));
        visible_output(&layer, &token("EdDSA", json!({}))).await;
        let said = warnings();
        assert_eq!(said.len(), expected, "{said:?}");
    }
    fs::remove_file(&path).unwrap();
}

/// Counts as an endpoint that vouches for each token until `status` is another one than 200.
fn introspection(status: Arc<AtomicU16>, clock: &FakeClock) -> AuthLayer {
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        let status = status.load(SeqCst);
        async move {
            let response = r#"{"active":true,"sub":"private-subject","aud":"other-audience"}"#;
            let response = Response::builder().status(status).body(Full::<Bytes>::from(response));
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let url = "https://issuer.example/introspect?key=private-query";
    let settings = Introspection::new(url, ISSUER, AUDIENCE, client)
        .client_credentials("gateway", Secret::new("private-secret"))
        .clock(SharedClock::new(clock.clone()));
    assert!(!format!("{settings:?}").contains("private"), "{settings:?}");
    AuthLayer::new(settings.build().unwrap())
}

#[tokio::test]
async fn opaque_tokens_are_never_printed_and_failures_are_logged_once() {
    log::listen(Level::TRACE);
    let (status, clock) = (Arc::new(AtomicU16::new(200)), clock());
    let layer = introspection(Arc::clone(&status), &clock);
    assert!(!format!("{layer:?}").contains("private"), "{layer:?}");
    let mut seen = visible_output(&layer, "private-token").await;
    // The endpoint has vouched for the token, so the line may have its audience.
    let mismatch = log::taken();
    assert_eq!(mismatch.matches("WARN").count(), 1, "{mismatch}");
    assert!(mismatch.contains("member=\"aud\""), "{mismatch}");
    assert!(mismatch.contains("expected=https://gateway.example"), "{mismatch}");
    assert!(mismatch.contains("received=other-audience"), "{mismatch}");

    // A redirect is not followed. The line has its status.
    status.store(307, SeqCst);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(30));
        seen += &visible_output(&layer, "private-token").await;
    }
    let lines = log::taken();
    assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
    for part in ["cannot introspect tokens", "issuer.example", "received 307", "redirects are not"]
    {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    status.store(401, SeqCst);
    clock.advance(Duration::from_secs(30));
    seen += &visible_output(&layer, "private-token").await;
    let refused = log::taken();
    assert!(refused.contains("received 401") && refused.contains("own credentials"), "{refused}");
    status.store(200, SeqCst);
    clock.advance(Duration::from_secs(30));
    seen += &visible_output(&layer, "private-token").await;
    let again = log::taken();
    assert!(again.contains("tokens can be introspected again"), "{again}");
    for text in [seen, mismatch, lines, refused, again] {
        assert!(!text.contains("private"), "{text}");
    }
}

#[test]
fn a_model_rule_that_no_credential_can_meet_is_logged() {
    log::listen(Level::TRACE);
    let auth = || AuthLayer::new(Jwt::new(Keys::from_jwks(jwks()).unwrap(), ISSUER, AUDIENCE));
    let rules = |callers: Callers| {
        let rules = ModelRules::new().allow(ModelRule::new(["*"]).callers(callers));
        ModelRulesLayer::new(Profile::compatible(), rules)
    };
    let _stack = Stack::new().auth(auth()).model_rules(rules(Callers::new().scope("infer")));
    assert_eq!(log::taken(), "");
    let expected = |line: &str| {
        assert!(line.contains("WARN") && line.contains("a rule of ModelRulesLayer never applies"));
        assert!(line.contains("asks for a role"), "{line}");
    };
    let _stack = Stack::new().auth(auth()).model_rules(rules(Callers::new().role("dev")));
    expected(&log::taken());
    let _stack = Stack::new().model_rules(rules(Callers::new().role("dev"))).auth(auth());
    expected(&log::taken());
}

struct Unreachable;

impl CredentialStore for Unreachable {
    async fn find(
        &self,
        _access_key_id: &str,
        _scope: &SigningScope,
    ) -> Result<Option<SigningCredential>, Box<dyn Error + Send + Sync>> {
        Err("no connection".into())
    }
}

impl Authenticator for Unreachable {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        head.headers().get("x-session")?.to_str().ok().map(Secret::new)
    }

    async fn authenticate(&self, _session: Secret) -> Result<Identity, Rejection> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn clients_cannot_flood_the_log_while_a_store_fails() {
    log::listen(Level::INFO);
    let clock = clock();
    let sigv4 = SigV4::new("us-east-1", SigningCredentials::store(Unreachable)).unwrap();
    let custom = CustomAuth::new(Unreachable).timeout(Duration::ZERO);
    for (layer, name, line) in [
        (
            AuthLayer::new(sigv4.clock(clock.shared())),
            "authorization",
            "the credential store failed",
        ),
        (AuthLayer::new(custom.clock(clock.shared())), "x-session", "did not respond in time"),
        (
            AuthLayer::new(CustomAuth::new(Unreachable).max_waiting(0).clock(clock.shared())),
            "x-session",
            "too many requests wait for a look-up setter=\"CustomAuth::max_waiting\"",
        ),
    ] {
        let service =
            SignedBodyLayer::new().layer(layer.layer(service_fn(|_: Request<_>| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            })));
        for (number, warnings) in [(1, 1), (2, 0), (3, 0)] {
            let signature = format!(
                "AWS4-HMAC-SHA256 Credential=AKID{number}/20270115/us-east-1/execute-api/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={:064}",
                0
            );
            let request = Request::builder()
                .header("host", "gw.example")
                .header("x-amz-date", "20270115T080000Z")
                .header(name, if name == "x-session" { number.to_string() } else { signature })
                .body(String::new())
                .unwrap();
            assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 503);
            let lines = log::taken();
            let told = lines.lines().filter(|one| one.contains("WARN") && one.contains(line));
            assert_eq!(told.count(), warnings, "{lines}");
        }
        clock.advance(Duration::from_secs(60));
    }
}
