//! What `GET /v1/models` shows.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    identity::{Callers, Identity, Proof},
    memory_limit::MemoryLimit,
    model::{Profile, ProviderPolicy},
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    rejection::Rejection,
};

use crate::{
    ISSUER, caller, json as read_json, request,
    support::{ScriptedBody, Step},
    text,
};

/// As the router writes it, spaces and order kept; the second entry has escapes in its names.
const ROUTER: &str = r#"{"object": "list", "data": [
    {"id": "org/one", "object": "model", "owned_by": "org", "providers": [
        {"provider": "together", "status": "live", "context_length": 131072.0},
        {"provider": "groq", "status": "live"} ], "x": 1e400},
    {"\u0069d": "org\/two", "providers": [{"provider": "\u0067roq"}, {"provider":"hf-inference"}]},
    {"id": "other/three", "providers": [{"provider": "together"}]},
    {"id": "org/four", "providers": []},
    {"id": "org/five"},
    {"id": "org/six", "providers": {"provider": "together"}},
    {"id": "org/seven", "providers": [{"status": "live"}, "together", {"provider": ["together"]}]},
    {"id": 8, "providers": [{"provider": "together"}]},
    {"providers": [{"provider": "together"}]},
    "org/nine", null
  ], "models": ["secret/model"], "has_more": true}"#;

fn router(rule: ModelRule) -> ModelRulesLayer {
    ModelRulesLayer::new(Profile::router(), ModelRules::new().allow(rule))
}

/// The answer to `method /v1/models` where the upstream gives `answer`.
async fn listed<B>(
    layer: &ModelRulesLayer,
    method: Method,
    caller: Option<Identity>,
    answer: Response<B>,
) -> Response<ResponseBody<B>>
where
    B: Body<Data = Bytes>,
{
    let answer = Mutex::new(Some(answer));
    let inner = service_fn(|_| {
        let answer = answer.lock().unwrap().take().unwrap();
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    layer.layer(inner).oneshot(request(method, "/v1/models", "", caller)).await.unwrap()
}

fn whole(list: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    response.body(Full::new(list.into())).unwrap()
}

/// What is left of the router's list: each model with its providers.
async fn left(rule: ModelRule, caller: Option<Identity>) -> Vec<(String, Vec<String>)> {
    let answer = listed(&router(rule), Method::GET, caller, whole(ROUTER)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = read_lenient(&text(answer).await);
    let entry = |entry: &Value| {
        let providers = entry["providers"].as_array();
        let name = |provider: &Value| provider["provider"].as_str().unwrap_or("?").to_owned();
        let providers = providers.map(|all| all.iter().map(name).collect()).unwrap_or_default();
        (entry["id"].as_str().unwrap().to_owned(), providers)
    };
    answer["data"].as_array().unwrap().iter().map(entry).collect()
}

/// serde_json does not take the number in the list.
fn read_lenient(text: &str) -> Value {
    serde_json::from_str(&text.replace("1e400", "1")).unwrap()
}

fn rows(rows: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let row = |(model, providers): &(&str, &[&str])| {
        ((*model).to_owned(), providers.iter().map(|name| (*name).to_owned()).collect())
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn forbidden_models_and_providers_are_removed() {
    let together = ModelRule::new(["org/*"]).providers(["together"]);
    assert_eq!(left(together, None).await, rows(&[("org/one", &["together"])]));

    let two = ModelRule::new(["org/*"]).providers(["hf-inference", "groq"]);
    let expected = rows(&[("org/one", &["groq"]), ("org/two", &["groq", "hf-inference"])]);
    assert_eq!(left(two, None).await, expected);

    let exact = ModelRule::new(["other/three", "org/One"]).any_provider();
    assert_eq!(left(exact, None).await, rows(&[("other/three", &["together"])]));

    assert_eq!(left(ModelRule::new(["*"]), None).await, []);
    assert_eq!(left(ModelRule::new(["*"]).providers(["Together"]), None).await, []);
}

#[tokio::test]
async fn a_policy_lists_every_provider() {
    let chosen = ModelRule::new(["org/one", "org/five"]).policies([ProviderPolicy::Cheapest]);
    let expected = rows(&[("org/one", &["together", "groq"]), ("org/five", &[])]);
    assert_eq!(left(chosen, None).await, expected);
}

#[tokio::test]
async fn each_caller_gets_its_own_list() {
    let rule = || {
        ModelRule::new(["*"]).providers(["together"]).callers(Callers::new().tenant(ISSUER, "acme"))
    };
    let globex = Identity::new(Proof::Jwt, ISSUER, "user-7").with_tenant("globex");
    let acme = rows(&[("org/one", &["together"]), ("other/three", &["together"])]);
    assert_eq!(left(rule(), Some(caller())).await, acme);
    assert_eq!(left(rule(), Some(globex)).await, []);
    assert_eq!(left(rule(), None).await, []);
}

#[tokio::test]
async fn remaining_entries_keep_their_bytes() {
    let layer = router(ModelRule::new(["org/*"]).providers(["together", "hf-inference"]));
    let answer = listed(&layer, Method::GET, None, whole(ROUTER)).await;
    let expected = r#"{"object":"list","data":[{"id": "org/one", "object": "model", "owned_by": "org", "providers": [{"provider": "together", "status": "live", "context_length": 131072.0}], "x": 1e400},{"\u0069d": "org\/two", "providers": [{"provider":"hf-inference"}]}]}"#;
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], expected.len().to_string());
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(text(answer).await, expected);

    // An entry that loses nothing is not written anew.
    let layer = router(ModelRule::new(["org/one"]).providers(["together", "groq"]));
    let answer = text(listed(&layer, Method::GET, None, whole(ROUTER)).await).await;
    let entry =
        ROUTER.find(r#"{"id": "org/one""#).unwrap()..ROUTER.find(",\n    {\"\\u0069d").unwrap();
    assert_eq!(answer, format!(r#"{{"object":"list","data":[{}]}}"#, &ROUTER[entry]));
}

#[tokio::test]
async fn a_server_lists_only_allowed_models() {
    let list = json!({"object": "list", "data": [{"id": "a/b:c"}, {"id": "a/d"}, {"id": "x"}],
        "models": [{"name": "x"}]});
    let rules =
        ModelRules::new().allow(ModelRule::new(["a/*"]).callers(Callers::new().scope("infer")));
    let layer = ModelRulesLayer::new(Profile::compatible(), rules);
    for (who, expected) in [
        (Some(caller()), json!({"object": "list", "data": [{"id": "a/b:c"}, {"id": "a/d"}]})),
        (None, json!({"object": "list", "data": []})),
    ] {
        let answer = listed(&layer, Method::GET, who, whole(list.to_string())).await;
        assert_eq!(read_json(answer).await, expected);
    }
}

#[tokio::test]
async fn an_endpoints_list_needs_permission_for_its_model() {
    let rules =
        ModelRules::new().allow(ModelRule::new(["org/m"]).callers(Callers::new().scope("infer")));
    let layer = ModelRulesLayer::new(Profile::endpoint("org/m"), rules);
    let list = r#"{"object":"list","data":[{"id":"/repository"}]}"#;
    let answer = listed(&layer, Method::GET, Some(caller()), whole(list)).await;
    assert_eq!(text(answer).await, list);
    let answer = listed(&layer, Method::GET, None, whole(list)).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_unreadable_list_is_rejected() {
    let layer = router(ModelRule::new(["*"]).any_provider()).max_list_bytes(1_000);
    let coded = |coding: &str| {
        let mut coded = whole(r#"{"data":[]}"#);
        coded.headers_mut().insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        coded
    };
    let mut announced = whole(r#"{"data":[]}"#);
    announced.headers_mut().insert(header::CONTENT_LENGTH, 1_001.into());
    let mut rows = vec![
        ("not json", whole("secret/model")),
        ("empty", whole("")),
        ("cut", whole(r#"{"data":[{"id":"secret/model"}"#)),
        ("twice", whole(r#"{"data":[],"data":[{"id":"secret/model"}]}"#)),
        ("no list", whole(r#"{"id":"secret/model"}"#)),
        ("no object", whole(r#"[{"id":"secret/model"}]"#)),
        ("no array", whole(r#"{"data":{"id":"secret/model"}}"#)),
        ("null", whole(r#"{"data":null}"#)),
        ("too long", whole(format!(r#"{{"data":[{}]}}"#, " ".repeat(1_000)))),
        ("announced too long", announced),
        ("gzip", coded("gzip")),
        ("two codings", coded("identity, br")),
        ("too deep", whole(format!(r#"{{"data":{}{}}}"#, "[".repeat(200), "]".repeat(200)))),
    ];
    *rows[0].1.status_mut() = StatusCode::PARTIAL_CONTENT;
    for (what, answer) in rows {
        let answer = listed(&layer, Method::GET, None, answer).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{what}");
        assert!(answer.extensions().get::<Rejection>().is_some(), "{what}");
        let answer = read_json(answer).await;
        assert_eq!(answer["type"], "urn:tower-inference:refusal:upstream-unavailable", "{what}");
        assert!(!answer.to_string().contains("secret"), "{what}");
    }
    assert_eq!(listed(&layer, Method::GET, None, coded("Identity")).await.status(), 200);
}

#[tokio::test]
async fn the_limit_applies_while_the_list_arrives() {
    let layer = router(ModelRule::new(["*"]).any_provider()).max_list_bytes(20);
    let body = |data| ScriptedBody::new([Step::Data(b"{\"data\":["), Step::Pending, data]);
    let fits = body(Step::Data(b"        ]}"));
    let answer = listed(&layer, Method::GET, None, Response::new(fits)).await;
    assert_eq!(text(answer).await, r#"{"object":"list","data":[]}"#);
    let over = body(Step::Data(b"          ]}"));
    let answer = listed(&layer, Method::GET, None, Response::new(over)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let broken = body(Step::Error);
    let answer = listed(&layer, Method::GET, None, Response::new(broken)).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn many_frames_and_trailers_change_nothing() {
    let digest: HeaderMap = [(header::ETAG, "\"whole\"".parse().unwrap())].into_iter().collect();
    let mut steps: Vec<Step> =
        ROUTER.as_bytes().chunks(3).map(|piece| Step::Bytes(Bytes::from_static(piece))).collect();
    steps.push(Step::Trailers(digest));
    let layer = router(ModelRule::new(["org/*"]).providers(["together"]));
    let answer = listed(&layer, Method::GET, None, Response::new(ScriptedBody::new(steps))).await;
    let Ok(answer) = answer.into_body().collect().await else { panic!("broken") };
    assert!(answer.trailers().is_none());
    let whole = answer.to_bytes();
    assert!(whole.starts_with(br#"{"object":"list","data":[{"id": "org/one""#));
}

#[tokio::test]
async fn other_statuses_pass_unchanged() {
    let layer = router(ModelRule::new(["*"]));
    for status in [304, 307, 401, 404, 429, 500, 503] {
        let mut answer = whole("as it came");
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer.headers_mut().insert(header::RETRY_AFTER, 7.into());
        let answer = listed(&layer, Method::GET, None, answer).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "7");
        assert_eq!(text(answer).await, "as it came");
    }
}

const OF_THE_WHOLE: [&str; 14] = [
    "accept-ranges",
    "age",
    "cdn-cache-control",
    "content-digest",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "expires",
    "last-modified",
    "repr-digest",
    "surrogate-control",
    "trailer",
    "transfer-encoding",
];

#[tokio::test]
async fn headers_of_the_unfiltered_list_are_removed() {
    for method in [Method::GET, Method::HEAD] {
        let head = method == Method::HEAD;
        // A service that is no server may leave the body there.
        let mut answer = whole(r#"{"data":[]}"#);
        for name in OF_THE_WHOLE {
            answer.headers_mut().insert(name, "x".parse().unwrap());
        }
        answer.headers_mut().insert("content-length", "11".parse().unwrap());
        answer.headers_mut().insert("cache-control", "public, max-age=60".parse().unwrap());
        answer.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
        let answer = listed(&router(ModelRule::new(["*"])), method, None, answer).await;
        let mut fields: Vec<_> = answer.headers().keys().map(|name| name.as_str()).collect();
        fields.sort_unstable();
        let mut expected = vec!["cache-control", "content-type", "x-request-id"];
        if !head {
            expected.insert(1, "content-length");
            assert_eq!(answer.headers()["content-length"], "27");
        }
        assert_eq!(fields, expected);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(text(answer).await.is_empty(), head);
    }
}

#[tokio::test]
async fn the_request_is_for_the_whole_list_without_coding() {
    let inner = service_fn(|request: Request<_>| async move {
        let mut fields: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["accept-encoding", "content-type", "x-request-id"]);
        assert_eq!(request.headers()["accept-encoding"], "identity");
        assert!(RequestContext::of(request.extensions()).unwrap().response_is_read());
        Ok::<_, Infallible>(whole(r#"{"data":[]}"#))
    });
    let mut request = request(Method::GET, "/v1/models?limit=1", "", None);
    for name in [
        "accept-encoding",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "x-request-id",
    ] {
        request.headers_mut().append(name, "x".parse().unwrap());
    }
    let answer = router(ModelRule::new(["*"])).layer(inner).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn other_paths_to_the_list_are_rejected() {
    let layer = router(ModelRule::new(["*"]).any_provider());
    for (method, path) in [
        (Method::GET, "/v1/models/"),
        (Method::GET, "//v1/models"),
        (Method::GET, "/v1//models"),
        (Method::GET, "/v1/%6dodels"),
        (Method::GET, "/v1/./models"),
        (Method::GET, "/V1/models"),
        (Method::GET, "/v1/models/org/one"),
        (Method::GET, "/together/v1/models"),
        (Method::POST, "/v1/models"),
        (Method::OPTIONS, "/v1/models"),
        (Method::GET, "/api/models"),
    ] {
        let said = format!("{method} {path}");
        let asked = request(method, path, "", Some(caller()));
        assert!(!crate::passes(&layer, asked).await, "{said}");
    }
    // Opening it does not stop its being filtered.
    let layer = router(ModelRule::new(["*"])).open_route(Method::GET, "/v1/models");
    let answer = listed(&layer, Method::GET, None, whole(r#"{"data":[{"id":"m"}]}"#)).await;
    assert_eq!(read_json(answer).await["data"], json!([]));
}

#[tokio::test]
async fn the_inner_error_passes_untouched() {
    let failing = service_fn(|_| async { Err::<Response<Full<Bytes>>, _>(io::ErrorKind::Other) });
    let layer = router(ModelRule::new(["*"]));
    let asked = request(Method::GET, "/v1/models", "", None);
    assert_eq!(layer.layer(failing).oneshot(asked).await.err(), Some(io::ErrorKind::Other));
}

#[tokio::test]
async fn a_dropped_request_drops_the_upstreams_list() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let inner = service_fn(move |_| {
        let body = ScriptedBody::new([Step::Data(b"{"), Step::Stall]);
        let mut response = Response::new(body);
        response.extensions_mut().insert(Arc::clone(&inside));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let asked = request(Method::GET, "/v1/models", "", None);
    {
        let service = router(ModelRule::new(["*"])).layer(inner);
        let mut future = pin!(service.oneshot(asked));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&held), 2);
    }
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn debug_output_does_not_contain_the_list() {
    let list = whole(r#"{"data":[{"id":"canary"}]}"#);
    let layer =
        ModelRulesLayer::new(Profile::compatible(), ModelRules::new().allow(ModelRule::new(["*"])));
    let answer = listed(&layer, Method::GET, None, list).await;
    assert!(!format!("{:?}", answer.body()).contains("canary"));
    assert!(text(answer).await.contains("canary"));
}

#[tokio::test]
async fn lists_share_one_memory_limit_until_they_are_sent() {
    let limit = MemoryLimit::new(9 << 20);
    let layer = router(ModelRule::new(["*"]).any_provider()).memory_limit(limit.clone());
    let long = || {
        let entry = format!(r#"{{"id":"org/one","x":"{}"}}"#, "x".repeat(2 << 20));
        whole(format!(r#"{{"object":"list","data":[{entry}]}}"#))
    };
    let first = listed(&layer, Method::GET, Some(caller()), long()).await;
    assert_eq!(first.status(), StatusCode::OK);
    // What was read is dropped once it is filtered.
    assert!((2 << 20..3 << 20).contains(&limit.taken_bytes()), "{}", limit.taken_bytes());
    let second = listed(&layer, Method::GET, Some(caller()), long()).await;
    let third = listed(&layer, Method::GET, Some(caller()), long()).await;
    assert_eq!(
        (second.status(), third.status()),
        (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(third.headers()[header::RETRY_AFTER], "1");
    drop((first, second));
    assert_eq!(limit.taken_bytes(), 0);
}
