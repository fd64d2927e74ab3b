//! API keys in memory: where they are read, what they prove and what becomes of them.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{
        ApiKey, ApiKeyDigest, ApiKeyForm, ApiKeyRecord, ApiKeyStore, ApiKeyStoreError, ApiKeys,
        ApiKeysError, AuthLayer, Credential,
    },
    clock::FakeClock,
    context::RequestContext,
    hf::{HfTokenLayer, TokenSource},
    identity::Proof,
    rejection::{Refusal, RejectionFormat},
    secret::Secret,
};

use super::{
    Outcome, fake_clock,
    issuer::{NOW, token},
    jwt, send,
    support::Probe,
};

pub(crate) const KEY: &str = "the-first-key-of-acme-0001";
const OTHER: &str = "the-other-key-of-acme-0002";

fn key(text: &str) -> ApiKeyDigest {
    ApiKey::new(text).unwrap().digest()
}

fn keys(records: impl IntoIterator<Item = (&'static str, ApiKeyRecord)>) -> ApiKeys {
    let records = records.into_iter().map(|(text, record)| (key(text), record));
    ApiKeys::new(records).unwrap().clock(fake_clock().shared())
}

fn one_key() -> ApiKeys {
    keys([(KEY, ApiKeyRecord::new("acme"))])
}

pub(crate) fn with_headers(fields: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    for (name, value) in fields {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

pub(crate) async fn try_key(layer: &AuthLayer, key: &str) -> Outcome {
    send(layer, with_headers(&[("x-api-key", key)])).await
}

fn after(seconds: u64) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

#[tokio::test]
async fn a_key_proves_the_identity_of_its_record() {
    let record = ApiKeyRecord::new("acme-ci")
        .tenant("acme")
        .scopes(["infer", "models:read"])
        .roles(["batch"])
        .plan("gold")
        .expires_at(after(60));
    let layer = AuthLayer::new(keys([(KEY, record)]));
    let bearer = format!("bearer {KEY}");
    for fields in [[("x-api-key", KEY)], [("authorization", bearer.as_str())]] {
        let outcome = send(&layer, with_headers(&fields)).await;
        assert!(outcome.passed());
        let identity = outcome.identity.unwrap();
        assert_eq!(identity.proof(), Proof::ApiKey);
        assert_eq!(identity.principal().to_string(), "api-key:api-keys#acme-ci");
        assert_eq!(identity.tenant(), Some("acme"));
        assert!(identity.scopes().eq(["infer", "models:read"]));
        assert!(identity.roles().eq(["batch"]));
        assert_eq!(identity.plan(), Some("gold"));
        assert_eq!(identity.expires_at(), Some(after(60)));
        assert_eq!(identity.credential_id(), Some(&*key(KEY).public_id()));
    }
    // Two sets of keys are told apart by their issuer.
    let layer = AuthLayer::new(one_key().issuer("partners"));
    let identity = try_key(&layer, KEY).await.identity.unwrap();
    assert_eq!(identity.principal().to_string(), "api-key:partners#acme");
    assert!(identity.tenant().is_none() && identity.plan().is_none());
}

#[tokio::test]
async fn one_credential_is_expected() {
    let layer = AuthLayer::new(one_key());
    let (x, auth) = ("x-api-key", "authorization");
    let (bearer, other) = (format!("Bearer {KEY}"), format!("Bearer {OTHER}"));
    let jwt = format!("Bearer {}", token("EdDSA", json!({})));
    for (fields, status) in [
        (&[(x, KEY), (auth, &bearer)][..], 200),
        (&[(x, KEY), (auth, "")], 200),
        (&[(x, ""), (auth, &bearer)], 200),
        (&[(x, KEY), (auth, &other)], 400),
        (&[(x, KEY), (auth, &jwt)], 400),
        (&[(x, KEY), (auth, "Basic dXNlcjpwYXNz")], 400),
        (&[(x, KEY), (x, KEY)], 400),
        (&[(auth, &bearer), (auth, &bearer)], 400),
        (&[], 401),
        (&[(x, "")], 401),
        (&[(auth, &jwt)], 401),
    ] {
        let outcome = send(&layer, with_headers(fields)).await;
        assert_eq!(outcome.status, status, "{fields:?}");
        let refusal = match status {
            400 => Some(Refusal::InvalidRequest),
            401 => Some(Refusal::MissingCredentials),
            _ => None,
        };
        assert_eq!(outcome.refusal(), refusal);
        assert!(!outcome.body.contains(KEY));
    }
}

#[tokio::test]
async fn the_header_is_settable_and_may_be_the_only_place() {
    let name = HeaderName::from_static("x-acme-credentials-of-a-team");
    let layer = AuthLayer::new(one_key().header(name.clone()).unwrap());
    assert!(send(&layer, with_headers(&[(name.as_str().to_owned().leak(), KEY)])).await.passed());
    let missing = try_key(&layer, KEY).await;
    let hint = format!("send an API key in the header `{name}` or in `authorization: Bearer KEY`");
    assert_eq!(missing.json()["detail"], hint);

    let layer = AuthLayer::new(one_key().header_only());
    let bearer = format!("Bearer {KEY}");
    assert_eq!(send(&layer, with_headers(&[("authorization", &bearer)])).await.status, 401);
    let both = [("x-api-key", KEY), ("authorization", "Bearer something-else")];
    assert!(send(&layer, with_headers(&both)).await.passed());

    for name in ["authorization", "proxy-authorization", "cookie", "host"] {
        assert!(one_key().header(HeaderName::from_static(name)).is_err(), "{name}");
    }
    assert!(one_key().prefix("a-b").is_err());
}

#[tokio::test]
async fn a_prefix_tells_bearer_keys_from_other_tokens() {
    let generated = ApiKey::generate("acme").unwrap();
    let records =
        [(generated.digest(), ApiKeyRecord::new("new")), (key(KEY), ApiKeyRecord::new("imported"))];
    let keys = ApiKeys::new(records).unwrap().prefix("acme").unwrap();
    let layer = AuthLayer::new(keys);
    let bearer = |text: &str| format!("Bearer {text}");
    let bearers = [(bearer(generated.expose()), 200), (bearer(KEY), 401)];
    for (authorization, status) in bearers {
        let outcome = send(&layer, with_headers(&[("authorization", &authorization)])).await;
        assert_eq!(outcome.status, status);
    }
    // Keys in the header need no prefix.
    assert!(try_key(&layer, KEY).await.passed());
    assert_eq!(ApiKey::form(generated.expose(), "acme"), ApiKeyForm::Generated);
}

#[tokio::test]
async fn refused_keys_get_one_response() {
    let records = [
        (KEY, ApiKeyRecord::new("disabled").disabled()),
        (OTHER, ApiKeyRecord::new("expired").expires_at(after(0))),
    ];
    let layer = AuthLayer::new(keys(records).prefix("acme").unwrap());
    let long = "k".repeat(257);
    let generated = ApiKey::generate("acme").unwrap();
    let mistyped = &generated.expose()[..40];
    let expected = try_key(&layer, "an-unknown-key-of-nobody").await;
    assert_eq!(expected.refusal(), Some(Refusal::InvalidApiKey));
    assert_eq!(expected.status, 401);
    for refused in [KEY, OTHER, &long, mistyped, generated.expose()] {
        let outcome = try_key(&layer, refused).await;
        assert_eq!(outcome.visible(), expected.visible());
        assert!(!outcome.passed());
    }
    assert!(!expected.body.contains("nobody"));
}

#[tokio::test]
async fn the_challenge_is_that_of_bearer_keys() {
    let unknown = "an-unknown-key-of-nobody";
    let outcome = try_key(&AuthLayer::new(one_key()), unknown).await;
    let expected = r#"Bearer error="invalid_token", error_description="invalid API key""#;
    assert_eq!(outcome.challenge(), expected);
    assert_eq!(outcome.json()["type"], "urn:tower-inference:refusal:invalid-api-key");
    let outcome = try_key(&AuthLayer::new(one_key().header_only()), unknown).await;
    assert_eq!((outcome.status.as_u16(), outcome.challenge()), (401, "ApiKey"));
    // API Gateway answers a bad key with 403.
    let layer = AuthLayer::new(one_key()).rejections(RejectionFormat::ApiGateway);
    let outcome = try_key(&layer, unknown).await;
    assert_eq!(outcome.status, 403);
    assert_eq!(outcome.json(), json!({ "message": "Forbidden" }));
}

#[tokio::test]
async fn two_keys_of_one_id_are_one_principal_and_expire_alone() {
    let clock = fake_clock();
    let record = || ApiKeyRecord::new("acme").tenant("acme");
    let records =
        [(key(KEY), record().expires_at(after(60))), (key(OTHER), record().expires_at(after(600)))];
    let layer = AuthLayer::new(ApiKeys::new(records).unwrap().clock(clock.shared()));
    let (old, new) = (try_key(&layer, KEY).await, try_key(&layer, OTHER).await);
    let (old, new) = (old.identity.unwrap(), new.identity.unwrap());
    assert_eq!(old.principal(), new.principal());
    assert_ne!(old.credential_id(), new.credential_id());
    clock.advance(Duration::from_millis(59_999));
    assert!(try_key(&layer, KEY).await.passed());
    clock.advance(Duration::from_millis(1));
    assert!(!try_key(&layer, KEY).await.passed());
    assert!(try_key(&layer, OTHER).await.passed());
    // An administrator sets the wall clock back.
    clock.set_wall(after(0));
    assert!(!try_key(&layer, KEY).await.passed());
    assert!(try_key(&layer, OTHER).await.passed());
    clock.set_wall(after(600));
    assert!(!try_key(&layer, OTHER).await.passed());
}

#[test]
fn faults_of_records_name_the_record() {
    let new = |records: Vec<(&str, ApiKeyRecord)>| {
        let records = records.into_iter().map(|(text, record)| (key(text), record));
        ApiKeys::new(records).map(|_| ()).map_err(|error: ApiKeysError| error.to_string())
    };
    let record = ApiKeyRecord::new;
    let error = new(vec![(KEY, record("a")), (KEY, record("b"))]).unwrap_err();
    assert!(error.starts_with("entry 1 (id `b`): it has the same key as"), "{error}");
    let error = new(vec![(KEY, record("a")), (OTHER, record("a").tenant("t"))]).unwrap_err();
    assert!(error.starts_with("id `a`: another key of this id has another tenant"), "{error}");
    let error = new(vec![(KEY, record("a").scopes(["x y"]))]).unwrap_err();
    assert!(error.starts_with("entry 0 (id `a`): `scopes` is not"), "{error}");
}

#[tokio::test]
async fn keys_of_api_gateway_are_taken_over() {
    let output = json!({ "items": [
        { "id": "k4tq1abcde", "value": KEY, "name": "batch", "enabled": true,
          "createdDate": "2026-01-31T12:00:00+01:00", "lastUpdatedDate": 1769857200,
          "stageKeys": ["a1b2c3/prod"], "tags": { "team": "research" } },
        { "id": "k4tq1abcdf", "value": OTHER, "enabled": false, "stageKeys": [] },
    ] });
    let output = output.to_string();
    let layer = AuthLayer::new(ApiKeys::from_aws_json(output.as_bytes()).unwrap());
    let identity = try_key(&layer, KEY).await.identity.unwrap();
    assert_eq!((identity.subject(), identity.tenant()), ("k4tq1abcde", None));
    assert!(!try_key(&layer, OTHER).await.passed());
    let keys =
        ApiKeys::from_aws_json_with(output.as_bytes(), |record, tags| match tags.get("team") {
            Some(team) => record.tenant(team.as_str()).plan("gold"),
            None => record,
        });
    let identity = try_key(&AuthLayer::new(keys.unwrap()), KEY).await.identity.unwrap();
    assert_eq!((identity.tenant(), identity.plan()), (Some("research"), Some("gold")));
}

#[tokio::test]
async fn keys_and_tokens_are_accepted_by_one_layer() {
    for keys_first in [true, false] {
        let keys = one_key();
        let layer = if keys_first {
            AuthLayer::new(keys).or(jwt())
        } else {
            AuthLayer::new(jwt()).or(keys)
        };
        let jwt = format!("Bearer {}", token("EdDSA", json!({})));
        let bearer = format!("Bearer {KEY}");
        let (x, auth) = ("x-api-key", "authorization");
        for (fields, expected) in [
            (&[(x, KEY)][..], Ok(Proof::ApiKey)),
            (&[(auth, &bearer)], Ok(Proof::ApiKey)),
            (&[(auth, &jwt)], Ok(Proof::Jwt)),
            (&[(x, KEY), (auth, &bearer)], Ok(Proof::ApiKey)),
            (&[(x, KEY), (auth, &jwt)], Err(Refusal::InvalidRequest)),
            (&[(x, OTHER)], Err(Refusal::InvalidApiKey)),
            (&[(auth, "Bearer an-unknown-key-of-nobody")], Err(Refusal::InvalidApiKey)),
            (&[(auth, "Bearer e30.e30.AA")], Err(Refusal::InvalidToken)),
            (&[], Err(Refusal::MissingCredentials)),
        ] {
            let outcome = send(&layer, with_headers(fields)).await;
            let proof = outcome.identity.as_ref().map(|identity| identity.proof());
            assert_eq!(proof.ok_or_else(|| outcome.refusal().unwrap()), expected, "{fields:?}");
        }
    }
}

/// Returns the headers that the service behind the layer receives.
async fn forwarded(layer: AuthLayer, fields: &[(&'static str, &str)]) -> HeaderMap {
    let received = Arc::new(Mutex::new(None));
    let inner = {
        let received = Arc::clone(&received);
        service_fn(move |request: Request<Full<Bytes>>| {
            *received.lock().unwrap() = Some(request.headers().clone());
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
        })
    };
    let response = layer.layer(inner).oneshot(with_headers(fields)).await.unwrap();
    assert_eq!(response.status(), 200);
    received.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn inner_services_see_no_key() {
    let bearer = format!("Bearer {KEY}");
    let jwt = format!("Bearer {}", token("EdDSA", json!({})));
    let layer = || AuthLayer::new(one_key()).or(super::jwt());
    for fields in [
        &[("x-api-key", KEY)][..],
        &[("authorization", &bearer)],
        &[("x-api-key", KEY), ("authorization", &bearer)],
    ] {
        assert!(forwarded(layer(), fields).await.is_empty(), "{fields:?}");
    }
    // A key of another form than the prefix at both places, and one that is read from its header alone.
    for keys in [one_key().prefix("acme").unwrap(), one_key().header_only()] {
        let fields = [("x-api-key", KEY), ("authorization", &*bearer)];
        assert!(forwarded(AuthLayer::new(keys), &fields).await.is_empty());
    }
    // A token stays, for services that verify it too.
    let headers = forwarded(layer(), &[("authorization", &jwt)]).await;
    assert!(headers["authorization"].is_sensitive());
    let name = HeaderName::from_static("x-team");
    let layer = AuthLayer::new(one_key().header(name).unwrap());
    assert!(forwarded(layer, &[("x-team", KEY)]).await.is_empty());
    // A request that has waited for a store.
    let layer = AuthLayer::new(ApiKeys::store(AnyKey));
    assert!(forwarded(layer, &[("x-api-key", KEY)]).await.is_empty());
}

struct AnyKey;

impl ApiKeyStore for AnyKey {
    async fn find(&self, _digest: ApiKeyDigest) -> Result<Option<ApiKeyRecord>, ApiKeyStoreError> {
        tokio::task::yield_now().await;
        Ok(Some(ApiKeyRecord::new("acme")))
    }
}

#[tokio::test]
async fn no_upstream_sees_a_key() {
    let bearer = format!("Bearer {KEY}");
    let name = HeaderName::from_static("x-team");
    for (keys, fields) in [
        (one_key(), &[("x-api-key", KEY)][..]),
        (one_key(), &[("authorization", &bearer)]),
        (one_key(), &[("x-api-key", KEY), ("authorization", &bearer)]),
        (one_key().header(name).unwrap(), &[("x-team", KEY)]),
    ] {
        let received = Arc::new(Mutex::new(String::new()));
        let client = {
            let received = Arc::clone(&received);
            Probe::new(move |request: Request<Full<Bytes>>| {
                let fields = request.headers().iter();
                let fields =
                    fields.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
                *received.lock().unwrap() = fields.collect();
                Response::new(Full::<Bytes>::default())
            })
        };
        let source = TokenSource::value(Secret::new("hf_theGatewaysOwn")).unwrap();
        let hf = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), source);
        let service = AuthLayer::new(keys).layer(hf.layer(client));
        let Ok::<_, Infallible>(response) = service.oneshot(with_headers(fields)).await;
        assert_eq!(response.status(), 200);
        let received = received.lock().unwrap();
        assert!(received.contains("authorization: Bearer hf_theGatewaysOwn"), "{received}");
        assert!(!received.contains(KEY), "{received}");
    }
}

#[tokio::test]
async fn settings_print_no_key() {
    let keys = one_key();
    let printed = format!("{keys:?}");
    assert!(printed.contains("x-api-key") && printed.contains("keys: 1"), "{printed}");
    let credential = Credential::from(keys);
    // A credential is shared by two layers.
    for layer in [AuthLayer::new(credential.clone()), AuthLayer::new(credential)] {
        assert!(try_key(&layer, KEY).await.passed());
        let printed = format!("{printed}{layer:?}{:?}", ApiKey::new(KEY).unwrap());
        assert!(!printed.contains(KEY) && !printed.contains(&key(KEY).to_string()), "{printed}");
    }
}

#[derive(Clone)]
struct Trivial;

impl Service<Request<()>> for Trivial {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        std::future::ready(Ok(Response::new(())))
    }
}

/// Allocations of a request that already has a context.
pub(crate) fn allocations(layer: &AuthLayer, field: (&'static str, &str)) -> u64 {
    let mut request = Request::builder().header(field.0, field.1).body(()).unwrap();
    RequestContext::ensure(request.extensions_mut());
    let mut service = layer.layer(Trivial);
    measure(|| {
        let mut future = pin!(service.call(request));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(response)) = polled else { panic!("waits") };
        assert_eq!(response.status(), 200);
    })
    .count_total
}

#[test]
fn a_warm_key_allocates_nothing() {
    let layer = AuthLayer::new(one_key());
    let bearer = format!("Bearer {KEY}");
    for field in [("x-api-key", KEY), ("authorization", &bearer)] {
        allocations(&layer, field);
        assert_eq!(allocations(&layer, field), 0, "{}", field.0);
    }
}

#[test]
fn a_hundred_thousand_keys_fit_in_the_stated_memory() {
    const KEYS: u64 = 100_000;
    let clock = FakeClock::default();
    let mut layer = None;
    let record = |number: u64| {
        let record =
            ApiKeyRecord::new(format!("client-{number}")).tenant(format!("team-{}", number % 100));
        record.plan("gold").scopes(["infer", "models:read"])
    };
    let digest = |number: u64| ApiKeyDigest::of(format!("key-{number:020}").as_bytes());
    let cold = measure(|| {
        let records = (0..KEYS).map(|number| (digest(number), record(number)));
        layer = Some(AuthLayer::new(ApiKeys::new(records).unwrap().clock(clock.shared())));
    });
    let layer = layer.unwrap();
    let warm = measure(|| {
        for number in 0..1_000 {
            allocations(&layer, ("x-api-key", &format!("key-{number:020}")));
        }
    });
    let cold = cold.bytes_current / i64::try_from(KEYS).unwrap();
    let warm = warm.bytes_current / 1_000;
    println!("{cold} bytes a key, {warm} bytes more for one that was used");
    assert!((1..=280).contains(&cold), "{cold}");
    assert!((1..=450).contains(&warm), "{warm}");
}

#[tokio::test]
async fn anonymous_callers_pass_beside_keys() {
    let layer = AuthLayer::new(one_key()).anonymous("guest");
    let outcome = send(&layer, with_headers(&[])).await;
    assert_eq!(outcome.identity.unwrap().proof(), Proof::Anonymous);
    assert!(!try_key(&layer, OTHER).await.passed());
}
