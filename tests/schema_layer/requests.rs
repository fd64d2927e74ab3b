//! Validation of request bodies and the rejections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_inference::{
    context::RequestContext,
    payload::PayloadLayer,
    rejection::{Refusal, Rejection, RejectionFormat},
    schema::{ChatLimits, Parameter, SchemaLayer},
};

use crate::{
    Received, inputs, kind, post, respond, respond_json, schema,
    support::{Probe, ScriptedBody, Step},
};

#[tokio::test]
async fn valid_body_is_forwarded_unchanged() {
    let body = r#"{ "inputs" : "\u0061", "n": 4.0, "more": 1e400 }"#;
    let response = respond_json(SchemaLayer::new(inputs()), body).await;
    assert!(response.passed());
    assert_eq!(response.body, body);
}

#[tokio::test]
async fn invalid_body_is_rejected_with_every_violation() {
    let response = respond_json(SchemaLayer::new(inputs()), r#"{"inputs": 7, "n": 5}"#).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(response.head.headers["content-type"], "application/problem+json");
    let mut errors = response.errors();
    errors.sort();
    let expected = [("/inputs", "type"), ("/n", "maximum")];
    assert_eq!(errors, expected.map(|(at, keyword)| (at.to_owned(), keyword.to_owned())));

    let problem = response.json();
    assert_eq!(problem["type"], "urn:tower-inference:refusal:invalid-payload");
    assert_eq!(problem["error"]["code"], "invalid_payload");
    assert_eq!(problem["error"]["type"], "invalid_request_error");
    let rejection = response.head.extensions.get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal(), Refusal::InvalidPayload);
    assert_eq!(rejection.violations().len(), 2);
}

/// OpenAI's clients show `error.message`, Hugging Face's `detail`, and nothing else.
#[tokio::test]
async fn client_message_has_pointer_and_detail() {
    let problem = respond_json(SchemaLayer::new(inputs()), r#"{"inputs": 7}"#).await.json();
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    let message = format!("/inputs: {detail}");
    assert!(!detail.is_empty());
    assert_eq!(problem["error"]["message"], message);
    assert_eq!(problem["detail"], message);

    // At the root there is no pointer to show.
    let problem = respond_json(SchemaLayer::new(inputs()), "[]").await.json();
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert_eq!(problem["detail"], format!("the body: {detail}"));
}

#[tokio::test]
async fn api_gateway_format_omits_details() {
    let layer = SchemaLayer::new(inputs()).rejections(RejectionFormat::ApiGateway);
    let response = respond_json(layer, "{}").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.head.headers["x-amzn-errortype"], "BadRequestException");
    assert_eq!(response.json(), json!({ "message": "Invalid request body" }));
}

#[tokio::test]
async fn rejected_request_skips_the_service_and_is_recorded() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let probe = Probe::new(move |_| {
        counted.fetch_add(1, SeqCst);
        Response::new(Full::<Bytes>::default())
    });
    let service = (PayloadLayer::new(), SchemaLayer::new(inputs())).layer(probe);
    let context = RequestContext::new();
    for (body, calls_then) in [("{}", 0), (r#"{"inputs": ""}"#, 1)] {
        let mut request = post(body);
        request.extensions_mut().insert(context.clone());
        let _answer = service.clone().oneshot(request).await.unwrap();
        assert_eq!(calls.load(SeqCst), calls_then);
    }
    assert_eq!(context.outcome().rejection, Some("invalid-payload"));
}

#[tokio::test]
async fn grpc_rejection_is_only_a_status() {
    let request =
        Request::post("/inference.Service/Predict").header("content-type", "application/grpc");
    let request = request.body(Full::from("\0\0\0\0\0")).unwrap();
    let layers = (PayloadLayer::streamed(), SchemaLayer::new(inputs()));
    let response = respond(layers, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.head.headers["grpc-status"], "3");
    assert!(response.body.is_empty());
}

#[tokio::test]
async fn streamed_body_is_rejected_by_a_schema() {
    let streamed = |layer| respond((PayloadLayer::streamed(), layer), post(r#"{"inputs": ""}"#));
    let rejected = streamed(SchemaLayer::new(inputs())).await;
    assert_eq!(rejected.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let rejected = streamed(SchemaLayer::any_body().model("m", inputs())).await;
    assert_eq!(rejected.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);

    assert!(streamed(SchemaLayer::any_body()).await.passed());
    let layer = SchemaLayer::any_body().parameter(Parameter::query("limit").required());
    assert_eq!(streamed(layer).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn absent_body_passes_for_bodiless_methods() {
    let without = |method: Method| Request::builder().method(method).uri("/v1/models");
    let ask = |method: &Method, body: &'static str, payload: PayloadLayer, layer: SchemaLayer| {
        let request = without(method.clone()).header("content-type", "application/json");
        respond((payload, layer), request.body(Full::from(body)).unwrap())
    };
    let bytes = PayloadLayer::bytes;
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        for payload in [PayloadLayer::new(), bytes(), PayloadLayer::streamed()] {
            for layer in [SchemaLayer::new(inputs()), SchemaLayer::by_route()] {
                assert!(ask(&method, "", payload.clone(), layer).await.passed(), "{method}");
            }
        }
        let checked = ask(&method, "{}", PayloadLayer::new(), SchemaLayer::new(inputs())).await;
        assert_eq!(checked.status(), StatusCode::UNPROCESSABLE_ENTITY, "{method}");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let rejected = ask(&method, "", bytes(), SchemaLayer::new(inputs())).await;
        assert_eq!(rejected.status(), StatusCode::BAD_REQUEST, "{method}");
        let rejected = ask(&method, "", bytes(), SchemaLayer::by_route()).await;
        assert_eq!(rejected.status(), StatusCode::NOT_FOUND, "{method}");
    }
}

#[tokio::test]
async fn malformed_json_is_rejected_by_the_schema_layer() {
    let rejected = respond((PayloadLayer::bytes(), SchemaLayer::new(inputs())), post("{,")).await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    assert_eq!(rejected.json()["position"], 1);
}

#[tokio::test]
async fn parameters_are_checked_before_and_without_a_body() {
    let layer = || SchemaLayer::new(inputs()).parameter(Parameter::query("limit").required());
    let rejected = respond_json(layer(), "{}").await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    assert_eq!(rejected.errors(), [("/query/limit".to_owned(), "required".to_owned())]);

    let request = Request::get("/v1/models").body(Full::default()).unwrap();
    let rejected = respond((PayloadLayer::new(), layer()), request).await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
}

/// The body is not even looked at: here it never comes.
#[tokio::test]
async fn parameters_can_be_checked_before_a_byte_is_read() {
    let layers = ServiceBuilder::new()
        .layer(PayloadLayer::streamed())
        .layer(SchemaLayer::any_body().parameter(Parameter::query("limit").required()))
        .layer(PayloadLayer::new())
        .layer(SchemaLayer::new(inputs()));
    let service = || layers.service(Probe::new(|_| Response::new(Full::<Bytes>::default())));
    let ask = |uri: &str, steps: [Step; 1]| {
        let request = Request::post(uri).header("content-type", "application/json");
        service().oneshot(request.body(ScriptedBody::new(steps)).unwrap())
    };
    let rejected = ask("/", [Step::Stall]).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    let rejected = ask("/?limit=1", [Step::Data(b"{}")]).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let passed = ask("/?limit=1", [Step::Data(br#"{"inputs": ""}"#)]).await.unwrap();
    assert_eq!(passed.status(), StatusCode::OK);
}

/// A member's name is the caller's own, and may be of any length.
#[tokio::test]
async fn long_message_is_shortened() {
    let words = schema(&json!({ "additionalProperties": { "type": "string" } }));
    for length in [10, 256, 100_000] {
        let body = format!(r#"{{"{}": 7}}"#, "n".repeat(length));
        let request = post(body);
        let rejected =
            respond((PayloadLayer::new(), SchemaLayer::new(words.clone())), request).await;
        assert_eq!(rejected.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let problem = rejected.json();
        let message = problem["error"]["message"].as_str().unwrap();
        assert!(message.len() < 512, "{length}");
        assert!(message.contains("nnn") || length > 10, "{message}");
    }
}

/// Readiness, once taken, is used by the very call: nothing is cloned.
#[tokio::test]
async fn service_need_not_be_clone() {
    struct Single;
    impl tower::Service<Request<tower_inference::payload::Payload>> for Single {
        type Response = Response<Full<Bytes>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(
            &mut self,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<tower_inference::payload::Payload>) -> Self::Future {
            std::future::ready(Ok(Response::new(Full::from("single"))))
        }
    }
    let payload = tower_inference::payload::Payload::buffered(r#"{"inputs": ""}"#);
    let request = Request::post("/").header("content-type", "application/json");
    let request = request.body(payload).unwrap();
    let response = SchemaLayer::new(inputs()).layer(Single).oneshot(request);
    assert_eq!(Received::of(response.await.unwrap()).await.body, "single");
}

/// A form that is valid JSON as well, and says something else to who reads it as a form.
#[tokio::test]
async fn body_of_another_type_is_not_parsed() {
    let body = r#"{"inputs":"&inputs=evil&"}"#;
    for media_type in [
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("text/plain"),
        Some("application/json; charset=utf-7"),
        None,
    ] {
        let mut request = post(body);
        request.headers_mut().remove("content-type");
        if let Some(media_type) = media_type {
            request.headers_mut().insert("content-type", media_type.parse().unwrap());
        }
        let response = respond((PayloadLayer::bytes(), SchemaLayer::new(inputs())), request).await;
        assert_eq!(response.status(), 415, "{media_type:?}");
    }
}

#[tokio::test]
async fn chat_limits_apply_with_and_without_a_schema() {
    let limits = || ChatLimits::new().max_choices(2);
    for layer in [
        SchemaLayer::new(inputs()).chat_limits(limits()),
        SchemaLayer::new(kind("x")).model("m", inputs()).chat_limits(limits()),
        SchemaLayer::any_body().chat_limits(limits()),
    ] {
        let layers = || (PayloadLayer::new(), layer.clone());
        let held = respond(layers(), post(r#"{"model":"m","inputs":"a","n":2}"#)).await;
        assert_eq!(held.status(), 200);
        let beyond = respond(layers(), post(r#"{"model":"m","inputs":"a","n":3}"#)).await;
        assert_eq!(beyond.status(), 422);
        assert_eq!(beyond.json()["errors"][0]["pointer"], "/n");
        assert_eq!(beyond.json()["errors"][0]["keyword"], "n");
        let streamed = respond((PayloadLayer::streamed(), layer.clone()), post("{}")).await;
        assert_eq!(streamed.status(), 415);
    }
    // The schema is asked first.
    let layers = (PayloadLayer::new(), SchemaLayer::new(inputs()).chat_limits(limits()));
    let broken = respond(layers, post(r#"{"inputs":"a","n":5}"#)).await;
    assert_eq!(broken.json()["errors"][0]["keyword"], "maximum");
}

/// What is wrong is said at a length that has nothing to do with the body's: each place repeats the
/// names on the way to it.
#[tokio::test]
async fn rejection_is_short_for_long_names_and_many_violations() {
    let texts = json!({ "additionalProperties": { "type": "string" } });
    let schema = schema(&json!({ "additionalProperties": texts }));
    let numbers: Vec<_> = (0..1_000).map(|n| format!(r#""{n}":7"#)).collect();
    let body = format!(r#"{{"{}":{{{}}}}}"#, "a".repeat(10_000), numbers.join(","));
    let response = respond((PayloadLayer::new(), SchemaLayer::new(schema)), post(body)).await;
    assert_eq!(response.status(), 422);
    assert!(response.body.len() < 32 * 1024, "{}", response.body.len());
}
