//! Who may use what.

use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    identity::{Callers, Identity, Proof},
    model::{BodyForm, Profile, ProviderPolicy, Target},
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::Payload,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use crate::{CHAT, ISSUER, asked, caller, chat, json as read_json, passes, request};

fn router(rules: impl IntoIterator<Item = ModelRule>) -> ModelRulesLayer {
    ModelRulesLayer::new(Profile::router(), all_of(rules))
}

fn all_of(rules: impl IntoIterator<Item = ModelRule>) -> ModelRules {
    rules.into_iter().fold(ModelRules::new(), ModelRules::allow)
}

#[tokio::test]
async fn nothing_is_allowed_by_default() {
    for upstream in [Profile::router(), Profile::compatible(), Profile::endpoint("m")] {
        let layer = ModelRulesLayer::new(upstream, ModelRules::new());
        assert!(!passes(&layer, chat("m:together", Some(caller()))).await);
    }
    // Nor any provider, by a rule for the model alone.
    let layer = router([ModelRule::new(["*"])]);
    for model in ["m", "m:together", "m:fastest"] {
        assert!(!passes(&layer, chat(model, Some(caller()))).await, "{model}");
    }
    assert!(!passes(&layer, request(Method::POST, "/models/m", "{}", None)).await);
}

#[tokio::test]
async fn a_rule_names_a_model_an_owner_or_all() {
    let layer = router([ModelRule::new(["meta-llama/*", "org/one", "gpt2"]).any_provider()]);
    for model in ["meta-llama/A", "meta-llama/b.c", "org/one", "gpt2"] {
        assert!(passes(&layer, chat(model, None)).await, "{model}");
    }
    for model in [
        "Meta-Llama/A",
        "meta-llama-2/A",
        "meta-llama",
        "org/One",
        "org/one1",
        "org/on",
        "ORG/one",
        "gpt2-xl",
        "x/gpt2",
    ] {
        assert!(!passes(&layer, chat(model, None)).await, "{model}");
    }
    assert!(passes(&router([ModelRule::new(["*"]).any_provider()]), chat("any/thing", None)).await);
    // A star anywhere else is no pattern.
    let layer = router([ModelRule::new(["meta*", "*/A", "org/o*"]).any_provider()]);
    for model in ["meta-llama/A", "org/one"] {
        assert!(!passes(&layer, chat(model, None)).await, "{model}");
    }
}

#[tokio::test]
async fn only_listed_providers_are_allowed() {
    let layer = router([ModelRule::new(["org/*"]).providers(["together", "hf-inference"])]);
    let post = |path, body| request(Method::POST, path, body, None);
    let model = r#"{"model":"org/m"}"#;

    assert!(passes(&layer, chat("org/m:together", None)).await);
    assert!(passes(&layer, chat("org/m:hf-inference", None)).await);
    assert!(passes(&layer, post("/hf-inference/models/org/m", "{}")).await);
    assert!(passes(&layer, post("/models/org/m/pipeline/feature-extraction", "{}")).await);
    assert!(passes(&layer, post("/together/v1/chat/completions", model)).await);

    for model in ["org/m", "org/m:fastest", "org/m:cheapest", "org/m:groq", "org/m:Together"] {
        assert!(!passes(&layer, chat(model, None)).await, "{model}");
    }
    assert!(!passes(&layer, post("/hf-inference/models/other/m", "{}")).await);
    for path in [
        "/groq/openai/v1/chat/completions",
        "/Together/v1/chat/completions",
        // Which model of Together's is not known.
        "/together/v1/files",
    ] {
        assert!(!passes(&layer, post(path, model)).await, "{path}");
    }
}

#[tokio::test]
async fn a_policy_is_allowed_only_by_its_name() {
    let layer =
        router([ModelRule::new(["m"]).providers(["together"]).policies([ProviderPolicy::Fastest])]);
    for (model, allowed) in [
        ("m", true),
        ("m:fastest", true),
        ("m:together", true),
        ("m:cheapest", false),
        ("m:preferred", false),
        ("m:FASTEST", false),
        ("m:groq", false),
    ] {
        assert_eq!(passes(&layer, chat(model, None)).await, allowed, "{model}");
    }
    // A policy is no provider of that name.
    let layer = router([ModelRule::new(["m"]).providers(["fastest"])]);
    assert!(!passes(&layer, chat("m", None)).await);
    assert!(!passes(&layer, chat("m:fastest", None)).await);
}

#[tokio::test]
async fn the_own_routes_of_a_provider_need_it_in_the_list() {
    let post = |path| request(Method::POST, path, r#"{"model":"m"}"#, None);
    let any = router([ModelRule::new(["*"]).any_provider()]);
    for path in ["/together/v1/chat/completions", "/fal-ai/flux", "/api/whoami-v2", "/_x/y"] {
        assert!(!passes(&any, post(path)).await, "{path}");
    }
    let listed = router([ModelRule::new(["*"]).providers(["fal-ai"])]);
    assert!(passes(&listed, post("/fal-ai/flux")).await);
    assert!(passes(&listed, request(Method::GET, "/fal-ai/flux/requests/1", "", None)).await);
    assert!(!passes(&listed, post("/together/v1/chat/completions")).await);
}

#[tokio::test]
async fn conditions_compare_the_caller() {
    let other = |issuer, tenant: &str| {
        Identity::new(Proof::Jwt, issuer, "user-8").with_tenant(tenant).with_scopes(["read"])
    };
    let groups = || caller().with_claim("groups", json!(["ml", "ops"])).with_claim("plan", "pro");
    let m = || ModelRule::new(["m"]).any_provider();
    let c = Callers::new;
    let rows: [(&str, ModelRule, Option<Identity>, bool); 24] = [
        ("everyone", m(), None, true),
        ("everyone", m(), Some(caller()), true),
        ("scope", m().callers(c().scope("infer")), Some(caller()), true),
        ("scope", m().callers(c().scope("infer")), Some(other(ISSUER, "acme")), false),
        ("scope", m().callers(c().scope("Infer")), Some(caller()), false),
        ("scope", m().callers(c().scope("infer")), None, false),
        ("both scopes", m().callers(c().scope("infer").scope("more")), Some(caller()), false),
        ("issuer", m().callers(c().issuer(ISSUER)), Some(caller()), true),
        (
            "issuer",
            m().callers(c().issuer(ISSUER)),
            Some(other("https://b.example", "acme")),
            false,
        ),
        ("issuer", m().callers(c().issuer(ISSUER)), None, false),
        ("tenant", m().callers(c().tenant(ISSUER, "acme")), Some(caller()), true),
        ("tenant", m().callers(c().tenant(ISSUER, "acme")), Some(other(ISSUER, "acme")), true),
        ("tenant", m().callers(c().tenant(ISSUER, "acme")), Some(other(ISSUER, "Acme")), false),
        (
            "tenant",
            m().callers(c().tenant(ISSUER, "acme")),
            Some(other("https://b.example", "acme")),
            false,
        ),
        (
            "tenant",
            m().callers(c().tenant(ISSUER, "")),
            Some(Identity::new(Proof::Jwt, ISSUER, "x")),
            false,
        ),
        (
            "principal",
            m().callers(c().principal(Proof::Jwt, ISSUER, "user-7")),
            Some(caller()),
            true,
        ),
        (
            "principal",
            m().callers(c().principal(Proof::ApiKey, ISSUER, "user-7")),
            Some(caller()),
            false,
        ),
        (
            "principal",
            m().callers(c().principal(Proof::Jwt, ISSUER, "user-8")),
            Some(caller()),
            false,
        ),
        ("principal", m().callers(c().principal(Proof::Jwt, "x", "user-7")), Some(caller()), false),
        ("claim", m().callers(c().claim("plan", "pro")), Some(groups()), true),
        ("claim", m().callers(c().claim_contains("groups", "ml")), Some(groups()), true),
        ("claim", m().callers(c().claim_contains("groups", "m")), Some(groups()), false),
        ("claim", m().callers(c().claim("plan", "pro")), Some(caller()), false),
        (
            "claim and scope",
            m().callers(c().claim("plan", "pro").scope("more")),
            Some(groups()),
            false,
        ),
    ];
    for (what, rule, who, allowed) in rows {
        let said = format!("{what}: {rule:?} {who:?}");
        assert_eq!(passes(&router([rule]), chat("m", who)).await, allowed, "{said}");
    }
}

#[tokio::test]
async fn one_matching_rule_in_any_order_is_enough() {
    let one =
        || ModelRule::new(["a/*"]).providers(["together"]).callers(Callers::new().scope("infer"));
    let two = || ModelRule::new(["b/*"]).providers(["groq"]);
    for rules in [[one(), two()], [two(), one()]] {
        let layer = router(rules);
        assert!(passes(&layer, chat("a/m:together", Some(caller()))).await);
        assert!(passes(&layer, chat("b/m:groq", None)).await);
        // The model of one rule and the provider of the other.
        assert!(!passes(&layer, chat("a/m:groq", Some(caller()))).await);
        assert!(!passes(&layer, chat("b/m:together", Some(caller()))).await);
        assert!(!passes(&layer, chat("a/m:together", None)).await);
    }
}

#[tokio::test]
async fn rules_of_two_tenants_are_separate() {
    let layer = router([
        ModelRule::new(["org/*"])
            .providers(["together"])
            .callers(Callers::new().tenant(ISSUER, "acme")),
        ModelRule::new(["*"])
            .providers(["hf-inference"])
            .callers(Callers::new().tenant(ISSUER, "globex")),
    ]);
    let of = |tenant: &str| Some(Identity::new(Proof::Jwt, ISSUER, "user-7").with_tenant(tenant));
    for (tenant, model, allowed) in [
        ("acme", "org/m:together", true),
        ("acme", "org/m:hf-inference", false),
        ("acme", "other/m:together", false),
        ("globex", "org/m:together", false),
        ("globex", "org/m:hf-inference", true),
        ("globex", "other/m:hf-inference", true),
        ("initech", "org/m:together", false),
    ] {
        assert_eq!(passes(&layer, chat(model, of(tenant))).await, allowed, "{tenant} {model}");
    }
}

#[tokio::test]
async fn an_endpoints_model_has_the_operators_name() {
    let rules = || all_of([ModelRule::new(["org/m"]).callers(Callers::new().scope("infer"))]);
    let layer = ModelRulesLayer::new(Profile::endpoint("org/m"), rules());
    for model in ["tgi", "http://127.0.0.1:55563/v1", "evil/model"] {
        assert!(passes(&layer, chat(model, Some(caller()))).await, "{model}");
        assert!(!passes(&layer, chat(model, None)).await, "{model}");
    }
    assert!(passes(&layer, request(Method::POST, "/embed", "{}", Some(caller()))).await);
    let layer = ModelRulesLayer::new(Profile::endpoint("org/other"), rules());
    assert!(!passes(&layer, chat("org/m", Some(caller()))).await);
}

#[tokio::test]
async fn routes_without_a_model_are_rejected_until_opened() {
    let health = |path| request(Method::GET, path, "", None);
    let closed = ModelRulesLayer::new(Profile::endpoint("m"), all_of([ModelRule::new(["*"])]));
    for path in ["/health", "/metrics", "/info", "/v1/models/m"] {
        assert!(!passes(&closed, health(path)).await, "{path}");
    }
    let open = closed.open_route(Method::GET, "/health");
    assert!(passes(&open, health("/health")).await);
    for path in ["/health/", "//health", "/Health", "/%68ealth", "/metrics"] {
        assert!(!passes(&open, health(path)).await, "{path}");
    }
    assert!(!passes(&open, request(Method::POST, "/health", "", None)).await);
}

// === rejections ===

#[tokio::test]
async fn a_rejection_names_neither_model_nor_provider() {
    let layer = router([ModelRule::new(["m"]).providers(["together"])]);
    let secret = "sekret/model:sekret-provider";
    let bodies = [
        (format!(r#"{{"model":"{secret}"}}"#), 403, "forbidden"),
        (format!(r#"{{"model":"https://{secret}"}}"#), 403, "forbidden"),
        (format!(r#"{{"model":"m:together","models":["{secret}"]}}"#), 403, "forbidden"),
        (format!(r#"{{"prompt":"{secret}"}}"#), 400, "malformed-payload"),
        (format!(r#"{{"model":null,"x":"{secret}"}}"#), 400, "malformed-payload"),
    ];
    for (body, status, slug) in bodies {
        let (response, called) = asked(&layer, request(Method::POST, CHAT, &body, None)).await;
        assert!(!called);
        assert_eq!(response.status(), status, "{body}");
        let answer = read_json(response).await;
        assert_eq!(answer["type"], format!("urn:tower-inference:refusal:{slug}"), "{body}");
        assert_eq!(answer["error"]["message"], answer["detail"]);
        assert!(!answer.to_string().contains("sekret"), "{answer}");
    }
}

#[tokio::test]
async fn a_streamed_body_that_would_have_to_be_read_is_415() {
    let layer = router([ModelRule::new(["*"]).any_provider()]);
    let mut streamed = chat("m", None);
    *streamed.body_mut() = Payload::streamed(Full::from(r#"{"model":"m"}"#));
    let (response, called) = asked(&layer, streamed).await;
    assert!(!called);
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn rejections_have_the_chosen_format() {
    let layer = router([]).rejections(RejectionFormat::ApiGateway);
    let (response, _) = asked(&layer, chat("m", None)).await;
    assert_eq!(response.headers()["x-amzn-errortype"], "AccessDeniedException");

    let mut grpc = chat("m", None);
    grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let (response, called) = asked(&router([]), grpc).await;
    assert!(!called);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "3", "the type of its body is not JSON");

    let mut grpc = request(Method::POST, "/tei.v1.Embed/Embed", "", None);
    grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let upstream = Profile::endpoint("m").route("/tei.v1.Embed/Embed", BodyForm::Unknown);
    let (response, called) = asked(&ModelRulesLayer::new(upstream, ModelRules::new()), grpc).await;
    assert!(!called);
    assert_eq!(response.headers()["grpc-status"], "7");
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

// === the record ===

#[tokio::test]
async fn the_context_has_the_target_of_every_request() {
    let layer = router([ModelRule::new(["org/m"]).providers(["together"])]);
    for (request, target) in [
        (chat("org/m:together", None), Some("org/m:together")),
        (chat("org/m", None), Some("org/m:fastest")),
        (chat("org/m:groq", None), Some("org/m:groq")),
        (request(Method::POST, "/models/org/m", "{}", None), Some("org/m:hf-inference")),
        (request(Method::POST, "/fal-ai/x", "{}", None), Some("*:fal-ai")),
        (chat("https://evil.example", None), None),
        (request(Method::GET, "/v1/models", "", None), None),
    ] {
        let context = RequestContext::of(request.extensions()).unwrap().clone();
        context.set_model("alias");
        asked(&layer, request).await;
        assert_eq!(context.target(), target);
        // A fallback further in may choose another one.
        context.set_target("later");
        assert_eq!(context.target(), Some("later"));
        assert_eq!(context.model(), Some("alias"));
    }
}

#[tokio::test]
async fn the_context_has_the_refusal() {
    let request = chat("m", None);
    let context = RequestContext::of(request.extensions()).unwrap().clone();
    let (response, _) = asked(&router([]), request).await;
    assert_eq!(context.outcome().rejection, Some("forbidden"));
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal(), Refusal::Forbidden);
}

#[tokio::test]
async fn an_allowed_request_passes_unchanged() {
    let layer = router([ModelRule::new(["*"]).any_provider()]);
    let inner = service_fn(|request: Request<Payload>| async move {
        assert_eq!(request.uri(), "/v1/chat/completions?x=%2F");
        assert_eq!(request.headers().len(), 3);
        assert_eq!(request.headers()["if-none-match"], "\"x\"");
        assert_eq!(request.body().bytes().unwrap(), r#"{ "model" : "m" }"#);
        assert!(!RequestContext::of(request.extensions()).unwrap().response_is_read());
        Ok::<_, Infallible>(Response::builder().header("etag", "7").body(Full::from("x")).unwrap())
    });
    let path = "/v1/chat/completions?x=%2F";
    let mut request = request(Method::POST, path, r#"{ "model" : "m" }"#, None);
    request.headers_mut().insert("if-none-match", "\"x\"".parse().unwrap());
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["etag"], "7");
}

#[tokio::test]
async fn claims_that_no_caller_has_are_counted() {
    let rules = ModelRules::new()
        .allow(ModelRule::new(["m"]).callers(Callers::new().claim("plan", "pro")))
        .allow(ModelRule::new(["n"]).callers(Callers::new().claim_contains("plans", "pro")));
    let layer = ModelRulesLayer::new(Profile::compatible(), rules.clone());
    for _ in 0..3 {
        let caller = caller().with_claim("plan", "free");
        assert!(!passes(&layer, chat("m", Some(caller))).await);
    }
    let unseen = rules.unseen_claims().map(|(path, requests)| (path.to_string(), requests));
    assert_eq!(unseen.collect::<Vec<_>>(), [("plans".to_owned(), 3)]);
}

#[test]
fn the_rule_that_decides_is_told_by_its_place() {
    let rules = ModelRules::new()
        .allow(ModelRule::new(["a/*"]).callers(Callers::new().scope("x")))
        .allow(ModelRule::new(["a/*"]).callers(Callers::new().scope("infer")))
        .allow(ModelRule::new(["a/m"]));
    let caller = caller();
    let by = |model: &str, caller| rules.allowed_by(&Target::new(model), caller);
    assert_eq!(by("a/m", Some(&caller)), Some(1));
    assert_eq!(by("a/m", None), Some(2));
    assert_eq!(by("a/n", None), None);
}
