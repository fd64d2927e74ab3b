//! Which requests share responses, both stored and in flight.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use tower_inference::cache::{CacheKey, Cacheable};

use super::*;
use crate::conformance;

const BODY: &str = r#"{"model":"m","temperature":0,"messages":[]}"#;

/// Returns whether two requests share a response, both stored and in flight.
async fn meet(layer: &CacheLayer, first: Request<Payload>, second: Request<Payload>) -> bool {
    let upstream = Upstream::numbers();
    let again = |request: &Request<Payload>| {
        let mut copy = Request::new(request.body().try_clone().unwrap());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        copy
    };
    let (flying, stored) = (upstream.clone(), upstream.clone());
    layer.invalidate_all();
    // In flight.
    let mut service = layer.layer(flying);
    let waker = std::task::Waker::noop();
    assert!(service.poll_ready(&mut Context::from_waker(waker)).is_ready());
    let begun = service.call(again(&first));
    let joined = body_of(layer, &stored, again(&second)).await == completion(0);
    drop(begun);
    layer.invalidate_all();
    // Stored.
    let upstream = Upstream::numbers();
    body_of(layer, &upstream, first).await;
    let hit = body_of(layer, &upstream, second).await == completion(0);
    assert_eq!(joined, hit);
    hit
}

fn of(identity: Identity) -> Request<Payload> {
    post(Some(identity), CHAT, BODY)
}

fn from(issuer: &str, subject: &str, tenant: &str) -> Request<Payload> {
    of(Identity::new(Proof::Jwt, issuer, subject).with_tenant(tenant))
}

#[tokio::test]
async fn the_identity_scope_separates_principals() {
    let (layer, _) = layer(Scope::Identity);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "a", "t")).await);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "a", "u")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("i", "b", "t")).await);
    // The issuer and the proof belong to the principal.
    assert!(!meet(&layer, from("i", "a", "t"), from("j", "a", "t")).await);
    let key = of(Identity::new(Proof::ApiKey, "i", "a").with_tenant("t"));
    assert!(!meet(&layer, from("i", "a", "t"), key).await);
    assert!(!meet(&layer, post(None, CHAT, BODY), post(None, CHAT, BODY)).await);
}

#[tokio::test]
async fn the_tenant_scope_separates_tenants_and_issuers() {
    let (layer, _) = layer(Scope::Tenant);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "b", "t")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("i", "a", "u")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("j", "a", "t")).await);
    let none = || of(Identity::new(Proof::Jwt, "i", "a"));
    assert!(!meet(&layer, none(), none()).await);
    // Issuer and tenant are separate parts of the key.
    assert!(!meet(&layer, from("ab", "a", "c"), from("a", "a", "bc")).await);
}

#[tokio::test]
async fn the_shared_scope_includes_anonymous_callers() {
    let (layer, _) = layer(Scope::Shared);
    assert!(meet(&layer, from("i", "a", "t"), from("j", "b", "u")).await);
    assert!(meet(&layer, post(None, CHAT, BODY), from("i", "a", "t")).await);
    // Unverified credentials bypass the cache.
    let stranger = || {
        let mut request = post(None, CHAT, BODY);
        request.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
        request
    };
    assert!(!meet(&layer, stranger(), stranger()).await);
}

#[tokio::test]
async fn a_function_defines_a_scope() {
    let by = Scope::by(|request| {
        let plan = request.headers().get("x-plan")?;
        plan.to_str().ok().map(str::to_owned)
    });
    let (layer, _) = layer(by);
    let plan = |plan: &'static str| {
        let mut request = post(None, CHAT, BODY);
        request.headers_mut().insert("x-plan", plan.parse().unwrap());
        request
    };
    assert!(meet(&layer, plan("one"), plan("one")).await);
    assert!(!meet(&layer, plan("one"), plan("two")).await);
    assert!(!meet(&layer, post(None, CHAT, BODY), post(None, CHAT, BODY)).await);
}

#[tokio::test]
async fn an_expired_identity_bypasses_the_cache() {
    for scope in [Scope::Identity, Scope::Tenant, Scope::Shared] {
        let (layer, clock) = layer(scope);
        let wall = UNIX_EPOCH + Duration::from_secs(1_795_424_887);
        let caller = || of(user("a").with_expires_at(wall + Duration::from_secs(10)));
        assert!(meet(&layer, caller(), caller()).await);
        clock.advance(Duration::from_secs(10));
        assert!(!meet(&layer, from(ISSUER, "a", "acme"), caller()).await);
    }
}

#[tokio::test]
async fn parts_of_the_key_separate_requests() {
    let (layer, _) = layer(Scope::Identity);
    let base = || post(Some(user("a")), "/v1/chat/completions?a=1", BODY);
    assert!(meet(&layer, base(), base()).await);
    let different: [fn(&mut Request<Payload>); 7] = [
        |request| drop(request.headers_mut().insert("host", "b.example".parse().unwrap())),
        |request| *request.uri_mut() = "/v2/chat/completions?a=1".parse().unwrap(),
        |request| *request.uri_mut() = "/v1/chat/completions?a=2".parse().unwrap(),
        |request| *request.uri_mut() = "/v1/chat/completions".parse().unwrap(),
        |request| drop(request.headers_mut().insert("accept", "text/plain".parse().unwrap())),
        |request| drop(request.headers_mut().insert("x-use-cache", "0".parse().unwrap())),
        |request| {
            *request.body_mut() = Payload::buffered(r#"{"model":"m","seed":0,"messages":[]}"#)
        },
    ];
    for (number, differ) in different.into_iter().enumerate() {
        let mut other = base();
        differ(&mut other);
        assert!(!meet(&layer, base(), other).await, "{number}");
    }
    // HTTP/2 and HTTP/1.1 have the host in different places.
    let mut other = base();
    other.headers_mut().insert("host", "A.example".parse().unwrap());
    let mut same = base();
    *same.uri_mut() = "http://a.example/v1/chat/completions?a=1".parse().unwrap();
    assert!(meet(&layer, same, other).await);
    // Other headers and the form of the body do not matter.
    let mut other = base();
    other.headers_mut().insert("user-agent", "curl/8".parse().unwrap());
    *other.body_mut() = Payload::buffered(
        "{ \"messages\": [], \"temperature\": 0.0e5,\n\"mod\\u0065l\": \"m\", \"stream\": false }",
    );
    assert!(meet(&layer, base(), other).await);
}

#[tokio::test]
async fn the_parts_of_the_key_can_be_set() {
    let (layer, _) = layer(Scope::Identity);
    let key = CacheKey::new().ignore_members(["user"]).headers(["x-tier".parse().unwrap()]);
    let layer = layer.key(key.query(["version"]));
    let by_user = |user_of: &str, query: &str| {
        let body = format!(r#"{{"temperature":0,"user":"{user_of}"}}"#);
        post(Some(user("a")), &format!("{CHAT}?{query}"), &body)
    };
    assert!(meet(&layer, by_user("u", "version=1"), by_user("v", "debug&version=1")).await);
    assert!(!meet(&layer, by_user("u", "version=1"), by_user("u", "version=2")).await);
    let mut tier = by_user("u", "");
    tier.headers_mut().insert("x-tier", "gold".parse().unwrap());
    assert!(!meet(&layer, by_user("u", ""), tier).await);
}

#[tokio::test]
async fn another_epoch_is_another_key() {
    let (layer, _) = layer(Scope::Shared);
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, plain()).await;
    let other = layer.clone().key(CacheKey::new().epoch(1));
    assert_ne!(body_of(&other, &upstream, plain()).await, completion(0));
    assert_eq!(body_of(&layer, &upstream, plain()).await, completion(0));
}

#[tokio::test]
async fn canonical_bodies_make_the_key() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.key(CacheKey::new().canonical(|request| {
        let document = request.body().document().ok()?;
        let question = document.root().get("question")?.as_str()?;
        let canonical = format!("{{\"question\":\"{}\"}}", question.to_lowercase());
        Some(Payload::buffered(canonical))
    }));
    let question = |text: &str| {
        post(Some(user("a")), CHAT, &format!("{{\"seed\":1,\"question\":\"{text}\"}}"))
    };
    assert!(meet(&layer, question("WHY"), question("why")).await);
    assert!(!meet(&layer, question("why"), question("how")).await);
    let plain =
        |text: &str| post(Some(user("a")), CHAT, &format!("{{\"seed\":1,\"x\":\"{text}\"}}"));
    assert!(!meet(&layer, plain("WHY"), plain("why")).await);
    // The original body goes upstream.
    let upstream = Upstream::new(|_, request| {
        assert_eq!(request.body().bytes().unwrap(), r#"{"seed":1,"question":"WHY"}"#);
        json(&completion(0))
    });
    body_of(&layer, &upstream, question("WHY")).await;
}

#[tokio::test]
async fn unsupported_requests_bypass_the_cache() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.cacheable(Cacheable::always());
    type Change = fn(&mut Request<Payload>);
    let different: [(&str, Change); 6] = [
        ("method", |request| *request.method_mut() = http::Method::PUT),
        ("method", |request| *request.method_mut() = http::Method::HEAD),
        ("partial", |request| {
            drop(request.headers_mut().insert("range", "bytes=0-1".parse().unwrap()));
        }),
        ("partial", |request| {
            drop(request.headers_mut().insert("if-none-match", "*".parse().unwrap()));
        }),
        ("grpc", |request| {
            drop(request.headers_mut().insert("content-type", "application/grpc".parse().unwrap()));
        }),
        ("streamed-body", |request| {
            *request.body_mut() = Payload::streamed(http_body_util::Full::from(BODY));
        }),
    ];
    for (detail, differ) in different {
        let upstream = Upstream::numbers();
        for number in 0..2 {
            let mut request = of(user("a"));
            differ(&mut request);
            let context = context(&request);
            let response = send(&layer, &upstream, request).await;
            let status = format!("tower-inference; fwd=bypass; detail={detail}");
            assert_eq!(response.headers()["cache-status"], status);
            assert_eq!(text(response).await, completion(number));
            assert_eq!(context.outcome().cache.unwrap().as_str(), "bypass");
        }
    }
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn cacheable_requests_can_be_set() {
    let sampled = || post(Some(user("a")), CHAT, r#"{"temperature":1}"#);
    let (deterministic, _) = layer(Scope::Identity);
    assert!(!meet(&deterministic, sampled(), sampled()).await);
    let always = deterministic.clone().cacheable(Cacheable::always());
    assert!(meet(&always, sampled(), sampled()).await);
    let by = deterministic.cacheable(Cacheable::by(|request| request.uri().path() == "/x"));
    assert!(!meet(&by, plain(), plain()).await);
    let x = || post(Some(user("a")), "/x", "{}");
    assert!(meet(&by, x(), x()).await);
}

#[tokio::test]
async fn unknown_stream_options_are_part_of_the_key() {
    let (layer, _) = layer(Scope::Identity);
    let stream = |options: &str| {
        let body = format!(r#"{{"temperature":0,"stream":true,"stream_options":{options}}}"#);
        post(Some(user("a")), CHAT, &body)
    };
    assert!(meet(&layer, stream("null"), stream(r#"{"include_usage":false}"#)).await);
    assert!(!meet(&layer, stream("null"), stream(r#"{"include_usage":true}"#)).await);
    assert!(!meet(&layer, stream("null"), stream(r#"{"include_obfuscation":true}"#)).await);
    let odd = |stream: &str| {
        post(Some(user("a")), CHAT, &format!(r#"{{"temperature":0,"stream":{stream}}}"#))
    };
    assert!(!meet(&layer, odd("1"), odd("\"yes\"")).await);
    assert!(!meet(&layer, odd("1"), odd("false")).await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two tenants never share a response, whatever their names.
    #[test]
    fn tenants_never_share(
        one in ("[ab:|]{0,3}", "[ab:|]{0,3}"),
        other in ("[ab:|]{0,3}", "[ab:|]{0,3}"),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (layer, _) = layer(Scope::Tenant);
        let met = runtime.block_on(meet(
            &layer,
            from(&one.0, "a", &one.1),
            from(&other.0, "a", &other.1),
        ));
        prop_assert_eq!(met, one == other);
    }
}

/// The examples of RFC 8785. Each equals its canonical form, except for a number that the form rounds
/// to a double.
#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn equal_documents_share_a_response() {
    let folder = conformance::path("jcs/testdata");
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.cacheable(Cacheable::always());
    let read =
        |form: &str, name: &str| std::fs::read_to_string(folder.join(form).join(name)).unwrap();
    let asked = |body: String| post(Some(user("a")), "/v1/any", &body);
    let names = ["arrays", "french", "structures", "unicode", "values", "weird"];
    for name in names.map(|name| format!("{name}.json")) {
        let [input, output] = ["input", "output"].map(|form| read(form, &name));
        let rounded = input.replace("333333333.33333329", "333333333.3333333");
        assert_eq!(rounded == input, name != "values.json");
        assert!(meet(&layer, asked(rounded), asked(output.clone())).await, "{name}");
        let same = name != "values.json";
        assert_eq!(meet(&layer, asked(input), asked(output)).await, same, "{name}");
    }
}
