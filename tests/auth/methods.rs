//! Several methods on one layer, a method of the user's own and anonymous callers.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{
        AccessRule, AccessRules, ApiKey, ApiKeyRecord, ApiKeys, AuthLayer, Authenticator,
        CustomAuth,
    },
    clock::{FakeClock, SharedClock},
    context::RequestHead,
    identity::{Callers, Identity, Proof},
    rejection::{Refusal, Rejection},
    secret::Secret,
};

use super::{
    bearer, fake_clock,
    issuer::{ISSUER, NOW, token},
    jwt, request, seconds, send,
};

/// Sessions in the header `x-session`. `s-…` is valid.
#[derive(Clone, Default)]
pub struct Sessions {
    calls: Arc<AtomicUsize>,
    in_authorization: bool,
}

impl Sessions {
    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Authenticator for Sessions {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        let value = if self.in_authorization {
            let value = head.headers().get("authorization")?.to_str().ok()?;
            value.strip_prefix("Session ")?
        } else {
            head.headers().get("x-session")?.to_str().ok()?
        };
        Some(Secret::new(value))
    }

    fn headers(&self) -> Vec<HeaderName> {
        let name = if self.in_authorization { "authorization" } else { "x-session" };
        vec![HeaderName::from_static(name)]
    }

    async fn authenticate(&self, session: Secret) -> Result<Identity, Rejection> {
        self.calls.fetch_add(1, SeqCst);
        match session.expose() {
            "hang" => std::future::pending().await,
            "yield" => tokio::task::yield_now().await,
            _ => {}
        }
        let identity = Identity::new(Proof::Other("session"), "sessions", session.expose());
        match session.expose() {
            "bad" => Err(Rejection::new(Refusal::InvalidToken).with_detail("unknown session")),
            "short" => Ok(identity.with_expires_at(UNIX_EPOCH + Duration::from_secs(NOW + 5))),
            _ => Ok(identity),
        }
    }
}

fn session(value: &str) -> Request<Full<Bytes>> {
    let mut request = request(&[]);
    request.headers_mut().insert("x-session", value.parse().unwrap());
    request
}

/// A layer of sessions with a clock of its own.
fn sessions() -> (AuthLayer, Sessions, FakeClock) {
    let (sessions, clock) = (Sessions::default(), fake_clock());
    let custom = CustomAuth::new(sessions.clone()).clock(SharedClock::new(clock.clone()));
    (AuthLayer::new(custom.ttl(seconds(60))), sessions, clock)
}

#[tokio::test]
async fn the_method_that_recognises_the_credential_decides() {
    let layer = AuthLayer::new(jwt()).or(CustomAuth::new(Sessions::default()));
    let valid = token("EdDSA", json!({}));
    let outcome = send(&layer, bearer(&valid)).await;
    assert_eq!(outcome.identity.unwrap().proof(), Proof::Jwt);
    let outcome = send(&layer, session("s-1")).await;
    assert_eq!(outcome.identity.unwrap().proof(), Proof::Other("session"));
    // The other method is not asked about an invalid credential.
    let outcome = send(&layer, session("bad")).await;
    assert_eq!(outcome.json()["detail"], "unknown session");
    assert!(outcome.challenge().starts_with("Bearer error=\"invalid_token\""));

    let outcome = send(&layer, request(&[])).await;
    assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials));
    let detail = outcome.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("authorization: Bearer TOKEN") && detail.contains(" or "), "{detail}");
    // A bearer token of no known form gets the response of every invalid one.
    let unknown = send(&layer, bearer("opaque")).await;
    let forged = send(&layer, bearer("a.b.c")).await;
    assert_eq!(unknown.visible(), forged.visible());
    assert_eq!(unknown.refusal(), Some(Refusal::InvalidToken));
}

#[tokio::test]
async fn credentials_of_two_kinds_are_refused() {
    let valid = format!("Bearer {}", token("EdDSA", json!({})));
    for layer in [
        AuthLayer::new(jwt()).or(CustomAuth::new(Sessions::default())),
        AuthLayer::new(CustomAuth::new(Sessions::default())).or(jwt()),
    ] {
        for authorization in [&*valid, "Bearer opaque", "Basic dXNlcjpwYXNz", "Session s-2"] {
            let mut both = session("s-1");
            both.headers_mut().insert("authorization", authorization.parse().unwrap());
            let outcome = send(&layer, both).await;
            assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest), "{authorization}");
            assert_eq!((outcome.status.as_u16(), outcome.calls), (400, 0));
        }
    }
    // Two values of one header are two credentials.
    let layer = AuthLayer::new(jwt()).or(CustomAuth::new(Sessions::default()));
    let outcome = send(&layer, request(&[&valid, &valid])).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest));
    // A scheme of the user's own in `authorization` is one credential.
    let own = Sessions { in_authorization: true, ..Sessions::default() };
    let alone = AuthLayer::new(CustomAuth::new(own.clone()));
    assert!(send(&alone, request(&["Session s-1"])).await.passed());
    let outcome = send(&alone, request(&["Session s-1", "Session s-2"])).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest));
    let layer = AuthLayer::new(jwt()).or(CustomAuth::new(own));
    assert!(send(&layer, request(&["Session s-1"])).await.passed());
    assert!(send(&layer, request(&[&valid])).await.passed());
}

/// A ticket in the header `x-ticket`.
struct Tickets;

impl Authenticator for Tickets {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        head.headers().get("x-ticket")?.to_str().ok().map(Secret::new)
    }

    async fn authenticate(&self, ticket: Secret) -> Result<Identity, Rejection> {
        Ok(Identity::new(Proof::Other("ticket"), "tickets", ticket.expose()))
    }
}

#[tokio::test]
async fn credentials_in_two_headers_are_refused_for_methods_of_one_kind_too() {
    const KEYS: [&str; 2] = ["the-key-of-a-client-0001", "the-key-of-a-partner-0002"];
    let keys = |key: &str, header: &'static str| {
        let record = ApiKeyRecord::new("one");
        let keys = ApiKeys::new([(ApiKey::new(key).unwrap(), record)]).unwrap();
        keys.header(HeaderName::from_static(header)).unwrap()
    };
    let custom = AuthLayer::new(CustomAuth::new(Sessions::default())).or(CustomAuth::new(Tickets));
    let two_keys = AuthLayer::new(keys(KEYS[0], "x-api-key")).or(keys(KEYS[1], "x-partner-key"));
    for (layer, one, other) in [
        (custom, ("x-session", "s-1"), ("x-ticket", "t-1")),
        (two_keys, ("x-api-key", KEYS[0]), ("x-partner-key", KEYS[1])),
    ] {
        let with = |fields: &[(&'static str, &'static str)]| {
            let mut request = request(&[]);
            for (name, value) in fields {
                request.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            request
        };
        assert!(send(&layer, with(&[one])).await.passed());
        assert!(send(&layer, with(&[other])).await.passed());
        let outcome = send(&layer, with(&[one, other])).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidRequest), "{one:?}");
    }
    // Two sets of keys in one header are one place.
    let same = AuthLayer::new(keys(KEYS[0], "x-api-key")).or(keys(KEYS[1], "x-api-key"));
    let mut request = request(&[]);
    request.headers_mut().insert("x-api-key", HeaderValue::from_static(KEYS[0]));
    assert!(send(&same, request).await.passed());
}

#[tokio::test]
async fn an_identity_is_used_again_until_its_ttl_or_its_expiry() {
    let (layer, sessions, clock) = sessions();
    for _ in 0..3 {
        assert!(send(&layer, session("s-1")).await.passed());
    }
    assert_eq!(sessions.calls(), 1);
    clock.advance(seconds(59));
    assert!(send(&layer, session("s-1")).await.passed());
    assert_eq!(sessions.calls(), 1);
    clock.advance(seconds(1));
    assert!(send(&layer, session("s-1")).await.passed());
    assert_eq!(sessions.calls(), 2);

    let (layer, sessions, clock) = self::sessions();
    assert!(send(&layer, session("short")).await.passed());
    clock.advance(seconds(5));
    let _rejected = send(&layer, session("short")).await;
    assert_eq!(sessions.calls(), 2, "asked again at the expiry");
}

#[tokio::test]
async fn an_identity_that_has_expired_is_refused() {
    let (layer, _, clock) = sessions();
    clock.advance(seconds(6));
    let outcome = send(&layer, session("short")).await;
    assert_eq!(outcome.refusal(), Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_second_and_shared() {
    let (layer, sessions, clock) = sessions();
    for _ in 0..3 {
        assert_eq!(send(&layer, session("bad")).await.status, 401);
    }
    assert_eq!(sessions.calls(), 1);
    clock.advance(seconds(1));
    assert_eq!(send(&layer, session("bad")).await.status, 401);
    assert_eq!(sessions.calls(), 2);

    let outcomes = [session("yield"), session("yield"), session("yield")].map(|r| send(&layer, r));
    let [one, two, three] = outcomes;
    let (one, two, three) = tokio::join!(one, two, three);
    assert!(one.passed() && two.passed() && three.passed());
    assert_eq!(sessions.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_cancelled_and_the_request_refused() {
    let custom = CustomAuth::new(Sessions::default()).timeout(seconds(2)).max_waiting(1);
    let layer = AuthLayer::new(custom);
    let (hanging, refused) =
        tokio::join!(send(&layer, session("hang")), send(&layer, session("s")));
    for outcome in [hanging, refused] {
        assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
        assert_eq!(outcome.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn anonymous_callers_pass_only_without_any_credential() {
    let (_, _, _) = sessions();
    let layer = AuthLayer::new(jwt()).anonymous("guest");
    let identity = send(&layer, request(&[])).await.identity.unwrap();
    assert_eq!(identity.principal().to_string(), "anonymous:anonymous#guest");
    for authorization in ["Bearer a.b.c", "Basic dXNlcjpwYXNz", "Bearer", ""] {
        let outcome = send(&layer, request(&[authorization])).await;
        assert_eq!(outcome.status, 401, "{authorization}");
    }
}

#[tokio::test]
async fn a_client_without_credentials_gets_a_challenge_for_each_scheme() {
    let keys = || {
        let key = ApiKey::generate("acme").unwrap();
        ApiKeys::new([(&key, ApiKeyRecord::new("batch"))]).unwrap()
    };
    let challenges = async |layer: AuthLayer| {
        let outcome = send(&layer.realm("r").unwrap(), request(&[])).await;
        let challenges = outcome.headers.get_all("www-authenticate").iter();
        challenges.map(|one| one.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (bearer, api_key) = (r#"Bearer realm="r""#, r#"ApiKey realm="r""#);
    assert_eq!(challenges(AuthLayer::new(keys())).await, [bearer]);
    assert_eq!(challenges(AuthLayer::new(keys().header_only())).await, [api_key]);
    let both = AuthLayer::new(keys().header_only()).or(jwt());
    assert_eq!(challenges(both).await, [bearer, api_key]);
}

#[tokio::test]
async fn a_credential_of_ones_own_is_sensitive_and_stays_here() {
    let layer = AuthLayer::new(CustomAuth::new(Sessions::default()));
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let seen = format!("{:?}", request.headers());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(seen)))
    });
    let future = layer.layer(inner).oneshot(session("s-secret"));
    let body = future.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("x-session"));

    // Two values are two credentials, also in a layer of one kind.
    let mut twice = session("s-1");
    twice.headers_mut().append("x-session", "s-2".parse().unwrap());
    assert_eq!(send(&layer, twice).await.refusal(), Some(Refusal::InvalidRequest));
    // So is one beside `authorization`.
    for authorization in ["Bearer x", "Basic dXNlcjpwYXNz"] {
        let mut both = session("s-1");
        both.headers_mut().insert("authorization", authorization.parse().unwrap());
        assert_eq!(send(&layer, both).await.refusal(), Some(Refusal::InvalidRequest));
    }
}

#[tokio::test]
async fn a_guest_whom_the_rules_deny_is_asked_for_a_credential() {
    let guests = Callers::new().principal(Proof::Anonymous, "anonymous", "guest");
    let rules = AccessRules::new()
        .allow(AccessRule::new("open", guests).path("/v1/models"))
        .allow(AccessRule::new("callers", Callers::new().issuer(ISSUER)));
    let layer = AuthLayer::new(jwt()).anonymous("guest").rules(rules).unwrap();
    let outcome = send(&layer, request(&[])).await;
    assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials));
    assert_eq!((outcome.status.as_u16(), outcome.challenge()), (401, "Bearer"));
    let mut open = request(&[]);
    *open.uri_mut() = "/v1/models".parse().unwrap();
    assert!(send(&layer, open).await.passed());
    assert!(send(&layer, bearer(&token("EdDSA", json!({})))).await.passed());
}

/// An SDK that has no key sends `Bearer ` beside the header that the program has added.
#[tokio::test]
async fn an_empty_authorization_is_no_second_credential() {
    let key = ApiKey::generate("acme").unwrap();
    let keys = ApiKeys::new([(&key, ApiKeyRecord::new("batch"))]).unwrap();
    let layer = AuthLayer::new(jwt()).or(keys);
    for authorization in ["", "Bearer", "Bearer ", "bearer"] {
        let mut request = request(&[authorization]);
        request.headers_mut().insert("x-api-key", key.expose().parse().unwrap());
        assert!(send(&layer, request).await.passed(), "{authorization:?}");
    }
}
