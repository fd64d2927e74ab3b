//! Rules that allow callers to use routes, and the metadata that leads clients to a token.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    auth::{AccessRule, AccessRules, AuthError, AuthLayer, CustomAuth, ResourceMetadata},
    context::RequestContext,
    identity::{Callers, Identity, Proof},
    model_rules::{ModelRule, ModelRules},
    rejection::{Refusal, RejectionFormat},
};

use super::{
    Outcome, bearer,
    issuer::{ISSUER, token},
    jwt,
    methods::Sessions,
    send,
};

fn with_rules(rules: impl IntoIterator<Item = AccessRule>) -> AuthLayer {
    let rules = rules.into_iter().fold(AccessRules::new(), AccessRules::allow);
    AuthLayer::new(jwt()).rules(rules).unwrap()
}

async fn call(layer: &AuthLayer, method: Method, path: &str, claims: Value) -> Outcome {
    let mut request = bearer(&token("EdDSA", claims));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    send(layer, request).await
}

async fn post(layer: &AuthLayer, path: &str, claims: Value) -> Outcome {
    call(layer, Method::POST, path, claims).await
}

#[tokio::test]
async fn without_a_rule_that_allows_it_every_request_is_denied() {
    let outcome = post(&with_rules([]), "/v1/chat/completions", json!({})).await;
    assert_eq!(outcome.refusal(), Some(Refusal::Forbidden));
    assert_eq!((outcome.status.as_u16(), outcome.calls), (403, 0));

    let layer = with_rules([AccessRule::new("read", Callers::new()).methods([Method::GET])]);
    assert!(call(&layer, Method::GET, "/v1/models", json!({})).await.passed());
    let outcome = post(&layer, "/v1/models", json!({})).await;
    assert_eq!(outcome.refusal(), Some(Refusal::Forbidden));
    assert_eq!(outcome.challenge(), "");
}

#[tokio::test]
async fn a_rule_applies_to_its_paths_without_their_query() {
    let layer = with_rules([AccessRule::new("v1", Callers::new()).path("/v1/*")]);
    for (path, passes) in [
        ("/v1/chat/completions", true),
        ("/v1/models?x=/admin", true),
        ("/admin?x=/v1/models", false),
        ("/v1/../admin", false),
        ("/v1/%2e%2e/admin", false),
        ("/v1//admin", false),
        ("/v10/models", false),
    ] {
        assert_eq!(post(&layer, path, json!({})).await.passed(), passes, "{path}");
    }
}

#[tokio::test]
async fn missing_scopes_are_named_in_the_challenge() {
    let callers = Callers::new().scope("infer").any_scope(["write", "admin"]);
    let layer = with_rules([AccessRule::new("chat", callers).path("/v1/*")]);
    let outcome = post(&layer, "/v1/chat/completions", json!({ "scope": "infer" })).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InsufficientScope));
    assert_eq!(outcome.status, 403);
    let challenge = concat!(
        r#"Bearer error="insufficient_scope", "#,
        r#"error_description="this needs the scopes `infer write`", scope="infer write""#,
    );
    assert_eq!(outcome.challenge(), challenge);
    for scope in ["infer write", "admin infer"] {
        let outcome = post(&layer, "/v1/chat/completions", json!({ "scope": scope })).await;
        assert!(outcome.passed(), "{scope}");
    }
    // More scopes would not help on another path.
    let outcome = post(&layer, "/admin", json!({ "scope": "infer" })).await;
    assert_eq!(outcome.refusal(), Some(Refusal::Forbidden));
}

#[tokio::test]
async fn rules_see_all_claims_and_count_those_that_no_caller_has() {
    let rule = |name: &str, callers| AccessRule::new(name, callers);
    let layer = with_rules([
        rule("tier", Callers::new().claim("limits.tier", 2)),
        rule("team", Callers::new().claim_contains("https://acme.example/teams", "ml")),
        rule("typo", Callers::new().claim("limit.tier", 2)),
    ]);
    assert!(post(&layer, "/", json!({ "limits": { "tier": 2 } })).await.passed());
    assert!(post(&layer, "/", json!({ "https://acme.example/teams": ["ml"] })).await.passed());
    assert!(!post(&layer, "/", json!({ "limits": { "tier": "2" } })).await.passed());
    let unseen = layer.access_rules().unwrap().unseen_claims();
    let unseen = unseen.map(|(path, requests)| (path.to_string(), requests)).collect::<Vec<_>>();
    assert_eq!(unseen, [("limit.tier".to_owned(), 3)]);
}

#[test]
fn a_rule_over_what_no_credential_has_is_an_error() {
    for (callers, fact) in [
        (Callers::new().role("dev"), "role"),
        (Callers::new().group("ml"), "group"),
        (Callers::new().plan("pro"), "plan"),
        (Callers::new().tenant(ISSUER, "acme"), "tenant"),
    ] {
        let rules = AccessRules::new()
            .allow(AccessRule::new("all", Callers::new()))
            .allow(AccessRule::new("some", callers.clone()));
        let error = AuthLayer::new(jwt()).rules(rules.clone()).unwrap_err();
        assert_eq!(error, AuthError::UnknownFact { rule: "some".into(), fact }, "{fact}");
        // A method of the user's own may know it.
        let layer = AuthLayer::new(jwt()).or(CustomAuth::new(Sessions::default()));
        assert!(layer.rules(rules).is_ok(), "{fact}");

        let models = ModelRules::new()
            .allow(ModelRule::new(["*"]))
            .allow(ModelRule::new(["*"]).callers(callers));
        let error = AuthLayer::new(jwt()).check_callers(models.callers()).unwrap_err();
        assert_eq!(error, AuthError::UnknownFact { rule: "".into(), fact }, "{fact}");
    }
    let issuer = Callers::new().issuer(ISSUER).scope("infer").subject(ISSUER, "a*");
    assert_eq!(AuthLayer::new(jwt()).check_callers([&issuer]), Ok(()));
}

#[tokio::test]
async fn two_layers_judge_one_token_each_for_itself() {
    let strict = with_rules([AccessRule::new("write", Callers::new().scope("write"))]);
    let lenient = with_rules([AccessRule::new("read", Callers::new().scope("read"))]);
    for _ in 0..2 {
        let claims = json!({ "scope": "read" });
        assert!(post(&lenient, "/", claims.clone()).await.passed());
        assert!(!post(&strict, "/", claims).await.passed());
    }
}

#[tokio::test]
async fn rules_read_the_path_before_a_router_removed_its_prefix() {
    use axum::{Router, extract::OriginalUri, routing::any};
    let handler = |request: axum::extract::Request| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        context.identity().unwrap().subject().to_owned()
    };
    let rules = || AccessRules::new().allow(AccessRule::new("a", Callers::new()).path("/team-a/*"));
    let status = async |layer: AuthLayer, path: &str| {
        let nested = Router::new().route("/chat", any(handler)).layer(layer);
        let router = Router::new().nest("/team-a", nested.clone()).nest("/team-b", nested);
        let mut request = bearer(&token("EdDSA", json!({})));
        *request.uri_mut() = path.parse().unwrap();
        router.oneshot(request.map(axum::body::Body::new)).await.unwrap().status().as_u16()
    };
    let layer = || AuthLayer::new(jwt()).rules(rules()).unwrap();
    let original =
        || layer().original_uri(|extensions| extensions.get::<OriginalUri>().map(|uri| &uri.0));
    assert_eq!(status(original(), "/team-a/chat").await, 200);
    assert_eq!(status(original(), "/team-b/chat").await, 403);
    // Without the original every path is another one.
    assert_eq!(status(layer(), "/team-a/chat").await, 403);
}

#[tokio::test]
async fn a_denied_identity_reaches_neither_the_service_nor_the_context() {
    let layer = with_rules([]).identity_extension();
    let context = RequestContext::default();
    let mut request = bearer(&token("EdDSA", json!({})));
    request.extensions_mut().insert(context.clone());
    let service = layer.layer(service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    }));
    assert_eq!(service.oneshot(request).await.unwrap().status(), 403);
    assert_eq!(context.identity(), None);
}

#[tokio::test]
async fn every_format_has_the_denial() {
    let layer = with_rules([]).rejections(RejectionFormat::ApiGateway);
    let outcome = post(&layer, "/", json!({})).await;
    assert_eq!(outcome.headers["x-amzn-errortype"], "AccessDeniedException");
}

#[test]
fn explanation_names_each_rule_and_what_is_missing() {
    let rules = AccessRules::new()
        .allow(AccessRule::new("chat", Callers::new().scope("infer")).path("/v1/*"))
        .allow(AccessRule::new("team", Callers::new().role("dev").scope("x")).path("/v1/*"))
        .allow(AccessRule::new("read", Callers::new()).methods([Method::GET]))
        .allow(AccessRule::new("admin", Callers::new()).path("/admin"));
    let caller = Identity::new(Proof::Jwt, ISSUER, "user-7");
    let explain = |caller: &Identity, method| rules.explain(caller, &method, "/v1/models");
    let allowed = explain(&caller, Method::GET);
    assert_eq!(allowed.allowed_by(), Some("read"));
    let denied = explain(&caller, Method::POST);
    assert_eq!(denied.allowed_by(), None);
    assert_eq!(
        denied.to_string(),
        "denied: rule `chat` needs the scopes `infer`; rule `team` needs another role; \
         rule `read` is for other methods; rule `admin` is for other paths",
    );
    assert_eq!(
        AccessRules::new().explain(&caller, &Method::GET, "/").to_string(),
        "denied: no rule"
    );
}

#[tokio::test]
async fn each_challenge_names_the_metadata() {
    let metadata = ResourceMetadata::new("https://gateway.example/inference").unwrap();
    let layer = AuthLayer::new(jwt()).resource_metadata(&metadata);
    let url = "https://gateway.example/.well-known/oauth-protected-resource/inference";
    let missing = send(&layer, super::request(&[])).await;
    assert_eq!(missing.challenge(), format!(r#"Bearer resource_metadata="{url}""#));
    let invalid = send(&layer, bearer("x")).await;
    assert!(invalid.challenge().ends_with(&format!(r#", resource_metadata="{url}""#)));
}
