//! Requests that the gateway rejects itself: one for each refusal.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tower_inference::{
    auth::{
        AccessRule, AccessRules, ApiKeyDigest, ApiKeyRecord, ApiKeyStore, ApiKeyStoreError,
        ApiKeys, AuthLayer,
        aws_iam::{SigV4, SigningCredentials},
    },
    cache::{CacheLayer, ClientControl, Scope},
    fallback::{FallbackLayer, Target},
    hf::{FetchedToken, Stage, TokenSource},
    identity::Callers,
    limits::{Limit, OutagePolicy, Quota, Rate, RedisStore},
    model::Profile,
    payload::PayloadLayer,
    rejection::Refusal,
    route::RouteLayer,
    secret::Secret,
    test_util::TestIssuer,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    upstream::UpstreamLayer,
};

use crate::{
    TOKENS,
    gateway::{CHAT, Form, FullSink, Layers, Served},
    leak::leak,
    log::listen,
    upstream::{Script, Upstream, echoing_headers},
};

/// Refusals that no layer makes. They are there for layers and handlers of users.
const WITHOUT_A_LAYER: [Refusal; 1] = [Refusal::ModelLoading];

/// A request that is rejected.
struct Rejected {
    refusal: Refusal,
    /// The change of the gateway that the rejection needs.
    change: fn(&mut Layers, &TestIssuer),
    method: &'static str,
    path: &'static str,
    /// Headers beside the credentials.
    headers: String,
    body: String,
    /// What the upstream does, which sees the request.
    script: Option<fn(&str) -> Script>,
}

fn rejected(refusal: Refusal) -> Rejected {
    Rejected {
        refusal,
        change: |_, _| (),
        method: "POST",
        path: "/v1/chat/completions",
        headers: String::new(),
        body: CHAT.to_owned(),
        script: None,
    }
}

struct FailingStore;

impl ApiKeyStore for FailingStore {
    async fn find(&self, _digest: ApiKeyDigest) -> Result<Option<ApiKeyRecord>, ApiKeyStoreError> {
        Err("the database is away".into())
    }
}

const KEY: &str = "x-api-key: a-key-of-at-least-twenty-letters\r\n";

fn routed(layers: &mut Layers, _: &TestIssuer) {
    layers.route = Some(RouteLayer::new(&Profile::openai()));
}

/// The requests that need the credentials of the gateway's caller.
fn of_a_caller() -> Vec<Rejected> {
    vec![
        Rejected {
            change: |layers, issuer| {
                let chats = AccessRule::new("chats", Callers::new().scope("infer")).path("/v1/*");
                let rules = AccessRules::new().allow(chats);
                layers.auth = AuthLayer::new(issuer.jwt()).rules(rules).unwrap();
            },
            ..rejected(Refusal::InsufficientScope)
        },
        Rejected { body: CHAT.replace("org/demo", "org/other"), ..rejected(Refusal::Forbidden) },
        Rejected { path: "/elsewhere", ..rejected(Refusal::Forbidden) },
        Rejected { change: routed, path: "/elsewhere", ..rejected(Refusal::NotFound) },
        Rejected { change: routed, method: "DELETE", ..rejected(Refusal::MethodNotAllowed) },
        Rejected {
            change: |layers, _| {
                layers.throttle = ThrottleLayer::new(Limit::per_identity(Rate::per_second(0)))
            },
            ..rejected(Refusal::Throttled)
        },
        Rejected {
            change: |layers, _| {
                layers.throttle = ThrottleLayer::new(Limit::per_identity(Quota::per_day(0)))
            },
            ..rejected(Refusal::QuotaExceeded)
        },
        Rejected {
            change: |layers, _| {
                let limit = Limit::per_identity(Rate::per_second(1).burst(1));
                layers.token_budget = TokenBudgetLayer::new(limit);
            },
            ..rejected(Refusal::ExceedsLimit)
        },
        Rejected {
            change: |layers, _| {
                // Nobody listens at this port.
                let store =
                    RedisStore::single(Secret::new("redis://127.0.0.1:1"), Secret::new("hashing"));
                let store = store.unwrap().outage_policy(OutagePolicy::Reject);
                layers.throttle =
                    ThrottleLayer::new(Limit::per_identity(Rate::per_second(9))).store(store);
            },
            ..rejected(Refusal::ThrottleUnavailable)
        },
        Rejected {
            change: |layers, _| layers.payload = PayloadLayer::new().max_body_bytes(16),
            ..rejected(Refusal::PayloadTooLarge)
        },
        Rejected {
            change: |layers, _| {
                layers.payload = PayloadLayer::new().body_timeout(Duration::from_millis(50));
            },
            ..rejected(Refusal::PayloadTimeout)
        },
        Rejected {
            headers: "content-encoding: compress\r\n".to_owned(),
            ..rejected(Refusal::UnsupportedMediaType)
        },
        Rejected { body: r#"{"model":"#.to_owned(), ..rejected(Refusal::MalformedPayload) },
        Rejected {
            path: "/v1/chat/completions?max_tokens=none",
            ..rejected(Refusal::InvalidParameters)
        },
        Rejected { body: "{}".to_owned(), ..rejected(Refusal::InvalidPayload) },
        Rejected {
            body: r#"{"model":"org/demo","messages":[{}]}"#.to_owned(),
            ..rejected(Refusal::InvalidPayload)
        },
        Rejected {
            change: |layers, _| layers.sink = Some(FullSink),
            ..rejected(Refusal::AuditUnavailable)
        },
        Rejected {
            change: |layers, _| layers.upstream = UpstreamLayer::new().max_in_flight(0),
            ..rejected(Refusal::Overloaded)
        },
        Rejected {
            headers: "cache-control: only-if-cached\r\n".to_owned(),
            body: CHAT.replacen('{', r#"{"temperature":0,"#, 1),
            change: |layers, _| {
                let cache = CacheLayer::new("search", Scope::Identity);
                layers.cache = cache.client_control(ClientControl::new(|_| true));
            },
            ..rejected(Refusal::NotCached)
        },
        Rejected {
            script: Some(|_| Script::Send(Vec::new())),
            ..rejected(Refusal::UpstreamUnavailable)
        },
        Rejected {
            script: Some(|_| Script::Stall(Vec::new())),
            ..rejected(Refusal::UpstreamTimeout)
        },
        Rejected {
            script: Some(|token| {
                let (headers, padding) = (echoing_headers(token), "x".repeat(30_000));
                Script::Send(
                    format!("HTTP/1.1 200 {token}\r\n{headers}x: {padding}\r\n\r\n").into(),
                )
            }),
            ..rejected(Refusal::InvalidUpstreamResponse)
        },
    ]
}

/// The requests with other credentials, or none.
fn of_others() -> Vec<Rejected> {
    let sigv4 = |layers: &mut Layers, _: &TestIssuer| {
        let sigv4 = SigV4::new("us-east-1", SigningCredentials::new([])).unwrap();
        layers.auth = AuthLayer::new(sigv4);
    };
    let signed = "authorization: AWS4-HMAC-SHA256 Credential=AKID/20270115/us-east-1/execute-api/\
        aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\nx-amz-date: 20270115T080000Z\r\n";
    vec![
        rejected(Refusal::MissingCredentials),
        Rejected {
            headers: "authorization: Bearer a\r\nauthorization: Bearer b\r\n".to_owned(),
            ..rejected(Refusal::InvalidRequest)
        },
        Rejected {
            headers: "authorization: Bearer none\r\n".to_owned(),
            ..rejected(Refusal::InvalidToken)
        },
        Rejected {
            change: |layers, _| {
                layers.auth = AuthLayer::new(ApiKeys::new::<ApiKeyDigest>([]).unwrap())
            },
            headers: KEY.to_owned(),
            ..rejected(Refusal::InvalidApiKey)
        },
        Rejected {
            change: |layers, _| layers.auth = AuthLayer::new(ApiKeys::store(FailingStore)),
            headers: KEY.to_owned(),
            ..rejected(Refusal::IdentityProviderUnavailable)
        },
        Rejected {
            change: sigv4,
            headers: signed.to_owned(),
            ..rejected(Refusal::InvalidSignature)
        },
    ]
}

fn stage(upstream: SocketAddr, source: TokenSource) -> Stage {
    Stage::new("first", format!("http://{upstream}").parse().unwrap(), source)
}

fn fixed(token: &str) -> TokenSource {
    TokenSource::value(Secret::new(token)).unwrap()
}

async fn check(served: &Served, rejected: &Rejected, credentials: &str) {
    let Rejected { refusal, method, path, headers, body, .. } = rejected;
    let headers = format!("{credentials}{headers}");
    let response = if *refusal == Refusal::PayloadTimeout {
        served.send_part(method, path, &headers, body).await
    } else {
        served.send(method, path, &headers, body).await
    };
    let (slug, status) = (refusal.slug(), refusal.status().as_u16());
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{slug}: {response}");
    assert!(response.contains(&format!("{slug}\"")), "{slug}: {response}");
}

/// Makes each rejection with a gateway of this form. Returns their slugs.
async fn reject_all(token: &'static str, form: Form) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let of_a_caller = of_a_caller().into_iter().map(|rejected| (rejected, true));
    let of_others = of_others().into_iter().map(|rejected| (rejected, false));
    for (rejected, has_bearer) in of_a_caller.chain(of_others) {
        let upstream = Upstream::start().await;
        if let Some(script) = rejected.script {
            upstream.play(script(token));
        }
        let stage = stage(upstream.address, fixed(token));
        let served = Served::start_with(stage, form, rejected.change).await;
        let bearer = if has_bearer { served.credentials() } else { String::new() };
        check(&served, &rejected, &bearer).await;
        // A fault of the upstream needs a request, which has the token.
        let requests = upstream.seen();
        assert_eq!(!requests.is_empty(), rejected.script.is_some(), "{requests:?}");
        assert!(requests.iter().all(|request| request.contains(token)), "{requests:?}");
        assert_clean(&served, token);
        seen.insert(rejected.refusal.slug());
    }

    let upstream = Upstream::start().await;
    let served = Served::start(upstream.address, fixed(token), form).await;
    let expired = rejected(Refusal::ExpiredToken);
    let bearer = served.issuer.token("ann").expired().bearer();
    check(&served, &expired, &format!("authorization: {bearer}\r\n")).await;
    assert_clean(&served, token);
    seen.insert(expired.refusal.slug());

    let source = TokenSource::fetch(|| async { Err::<FetchedToken, _>("the vault is away") });
    let served = Served::start(upstream.address, source, form).await;
    let without = rejected(Refusal::UpstreamTokenUnavailable);
    check(&served, &without, &served.credentials()).await;
    seen.insert(without.refusal.slug());

    // The body of the only target must name a model, which the route does not have.
    let target = Target::new(stage(upstream.address, fixed(token))).model("org/demo");
    let source = fixed(token);
    let served = Served::start_with(stage(upstream.address, source), form, |layers, _| {
        layers.fallback = Some(FallbackLayer::new([target]));
        layers.model_rules = None;
    })
    .await;
    let misconfigured = Rejected {
        path: "/v1/elsewhere",
        body: r#"{"inputs":"Hi"}"#.to_owned(),
        ..rejected(Refusal::Misconfigured)
    };
    check(&served, &misconfigured, &served.credentials()).await;
    assert_clean(&served, token);
    seen.insert(misconfigured.refusal.slug());
    assert_eq!(upstream.seen(), [""; 0]);
    seen
}

fn assert_clean(served: &Served, token: &str) {
    for (output, text) in served.outputs() {
        assert_eq!(leak(&text, token), None, "{output}: {text}");
    }
}

#[tokio::test]
async fn no_rejection_has_the_token() {
    let log = listen();
    let all: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.slug()).collect();
    for token in TOKENS {
        for text_log in [false, true] {
            let form = Form { text_log, ..Form::default() };
            let mut seen = reject_all(token, form).await;
            seen.extend(WITHOUT_A_LAYER.map(Refusal::slug));
            assert_eq!(seen, all);
            assert_eq!(leak(&log.text(), token), None);
        }
    }
}
