//! The choice of a schema by route and by model.

use http::StatusCode;
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_inference::{
    context::RequestContext,
    payload::PayloadLayer,
    rejection::RejectionFormat,
    schema::{Parameter, SchemaLayer},
};

use crate::{Received, inputs, kind, post, respond};

/// Sends `body` as the router's `route`, with the model that an outer layer has found elsewhere.
async fn routed(
    layer: SchemaLayer,
    route: Option<&'static str>,
    model: Option<&'static str>,
    body: &str,
) -> Received {
    let mut request = post(body.to_owned());
    let context = RequestContext::ensure(request.extensions_mut());
    if let Some(route) = route {
        context.set_route(route);
    }
    if let Some(model) = model {
        context.set_model(model);
    }
    respond((PayloadLayer::bytes(), layer), request).await
}

/// The word that a body must have for its `kind` to pass; `None` when none does.
async fn held_to(
    layer: &SchemaLayer,
    route: Option<&'static str>,
    body_with: impl Fn(&str) -> String,
) -> Option<&'static str> {
    let words = ["general", "general-m", "chat", "chat-m", "vectors"];
    let mut found = Vec::new();
    for word in words {
        let response = routed(layer.clone(), route, None, &body_with(word)).await;
        if response.passed() {
            found.push(word);
        } else {
            let rejected = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::NOT_FOUND];
            assert!(rejected.contains(&response.status()));
        }
    }
    assert!(found.len() < 2, "held to nothing: {found:?}");
    found.pop()
}

#[tokio::test]
async fn most_specific_schema_applies() {
    let routes = |layer: SchemaLayer| {
        layer
            .route("chat", SchemaLayer::new(kind("chat")).model("org/m", kind("chat-m")))
            .route("vectors", kind("vectors"))
            .model("org/m", kind("general-m"))
    };
    let strict = routes(SchemaLayer::by_route());
    let lax = routes(SchemaLayer::new(kind("general")));
    for (route, model, strictly, laxly) in [
        (Some("chat"), "org/m", Some("chat-m"), Some("chat-m")),
        (Some("chat"), "org/other", Some("chat"), Some("chat")),
        // A route that is named counts before a model that is named for all.
        (Some("vectors"), "org/m", Some("vectors"), Some("vectors")),
        (Some("elsewhere"), "org/m", Some("general-m"), Some("general-m")),
        (None, "org/m", Some("general-m"), Some("general-m")),
        (None, "org/other", None, Some("general")),
        (Some("elsewhere"), "org/other", None, Some("general")),
    ] {
        let body = |word: &str| format!(r#"{{"model": "{model}", "kind": "{word}"}}"#);
        assert_eq!(held_to(&strict, route, body).await, strictly, "{route:?} {model}");
        assert_eq!(held_to(&lax, route, body).await, laxly, "{route:?} {model}");
    }
}

#[tokio::test]
async fn model_suffix_is_ignored_for_the_schema() {
    let layer = SchemaLayer::by_route()
        .model("org/m", kind("general-m"))
        .model("org/m:own", kind("chat-m"));
    for (model, expected) in [
        ("org/m", Some("general-m")),
        ("org/m:fastest", Some("general-m")),
        ("org/m:own", Some("chat-m")),
        // Written otherwise, but the same name.
        (r"org\u002fm", Some("general-m")),
        ("org/M", None),
        ("org/m ", None),
        ("org/mm", None),
        ("org", None),
        ("", None),
        (":", None),
    ] {
        let body = |word: &str| format!(r#"{{"model": "{model}", "kind": "{word}"}}"#);
        assert_eq!(held_to(&layer, None, body).await, expected, "{model}");
    }
}

#[tokio::test]
async fn model_comes_from_the_body_or_the_context() {
    let layer = || SchemaLayer::by_route().model("org/m", kind("general-m"));
    for (model, body, status) in [
        (Some("org/m"), r#"{"kind": "general-m"}"#, 200),
        (Some("org/m"), r#"{"kind": "other"}"#, 422),
        (Some("org/m"), r#"{"model": "org/other", "kind": "general-m"}"#, 404),
        (Some("org/other"), r#"{"model": "org/m", "kind": "general-m"}"#, 200),
        (None, r#"{"kind": "general-m"}"#, 404),
        (None, r#"{"model": 7, "kind": "general-m"}"#, 404),
        (None, r#"["org/m"]"#, 404),
    ] {
        assert_eq!(routed(layer(), None, model, body).await.status(), status, "{model:?} {body}");
    }
}

#[tokio::test]
async fn body_without_a_schema_is_rejected() {
    let rejected = routed(SchemaLayer::by_route(), Some("chat"), None, "{}").await;
    assert_eq!(rejected.status(), StatusCode::NOT_FOUND);
    assert_eq!(rejected.json()["error"]["message"], "this gateway serves no such route or model");
}

#[tokio::test]
async fn any_body_still_checks_named_models() {
    let layer = || SchemaLayer::any_body().model("org/m", kind("general-m"));
    for (body, status) in [
        (r#"{"model": "org/m", "kind": "general-m"}"#, 200),
        (r#"{"model": "org/m", "kind": "other"}"#, 422),
        (r#"{"model": "org/other", "kind": "other"}"#, 200),
        // What cannot be read may name it.
        (r#"{"model": "org/m", "kind": "other""#, 400),
    ] {
        assert_eq!(routed(layer(), None, None, body).await.status(), status, "{body}");
    }
}

#[tokio::test]
async fn route_has_only_its_own_rules() {
    let inner = SchemaLayer::new(inputs())
        .route("chat", SchemaLayer::any_body())
        .rejections(RejectionFormat::ApiGateway);
    let layer = SchemaLayer::any_body()
        .parameter(Parameter::query("limit").required())
        .route("chat", inner);
    // The parameter of the others is not asked for; the shape of rejections is; and the inner routes
    // do not count.
    let rejected = routed(layer.clone(), Some("chat"), None, "{}").await;
    assert_eq!(rejected.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(routed(layer.clone(), Some("chat"), None, r#"{"inputs": ""}"#).await.passed());
    let rejected = routed(layer, Some("other"), None, "{}").await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
}

/// A later setting does not change services that were made before, nor layers that were cloned.
#[tokio::test]
async fn clone_is_independent_of_its_original() {
    let before = SchemaLayer::by_route();
    let after = before.clone().route("chat", SchemaLayer::any_body());
    assert_eq!(routed(before, Some("chat"), None, "{}").await.status(), StatusCode::NOT_FOUND);
    assert!(routed(after, Some("chat"), None, "{}").await.passed());
}

#[tokio::test]
async fn user_middleware_names_the_route() {
    let name = MapRequestLayer::new(|mut request: http::Request<_>| {
        RequestContext::ensure(request.extensions_mut()).set_route("chat");
        request
    });
    let layers = ServiceBuilder::new()
        .layer(name)
        .layer(PayloadLayer::new())
        .layer(SchemaLayer::by_route().route("chat", inputs()));
    assert!(respond(layers.clone(), post(r#"{"inputs": ""}"#)).await.passed());
    assert_eq!(respond(layers, post("{}")).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}
