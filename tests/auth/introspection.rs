//! Opaque tokens: an endpoint that fails in each way, the requirements and the cache.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::service_fn;
use tower_inference::{
    auth::{AuthLayer, ClaimMapping, Introspection, IntrospectionError, Keys},
    client::HttpsClient,
    clock::{FakeClock, SharedClock},
    identity::Proof,
    rejection::Refusal,
    secret::Secret,
};

use super::{
    Outcome, bearer, fake_clock,
    issuer::{AUDIENCE, ISSUER, NOW, jwks, merge, token},
    jwt_of,
    remote_keys::real_server::Server,
    request, seconds, send, settle,
    support::{ScriptedBody, Step},
    try_token,
};

const ENDPOINT: &str = "https://issuer.example/introspect";
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";
const INVALID: Option<Refusal> = Some(Refusal::InvalidToken);
const UNAVAILABLE: Option<Refusal> = Some(Refusal::IdentityProviderUnavailable);

/// A setting of a layer.
type Setting = fn(Introspection) -> Introspection;

/// A way to fail.
type Failing = (&'static str, fn(&FakeEndpoint));

/// A scripted introspection endpoint that counts its requests.
#[derive(Clone)]
struct FakeEndpoint(Arc<State>);

struct State {
    body: Mutex<fn() -> ScriptedBody>,
    answer: Mutex<Option<String>>,
    status: Mutex<u16>,
    calls: AtomicUsize,
    forms: Mutex<Vec<String>>,
    authorization: Mutex<Option<String>>,
    fails: AtomicBool,
    paused: AtomicBool,
    release: Notify,
}

impl FakeEndpoint {
    fn new() -> Self {
        Self(Arc::new(State {
            body: Mutex::new(|| ScriptedBody::new([])),
            answer: Mutex::new(Some(active(json!({})))),
            status: Mutex::new(200),
            calls: AtomicUsize::new(0),
            forms: Mutex::default(),
            authorization: Mutex::default(),
            fails: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            release: Notify::new(),
        }))
    }

    fn settings(&self) -> Introspection {
        let state = Arc::clone(&self.0);
        let client = service_fn(move |request: Request<Full<Bytes>>| {
            let state = Arc::clone(&state);
            async move { state.respond(request).await }
        });
        Introspection::new(ENDPOINT, ISSUER, AUDIENCE, client)
    }

    fn answer(&self, json: impl Into<String>) {
        *self.0.answer.lock().unwrap() = Some(json.into());
    }

    fn body(&self, body: fn() -> ScriptedBody) {
        *self.0.answer.lock().unwrap() = None;
        *self.0.body.lock().unwrap() = body;
    }

    fn status(&self, status: u16) {
        *self.0.status.lock().unwrap() = status;
    }

    fn fail(&self, fails: bool) {
        self.0.fails.store(fails, SeqCst);
    }

    fn pause(&self) {
        self.0.paused.store(true, SeqCst);
    }

    fn release(&self) {
        self.0.paused.store(false, SeqCst);
        self.0.release.notify_waiters();
    }

    fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }
}

impl State {
    async fn respond(&self, request: Request<Full<Bytes>>) -> io::Result<Response<ScriptedBody>> {
        assert_eq!(
            (request.method().as_str(), request.uri()),
            ("POST", &ENDPOINT.parse().unwrap())
        );
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(request.headers()["accept"], "application/json");
        let authorization = request.headers().get("authorization");
        assert!(authorization.is_none_or(http::HeaderValue::is_sensitive));
        *self.authorization.lock().unwrap() =
            authorization.map(|value| value.to_str().unwrap().to_owned());
        self.calls.fetch_add(1, SeqCst);
        let form = request.into_body().collect().await.unwrap().to_bytes();
        self.forms.lock().unwrap().push(String::from_utf8(form.to_vec()).unwrap());
        while self.paused.load(SeqCst) {
            self.release.notified().await;
        }
        if self.fails.load(SeqCst) {
            return Err(io::Error::other("refused"));
        }
        let body = match &*self.answer.lock().unwrap() {
            Some(answer) => ScriptedBody::chunked(answer.as_bytes(), 100),
            None => (self.body.lock().unwrap())(),
        };
        Ok(Response::builder().status(*self.status.lock().unwrap()).body(body).unwrap())
    }
}

/// A valid response with the members of `extra`. A null removes the member.
fn active(extra: Value) -> String {
    let response = json!({
        "active": true,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-7",
        "client_id": "app-1",
        "scope": "infer models:read",
        "token_type": "Bearer",
        "exp": NOW + 300,
    });
    merge(response, extra).to_string()
}

fn layer_with(
    endpoint: &FakeEndpoint,
    more: impl FnOnce(Introspection) -> Introspection,
) -> (AuthLayer, FakeClock) {
    let clock = fake_clock();
    let settings = endpoint.settings().leeway(Duration::ZERO);
    let settings = more(settings).clock(SharedClock::new(clock.clone()));
    (AuthLayer::new(settings.build().unwrap()), clock)
}

fn layer_of(endpoint: &FakeEndpoint) -> (AuthLayer, FakeClock) {
    layer_with(endpoint, |settings| settings)
}

fn spawn(layer: &AuthLayer, token: &str) -> tokio::task::JoinHandle<Outcome> {
    let (layer, token) = (layer.clone(), token.to_owned());
    tokio::spawn(async move { try_token(&layer, &token).await })
}

#[tokio::test]
async fn active_token_has_the_identity_of_the_response() {
    let endpoint = FakeEndpoint::new();
    endpoint.answer(active(json!({ "org": { "id": "acme" }, "roles": ["admin"], "tier": "pro" })));
    let (layer, _clock) = layer_with(&endpoint, |settings| {
        let claims = ClaimMapping::new().tenant("org.id").roles("roles").plan("tier");
        settings.claims(claims).required_scopes(["infer"]).unwrap()
    });
    let outcome = try_token(&layer, TOKEN).await;
    assert!(outcome.passed(), "{outcome:?}");
    let identity = outcome.identity.unwrap();
    assert_eq!(identity.proof(), Proof::Introspection);
    assert_eq!((identity.issuer(), identity.subject()), (ISSUER, "user-7"));
    assert_eq!((identity.tenant(), identity.client()), (Some("acme"), Some("app-1")));
    assert_eq!(
        (identity.roles().collect::<Vec<_>>(), identity.plan()),
        (vec!["admin"], Some("pro"))
    );
    assert_eq!(identity.scopes().collect::<Vec<_>>(), ["infer", "models:read"]);
    assert_eq!(identity.claim("token_type"), Some(&json!("Bearer")));
    let expiry = identity.expires_at().unwrap().duration_since(std::time::UNIX_EPOCH);
    assert_eq!(expiry.unwrap(), seconds(NOW + 300));
    let form = format!("token={TOKEN}&token_type_hint=access_token");
    assert_eq!(*endpoint.0.forms.lock().unwrap(), [form]);
    assert_eq!(*endpoint.0.authorization.lock().unwrap(), None);
}

#[tokio::test]
async fn gateway_authenticates_at_the_endpoint() {
    let endpoint = FakeEndpoint::new();
    let cases: [(Setting, &str); 2] = [
        (
            |s| s.client_credentials("gate way", Secret::new("s:c")),
            "Basic Z2F0ZSUyMHdheTpzJTNBYw==",
        ),
        (|s| s.bearer_token(Secret::new("own-token")), "Bearer own-token"),
    ];
    for (more, expected) in cases {
        let (layer, _clock) = layer_with(&endpoint, more);
        assert!(try_token(&layer, TOKEN).await.passed());
        assert_eq!(endpoint.0.authorization.lock().unwrap().as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn active_token_must_meet_the_requirements() {
    let expired = Some(Refusal::ExpiredToken);
    let cases: [(Value, Option<Refusal>, &str); 19] = [
        (json!({ "iss": null, "token_type": null, "exp": null, "client_id": null }), None, ""),
        (json!({ "aud": ["other", AUDIENCE] }), None, ""),
        (json!({ "scope": ["infer"] }), None, ""),
        (json!({ "token_type": "bearer" }), None, ""),
        (json!({ "token_type": 7 }), INVALID, "`token_type`"),
        (json!({ "iss": "https://issuer.example/" }), INVALID, "`iss`"),
        (json!({ "aud": null }), INVALID, "`aud`"),
        (json!({ "aud": "https://gateway.example/" }), INVALID, "`aud`"),
        (json!({ "aud": [] }), INVALID, "`aud`"),
        (json!({ "aud": 7 }), INVALID, "`aud`"),
        (json!({ "sub": null }), INVALID, "`sub`"),
        (json!({ "sub": "" }), INVALID, "`sub`"),
        (json!({ "sub": 7 }), INVALID, "`sub`"),
        (json!({ "exp": NOW }), expired, "expired"),
        (json!({ "exp": "soon" }), INVALID, "`exp`"),
        (json!({ "nbf": NOW + 1 }), INVALID, "`nbf`"),
        (json!({ "token_type": "DPoP" }), INVALID, "`token_type`"),
        (json!({ "cnf": { "jkt": "x" } }), INVALID, "bound to a key"),
        (json!({ "scope": "models:read" }), Some(Refusal::InsufficientScope), "`infer`"),
    ];
    for (extra, refusal, detail) in cases {
        let endpoint = FakeEndpoint::new();
        endpoint.answer(active(extra.clone()));
        let (layer, _clock) =
            layer_with(&endpoint, |settings| settings.required_scopes(["infer"]).unwrap());
        let outcome = try_token(&layer, TOKEN).await;
        assert_eq!(outcome.refusal(), refusal, "{extra}");
        assert!(outcome.body.contains(detail) || refusal.is_none(), "{extra}: {}", outcome.body);
        if refusal == Some(Refusal::InsufficientScope) {
            assert_eq!(outcome.status, 403);
            assert!(outcome.challenge().contains(r#"scope="infer""#));
        }
    }
}

#[tokio::test]
async fn settings_change_what_is_accepted() {
    let passes = async |extra: Value, more: Setting| {
        let endpoint = FakeEndpoint::new();
        endpoint.answer(active(extra));
        try_token(&layer_with(&endpoint, more).0, TOKEN).await.passed()
    };
    assert!(passes(json!({ "aud": null }), |s| s.dangerous_any_audience()).await);
    assert!(passes(json!({ "aud": "b" }), |s| s.additional_audiences(["a", "b"])).await);
    assert!(passes(json!({ "exp": NOW - 30 }), |s| s.leeway(seconds(31))).await);
    assert!(!passes(json!({ "exp": NOW - 30 }), |s| s.leeway(seconds(30))).await);
    assert!(
        passes(json!({ "sub": null }), |s| s.claims(ClaimMapping::new().subject("client_id")))
            .await
    );
    for tenant in [json!(""), json!(7), json!([])] {
        assert!(
            !passes(json!({ "org": tenant }), |s| s.claims(ClaimMapping::new().tenant("org")))
                .await
        );
    }
    assert!(passes(json!({}), |s| s.claims(ClaimMapping::new().tenant("org"))).await);
}

/// The response for a token that is not active is that for any junk.
#[tokio::test]
async fn inactive_token_looks_like_junk_to_the_client() {
    let endpoint = FakeEndpoint::new();
    endpoint.answer(r#"{"active":false,"sub":"user-7","exp":"soon"}"#);
    let (layer, clock) = layer_of(&endpoint);
    let inactive = try_token(&layer, TOKEN).await;
    assert_eq!((inactive.status.as_u16(), inactive.refusal()), (401, INVALID));
    // No call for text that is no token.
    let long = "x".repeat(4_097);
    for junk in ["a:b", "a%20b", "é", "\"", &long] {
        let outcome = try_token(&layer, junk).await;
        assert_eq!(outcome.visible(), inactive.visible(), "{junk:.10}");
    }
    assert_eq!(endpoint.calls(), 1);
    // The answer is used again for 5 seconds.
    endpoint.answer(active(json!({})));
    clock.advance(seconds(5) - Duration::from_millis(1));
    assert_eq!(try_token(&layer, TOKEN).await.refusal(), INVALID);
    clock.advance(Duration::from_millis(1));
    assert!(try_token(&layer, TOKEN).await.passed());
    assert_eq!(endpoint.calls(), 2);
}

#[tokio::test]
async fn answer_is_used_until_the_expiry_or_the_time_to_live() {
    for (exp, ttl) in [(300, 60), (20, 20)] {
        let endpoint = FakeEndpoint::new();
        endpoint.answer(active(json!({ "exp": NOW + exp })));
        let (layer, clock) = layer_of(&endpoint);
        for _ in 0..10 {
            assert!(try_token(&layer, TOKEN).await.passed());
        }
        // The token is revoked.
        endpoint.answer(r#"{"active":false}"#);
        clock.advance(seconds(ttl) - Duration::from_millis(1));
        assert!(try_token(&layer, TOKEN).await.passed());
        assert_eq!(endpoint.calls(), 1);
        clock.advance(Duration::from_millis(1));
        assert_eq!(try_token(&layer, TOKEN).await.refusal(), INVALID);
        assert_eq!(endpoint.calls(), 2);
    }
    // The wall clock is set forward.
    let endpoint = FakeEndpoint::new();
    let (layer, clock) = layer_of(&endpoint);
    assert!(try_token(&layer, TOKEN).await.passed());
    clock.set_wall(std::time::UNIX_EPOCH + seconds(NOW + 300));
    assert_eq!(try_token(&layer, TOKEN).await.refusal(), Some(Refusal::ExpiredToken));
    assert_eq!(endpoint.calls(), 1);
}

#[tokio::test]
async fn requests_with_one_token_share_a_call_and_other_tokens_do_not() {
    let endpoint = FakeEndpoint::new();
    endpoint.pause();
    let (layer, _clock) = layer_of(&endpoint);
    let mut requests: Vec<_> = (0..50).map(|_| spawn(&layer, TOKEN)).collect();
    requests.extend((0..3).map(|number| spawn(&layer, &format!("other-{number}"))));
    settle().await;
    assert_eq!(endpoint.calls(), 4);
    // The request that made the call leaves. Another one takes over.
    requests.remove(0).abort();
    settle().await;
    endpoint.release();
    for request in requests {
        assert!(request.await.unwrap().passed());
    }
    assert!(endpoint.calls() <= 5, "{}", endpoint.calls());
    // Equal answers of two tokens are two answers.
    endpoint.answer(r#"{"active":false}"#);
    assert_eq!(try_token(&layer, "other-9").await.refusal(), INVALID);
    assert!(try_token(&layer, TOKEN).await.passed());
}

#[tokio::test]
async fn number_of_waiting_requests_is_bounded() {
    let endpoint = FakeEndpoint::new();
    endpoint.pause();
    let (layer, _clock) = layer_with(&endpoint, |settings| settings.max_waiting(3));
    let waiting: Vec<_> = (0..3).map(|number| spawn(&layer, &format!("t{number}"))).collect();
    settle().await;
    let outcome = try_token(&layer, "t9").await;
    assert_eq!((outcome.refusal(), endpoint.calls()), (UNAVAILABLE, 3));
    assert_eq!(outcome.headers["retry-after"], "1");
    endpoint.release();
    for request in waiting {
        assert!(request.await.unwrap().passed());
    }
    assert!(try_token(&layer, "t9").await.passed());
}

#[tokio::test(start_paused = true)]
async fn failing_endpoint_is_asked_within_its_bounds() {
    let failures: [Failing; 6] = [
        ("unreachable", |endpoint| endpoint.fail(true)),
        ("a hang", |endpoint| endpoint.pause()),
        ("500", |endpoint| endpoint.status(500)),
        ("401", |endpoint| endpoint.status(401)),
        ("a redirect", |endpoint| endpoint.status(307)),
        ("an endless body", |endpoint| {
            endpoint.body(|| ScriptedBody::new([Step::Data(b"{"), Step::Stall]))
        }),
    ];
    for (failure, fail) in failures {
        let endpoint = FakeEndpoint::new();
        let (layer, clock) = layer_of(&endpoint);
        assert!(try_token(&layer, "warm").await.passed());
        fail(&endpoint);
        // Three calls fail. Then there are pauses of 1, 2 and 4 seconds.
        let start = tokio::time::Instant::now();
        for number in 0..3 {
            let outcome = try_token(&layer, &format!("t{number}")).await;
            assert_eq!(
                (outcome.status.as_u16(), outcome.refusal()),
                (503, UNAVAILABLE),
                "{failure}"
            );
            assert!(!outcome.headers.contains_key("www-authenticate"), "{failure}");
        }
        assert!(start.elapsed() <= Duration::from_millis(4_500), "{failure}");
        assert_eq!(endpoint.calls(), 4, "{failure}");
        for (calls, pause) in [(5, 1), (6, 2), (7, 4)] {
            for number in 0..20 {
                let outcome = try_token(&layer, &format!("t{calls}-{number}")).await;
                assert_eq!(outcome.refusal(), UNAVAILABLE, "{failure}");
                assert_eq!(outcome.headers["retry-after"], pause.to_string(), "{failure}");
                // A cached answer stays in use.
                assert!(try_token(&layer, "warm").await.passed(), "{failure}");
            }
            assert_eq!(endpoint.calls(), calls - 1, "{failure}");
            clock.advance(seconds(pause));
            let outcome = try_token(&layer, &format!("t{calls}")).await;
            assert_eq!((outcome.refusal(), endpoint.calls()), (UNAVAILABLE, calls), "{failure}");
        }
        // It works again.
        endpoint.fail(false);
        endpoint.status(200);
        endpoint.answer(active(json!({})));
        endpoint.release();
        clock.advance(seconds(8));
        for number in 0..3 {
            assert!(try_token(&layer, &format!("well-{number}")).await.passed(), "{failure}");
        }
    }
}

/// One token that makes the endpoint fail does not shut out the others.
#[tokio::test]
async fn failure_of_one_token_starts_no_pause() {
    let large = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(64 << 10));
    let failures: [&dyn Fn(&FakeEndpoint); 7] = [
        &|endpoint| endpoint.status(400),
        &|endpoint| endpoint.answer(""),
        &|endpoint| endpoint.answer("<html>"),
        &|endpoint| endpoint.answer("[true]"),
        &|endpoint| endpoint.answer(r#"{"active":"true"}"#),
        &|endpoint| endpoint.answer(r#"{"active":true,"active":true}"#),
        &|endpoint| endpoint.answer(large.clone()),
    ];
    for (row, fail) in failures.iter().enumerate() {
        let endpoint = FakeEndpoint::new();
        let (layer, clock) = layer_of(&endpoint);
        fail(&endpoint);
        for number in 0..5 {
            let outcome = try_token(&layer, &format!("poison-{number}")).await;
            assert_eq!(outcome.refusal(), UNAVAILABLE, "{row}");
            // The failure is used again for a second.
            assert_eq!(try_token(&layer, &format!("poison-{number}")).await.refusal(), UNAVAILABLE);
        }
        assert_eq!(endpoint.calls(), 5, "{row}");
        endpoint.status(200);
        endpoint.answer(active(json!({})));
        assert!(try_token(&layer, TOKEN).await.passed(), "{row}");
        clock.advance(seconds(1));
        assert!(try_token(&layer, "poison-0").await.passed(), "{row}");
    }
}

#[tokio::test]
async fn form_of_the_token_chooses_between_signed_and_opaque() {
    let endpoint = FakeEndpoint::new();
    let opaque = || {
        let settings = endpoint.settings().clock(SharedClock::new(fake_clock()));
        settings.build().unwrap()
    };
    let jwt = || jwt_of(Keys::from_jwks(jwks()).unwrap());
    let layers = [AuthLayer::new(jwt()).or(opaque()), AuthLayer::new(opaque()).or(jwt())];
    for layer in layers {
        let calls = endpoint.calls();
        let signed = try_token(&layer, &token("EdDSA", json!({}))).await;
        assert_eq!(signed.identity.unwrap().proof(), Proof::Jwt);
        // A forged token with three parts never reaches the endpoint.
        assert_eq!(try_token(&layer, "a.b.c").await.refusal(), INVALID);
        assert_eq!(endpoint.calls(), calls);
        let opaque = try_token(&layer, TOKEN).await;
        assert_eq!(opaque.identity.unwrap().proof(), Proof::Introspection);
        assert_eq!(endpoint.calls(), calls + 1);
    }
    // Alone it does not send a signed token to the endpoint either.
    let calls = endpoint.calls();
    let outcome = try_token(&AuthLayer::new(opaque()), &token("EdDSA", json!({}))).await;
    assert_eq!((outcome.refusal(), endpoint.calls()), (INVALID, calls));
}

#[tokio::test]
async fn missing_and_several_credentials_cause_no_call() {
    let endpoint = FakeEndpoint::new();
    let (layer, _clock) = layer_of(&endpoint);
    let missing = Some(Refusal::MissingCredentials);
    for values in [&[][..], &["Basic abc"], &["Bearer"], &["Bearer "]] {
        let outcome = send(&layer, request(values)).await;
        assert_eq!((outcome.refusal(), outcome.challenge()), (missing, "Bearer"), "{values:?}");
    }
    for values in [&["Bearer a", "Bearer b"][..], &["Bearer a b"], &["Bearer a,b"]] {
        let outcome = send(&layer, request(values)).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest), "{values:?}");
    }
    assert_eq!(endpoint.calls(), 0);
    assert!(send(&layer, bearer(TOKEN)).await.passed());
}

#[test]
fn unsafe_addresses_and_settings_are_rejected() {
    let build = |url: &str, more: Setting| {
        let client = service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, io::Error>(Response::new(Full::<Bytes>::default()))
        });
        more(Introspection::new(url, ISSUER, AUDIENCE, client)).build().map(|_| ()).unwrap_err()
    };
    let plain = build("http://issuer.example/introspect", |s| s);
    assert_eq!(plain, IntrospectionError::InsecureUrl("issuer.example".into()));
    assert!(plain.to_string().contains("dangerous_plain_http"));
    let metadata = build("http://169.254.169.254/introspect", |s| s.dangerous_plain_http());
    assert_eq!(metadata, IntrospectionError::LinkLocalAddress("169.254.169.254".into()));
    for url in ["", "/introspect", "ftp://issuer.example", "https://u:p@issuer.example"] {
        assert!(matches!(build(url, |s| s), IntrospectionError::InvalidUrl(_)), "{url}");
    }
    let token = build(ENDPOINT, |s| s.bearer_token(Secret::new("a\nb")));
    assert_eq!(token, IntrospectionError::InvalidCredentials);
    let scope = FakeEndpoint::new().settings().required_scopes(["a b"]).unwrap_err();
    assert_eq!(scope, IntrospectionError::InvalidScope("a b".into()));
}

#[tokio::test]
async fn https_client_introspects_over_a_socket() {
    let server = Server::start().await;
    let client = HttpsClient::builder().build().unwrap();
    let url = format!("{}/introspect", server.address);
    let tokens = Introspection::new(url, ISSUER, AUDIENCE, client).timeout(seconds(30));
    let tokens = tokens.client_credentials("gateway", Secret::new("secret"));
    let layer = AuthLayer::new(tokens.clock(SharedClock::new(fake_clock())).build().unwrap());
    server.respond("200 OK", "connection: close\r\n", &active(json!({})));
    assert!(try_token(&layer, TOKEN).await.passed());
    let head = server.last_head();
    for line in [
        "post /introspect http/1.1\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        &format!(
            "content-length: {}\r\n",
            TOKEN.len() + "token=&token_type_hint=access_token".len()
        ),
        "authorization: basic z2f0zxdhetpzzwnyzxq=\r\n",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    server.respond("302 Found", "connection: close\r\nlocation: https://evil.example/\r\n", "");
    assert_eq!(try_token(&layer, "another").await.refusal(), UNAVAILABLE);
}
