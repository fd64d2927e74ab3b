//! Who shares answers, and who does not; kept or under way.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use tower_inference::cache::Cacheable;

use super::*;
use crate::conformance;

const BODY: &str = r#"{"model":"m","temperature":0,"messages":[]}"#;

/// Whether the second is answered by what the first was answered: kept, and under way.
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
    // Under way.
    let mut service = layer.layer(flying);
    let waker = std::task::Waker::noop();
    assert!(service.poll_ready(&mut Context::from_waker(waker)).is_ready());
    let begun = service.call(again(&first));
    let joined = told(layer, &stored, again(&second)).await == r#"{"call":0}"#;
    drop(begun);
    layer.invalidate_all();
    // Kept.
    let upstream = Upstream::numbers();
    told(layer, &upstream, first).await;
    let hit = told(layer, &upstream, second).await == r#"{"call":0}"#;
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
async fn an_identity_shares_with_itself_alone() {
    let (layer, _) = layer(Scope::Identity);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "a", "t")).await);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "a", "u")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("i", "b", "t")).await);
    // The same subject of two issuers, and the same proved in two ways.
    assert!(!meet(&layer, from("i", "a", "t"), from("j", "a", "t")).await);
    let key = of(Identity::new(Proof::ApiKey, "i", "a").with_tenant("t"));
    assert!(!meet(&layer, from("i", "a", "t"), key).await);
    assert!(!meet(&layer, post(None, CHAT, BODY), post(None, CHAT, BODY)).await);
}

#[tokio::test]
async fn a_tenant_shares_with_its_own_and_two_issuers_never_meet() {
    let (layer, _) = layer(Scope::Tenant);
    assert!(meet(&layer, from("i", "a", "t"), from("i", "b", "t")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("i", "a", "u")).await);
    assert!(!meet(&layer, from("i", "a", "t"), from("j", "a", "t")).await);
    let none = || of(Identity::new(Proof::Jwt, "i", "a"));
    assert!(!meet(&layer, none(), none()).await);
    // Nothing of one runs into the other.
    assert!(!meet(&layer, from("ab", "a", "c"), from("a", "a", "bc")).await);
}

#[tokio::test]
async fn what_is_shared_by_all_is_shared_by_those_without_an_identity_too() {
    let (layer, _) = layer(Scope::Shared);
    assert!(meet(&layer, from("i", "a", "t"), from("j", "b", "u")).await);
    assert!(meet(&layer, post(None, CHAT, BODY), from("i", "a", "t")).await);
    // But not by credentials that nobody has looked at.
    let stranger = || {
        let mut request = post(None, CHAT, BODY);
        request.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
        request
    };
    assert!(!meet(&layer, stranger(), stranger()).await);
}

#[tokio::test]
async fn a_function_may_say_who_shares() {
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
async fn a_caller_whose_token_has_expired_is_given_nothing() {
    for scope in [Scope::Identity, Scope::Tenant, Scope::Shared] {
        let (layer, clock) = layer(scope);
        let wall = UNIX_EPOCH + Duration::from_secs(1_795_424_887);
        let caller = || of(user("a").with_expiry(wall + Duration::from_secs(10)));
        assert!(meet(&layer, caller(), caller()).await);
        clock.advance(Duration::from_secs(10));
        assert!(!meet(&layer, from(ISSUER, "a", "acme"), caller()).await);
    }
}

#[tokio::test]
async fn whatever_may_change_the_answer_parts_requests() {
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
    // The host of HTTP/2, and of HTTP/1.1.
    let mut other = base();
    other.headers_mut().insert("host", "A.example".parse().unwrap());
    let mut same = base();
    *same.uri_mut() = "http://a.example/v1/chat/completions?a=1".parse().unwrap();
    assert!(meet(&layer, same, other).await);
    // What no server of models looks at does not.
    let mut other = base();
    other.headers_mut().insert("user-agent", "curl/8".parse().unwrap());
    *other.body_mut() = Payload::buffered(
        "{ \"messages\": [], \"temperature\": 0.0e5,\n\"mod\\u0065l\": \"m\", \"stream\": false }",
    );
    assert!(meet(&layer, base(), other).await);
}

#[tokio::test]
async fn what_parts_requests_can_be_chosen() {
    let (layer, _) = layer(Scope::Identity);
    let layer =
        layer.ignore_members(["user"]).fields(["x-tier".parse().unwrap()]).query(["version"]);
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
async fn namespaces_epochs_and_secrets_part_requests() {
    let (layer, _) = layer(Scope::Shared);
    let upstream = Upstream::numbers();
    told(&layer, &upstream, plain()).await;
    for other in [
        layer.clone().epoch(1),
        layer.clone().secret(&tower_inference::secret::Secret::new("another")),
    ] {
        assert_ne!(told(&other, &upstream, plain()).await, r#"{"call":0}"#);
    }
    assert_eq!(told(&layer, &upstream, plain()).await, r#"{"call":0}"#);
}

#[tokio::test]
async fn a_function_may_map_requests_to_one() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.canonical(|request| {
        let document = request.body().document().ok()?;
        let question = document.root().get("question")?.as_str()?;
        let canonical = format!("{{\"question\":\"{}\"}}", question.to_lowercase());
        Some(Payload::buffered(canonical))
    });
    let question =
        |text: &str| post(Some(user("a")), "/embed", &format!("{{\"question\":\"{text}\"}}"));
    assert!(meet(&layer, question("WHY"), question("why")).await);
    assert!(!meet(&layer, question("why"), question("how")).await);
    let plain = |text: &str| post(Some(user("a")), "/embed", &format!("{{\"x\":\"{text}\"}}"));
    assert!(!meet(&layer, plain("WHY"), plain("why")).await);
    // What goes upstream is what was asked.
    let upstream = Upstream::new(|_, request| {
        assert_eq!(request.body().bytes().unwrap(), r#"{"question":"WHY"}"#);
        json("[]")
    });
    told(&layer, &upstream, question("WHY")).await;
}

#[tokio::test]
async fn requests_that_no_cache_understands_pass() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.cacheable(Cacheable::always());
    let different: [fn(&mut Request<Payload>); 6] = [
        |request| *request.method_mut() = http::Method::PUT,
        |request| *request.method_mut() = http::Method::HEAD,
        |request| drop(request.headers_mut().insert("range", "bytes=0-1".parse().unwrap())),
        |request| drop(request.headers_mut().insert("if-none-match", "*".parse().unwrap())),
        |request| {
            drop(request.headers_mut().insert("content-type", "application/grpc".parse().unwrap()));
        },
        |request| *request.body_mut() = Payload::streamed(http_body_util::Full::from(BODY)),
    ];
    for differ in different {
        let upstream = Upstream::numbers();
        for number in 0..2 {
            let mut request = of(user("a"));
            differ(&mut request);
            let context = context(&request);
            let answer = ask(&layer, &upstream, request).await;
            assert_eq!(answer.headers()["cache-status"], "tower-inference; fwd=bypass");
            assert_eq!(text(answer).await, format!("{{\"call\":{number}}}"));
            assert_eq!(context.outcome().cache.unwrap().as_str(), "bypass");
        }
    }
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn which_requests_are_answered_alike_can_be_chosen() {
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
async fn options_of_streams_part_requests_unless_they_only_ask_for_usage() {
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

    /// Whatever the names, two tenants never share: be it kept or under way.
    #[test]
    fn two_tenants_never_meet(
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

/// RFC 8785's examples: each says the same as its canonical form, but for a number that the form
/// rounds to what a double can hold.
#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn documents_meet_if_they_are_equal_however_they_are_written() {
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
