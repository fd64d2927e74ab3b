//! Every refusal in every format: status, headers, body and the rejection in the extensions.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header::WWW_AUTHENTICATE};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Refusal, Rejection, RejectionFormat, Violation},
};

/// Slug, status, status as API Gateway, its response type, its `message` and `x-amzn-errortype`,
/// OpenAI's type, and the code of gRPC.
type Row =
    (Refusal, &'static str, u16, u16, &'static str, &'static str, &'static str, &'static str, u8);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (Refusal::MissingCredentials, "missing-credentials", 401, 401, "UNAUTHORIZED", "Unauthorized", "UnauthorizedException", "authentication_error", 16),
    (Refusal::InvalidRequest, "invalid-request", 400, 400, "DEFAULT_4XX", "Bad Request", "BadRequestException", "invalid_request_error", 3),
    (Refusal::InvalidToken, "invalid-token", 401, 401, "UNAUTHORIZED", "Unauthorized", "UnauthorizedException", "authentication_error", 16),
    (Refusal::ExpiredToken, "expired-token", 401, 401, "EXPIRED_TOKEN", "The security token included in the request is expired", "ExpiredTokenException", "authentication_error", 16),
    (Refusal::InvalidApiKey, "invalid-api-key", 401, 403, "INVALID_API_KEY", "Forbidden", "ForbiddenException", "authentication_error", 16),
    (Refusal::InvalidSignature, "invalid-signature", 401, 403, "INVALID_SIGNATURE", "The request signature does not match", "InvalidSignatureException", "authentication_error", 16),
    (Refusal::InsufficientScope, "insufficient-scope", 403, 403, "ACCESS_DENIED", "Forbidden", "ForbiddenException", "permission_error", 7),
    (Refusal::Forbidden, "forbidden", 403, 403, "ACCESS_DENIED", "User is not authorized to access this resource", "AccessDeniedException", "permission_error", 7),
    (Refusal::NotFound, "not-found", 404, 403, "RESOURCE_NOT_FOUND", "Missing Authentication Token", "MissingAuthenticationTokenException", "invalid_request_error", 12),
    (Refusal::MethodNotAllowed, "method-not-allowed", 405, 403, "RESOURCE_NOT_FOUND", "Missing Authentication Token", "MissingAuthenticationTokenException", "invalid_request_error", 12),
    (Refusal::IdentityProviderUnavailable, "identity-provider-unavailable", 503, 503, "AUTHORIZER_FAILURE", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::Throttled, "throttled", 429, 429, "THROTTLED", "Too Many Requests", "TooManyRequestsException", "rate_limit_error", 8),
    (Refusal::QuotaExceeded, "quota-exceeded", 429, 429, "QUOTA_EXCEEDED", "Limit Exceeded", "LimitExceededException", "rate_limit_error", 8),
    (Refusal::ExceedsLimit, "exceeds-limit", 400, 400, "DEFAULT_4XX", "Bad Request", "BadRequestException", "invalid_request_error", 3),
    (Refusal::ThrottleUnavailable, "throttle-unavailable", 503, 503, "DEFAULT_5XX", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::PayloadTooLarge, "payload-too-large", 413, 413, "REQUEST_TOO_LARGE", "Request Too Long", "RequestTooLargeException", "invalid_request_error", 8),
    (Refusal::PayloadTimeout, "payload-timeout", 408, 408, "DEFAULT_4XX", "Request Timeout", "RequestTimeoutException", "invalid_request_error", 4),
    (Refusal::UnsupportedMediaType, "unsupported-media-type", 415, 415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", "UnsupportedMediaTypeException", "invalid_request_error", 3),
    (Refusal::MalformedPayload, "malformed-payload", 400, 400, "BAD_REQUEST_BODY", "Invalid request body", "BadRequestException", "invalid_request_error", 3),
    (Refusal::InvalidParameters, "invalid-parameters", 400, 400, "BAD_REQUEST_PARAMETERS", "Invalid request parameters", "BadRequestException", "invalid_request_error", 3),
    (Refusal::InvalidPayload, "invalid-payload", 422, 400, "BAD_REQUEST_BODY", "Invalid request body", "BadRequestException", "invalid_request_error", 3),
    (Refusal::Overloaded, "overloaded", 503, 503, "DEFAULT_5XX", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::AuditUnavailable, "audit-unavailable", 503, 503, "DEFAULT_5XX", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::ModelLoading, "model-loading", 503, 503, "INTEGRATION_FAILURE", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::UpstreamUnavailable, "upstream-unavailable", 502, 502, "INTEGRATION_FAILURE", "Internal server error", "InternalServerErrorException", "server_error", 14),
    (Refusal::UpstreamTokenUnavailable, "upstream-token-unavailable", 503, 503, "INTEGRATION_FAILURE", "Service Unavailable", "ServiceUnavailableException", "server_error", 14),
    (Refusal::UpstreamTimeout, "upstream-timeout", 504, 504, "INTEGRATION_TIMEOUT", "Endpoint request timed out", "InternalServerErrorException", "server_error", 4),
    (Refusal::NotCached, "not-cached", 504, 504, "DEFAULT_5XX", "Endpoint request timed out", "InternalServerErrorException", "invalid_request_error", 5),
    (Refusal::InvalidUpstreamResponse, "invalid-upstream-response", 502, 502, "INTEGRATION_FAILURE", "Internal server error", "InternalServerErrorException", "server_error", 13),
    (Refusal::Misconfigured, "misconfigured", 500, 500, "API_CONFIGURATION_ERROR", "Internal server error", "InternalServerErrorException", "server_error", 13),
];

type TestResponse = Response<ResponseBody<Empty<Bytes>>>;

fn identified() -> RequestContext {
    let context = RequestContext::new();
    context.set_request_id(HeaderValue::from_static("id-7"));
    context
}

fn respond(format: RejectionFormat, content_type: &str, rejection: Rejection) -> TestResponse {
    let request = Request::builder()
        .method(Method::POST)
        .header("content-type", content_type)
        .body(())
        .unwrap();
    format.for_request(&request).respond(rejection, &identified())
}

fn problem(rejection: Rejection) -> TestResponse {
    respond(RejectionFormat::Problem, "application/json", rejection)
}

fn gateway(rejection: Rejection) -> TestResponse {
    respond(RejectionFormat::ApiGateway, "application/json", rejection)
}

fn grpc(rejection: Rejection) -> TestResponse {
    respond(RejectionFormat::Problem, "application/grpc", rejection)
}

async fn json_of(response: TestResponse) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[test]
fn the_table_has_every_refusal_once() {
    let rejections: Vec<_> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(rejections, Refusal::ALL);
    for row in TABLE {
        assert_eq!(TABLE.iter().filter(|other| other.1 == row.1).count(), 1, "{}", row.1);
        assert_eq!(row.0.slug(), row.1);
        assert_eq!(row.0.to_string(), row.1);
        assert_eq!(row.0.status().as_u16(), row.2);
        assert_eq!(row.0.gateway_type(), row.4);
        assert!(!row.0.title().is_empty() && !row.0.title().ends_with('.'));
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_openai_clients_show() {
    for &(refusal, slug, status, _, _, _, _, openai_type, _) in TABLE {
        let response = problem(Rejection::new(refusal).with_detail("what went wrong"));
        assert_eq!(response.status().as_u16(), status, "{slug}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        for absent in ["x-amzn-errortype", "x-amzn-requestid", "grpc-status", "grpc-message"] {
            assert!(!response.headers().contains_key(absent), "{slug} has {absent}");
        }
        let expected = json!({
            "type": format!("urn:tower-inference:refusal:{slug}"),
            "title": refusal.title(),
            "status": status,
            "detail": "what went wrong",
            "instance": "id-7",
            "error": {
                "message": "what went wrong",
                "type": openai_type,
                "code": slug.replace('-', "_"),
            },
        });
        assert_eq!(json_of(response).await, expected);
    }
}

#[tokio::test]
async fn every_refusal_has_the_format_of_api_gateway() {
    for &(refusal, slug, _, status, _, message, error_type, _, _) in TABLE {
        let response = gateway(Rejection::new(refusal).with_detail("not shown in this format"));
        assert_eq!(response.status().as_u16(), status, "{slug}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-amzn-errortype"], error_type);
        assert_eq!(response.headers()["x-amzn-requestid"], "id-7");
        assert_eq!(json_of(response).await, json!({ "message": message }), "{slug}");
    }
}

#[tokio::test]
async fn every_refusal_is_a_trailers_only_status_of_grpc() {
    for &(refusal, slug, .., code) in TABLE {
        for format in [RejectionFormat::Problem, RejectionFormat::ApiGateway] {
            let rejection = Rejection::new(refusal).with_detail("what went wrong");
            let response = respond(format, "application/grpc+proto", rejection);
            assert_eq!(response.status(), 200, "{slug}");
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-status"], code.to_string());
            assert_eq!(response.headers()["grpc-message"], "what went wrong");
            assert!(!response.headers().contains_key("x-amzn-errortype"));
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
    }
}

#[test]
fn every_format_carries_the_rejection_and_records_the_slug() {
    for &(refusal, slug, ..) in TABLE {
        let rejection = Rejection::new(refusal)
            .with_detail("what went wrong")
            .with_retry_after(Duration::from_secs(3));
        for content_type in ["application/json", "application/grpc"] {
            for format in [RejectionFormat::Problem, RejectionFormat::ApiGateway] {
                let request = Request::builder().header("content-type", content_type);
                let responder = format.for_request(&request.body(()).unwrap());
                let context = RequestContext::new();
                let response: TestResponse = responder.respond(rejection.clone(), &context);
                assert_eq!(response.extensions().get::<Rejection>(), Some(&rejection));
                assert_eq!(context.outcome().rejection, Some(slug));
            }
        }
    }
}

#[test]
fn a_401_always_names_a_challenge() {
    for &(refusal, slug, status, ..) in TABLE {
        for render in [problem, gateway, grpc] {
            let challenges = |response: &TestResponse| {
                let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
                values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let response = render(Rejection::new(refusal));
            let expected: &[&str] = if status == 401 { &["Bearer"] } else { &[] };
            assert_eq!(challenges(&response), expected, "{slug}");

            // The layer's own challenge replaces it in every format.
            let own = r#"Bearer error="invalid_token""#;
            let rejection = Rejection::new(refusal)
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(own));
            assert_eq!(challenges(&render(rejection)), [own], "{slug}");
        }
    }
}

#[test]
fn every_format_has_the_headers_of_the_rejection() {
    let accept = HeaderName::from_static("accept");
    for render in [problem, gateway, grpc] {
        let response = render(
            Rejection::new(Refusal::UnsupportedMediaType)
                .with_header(accept.clone(), HeaderValue::from_static("application/json"))
                .with_header(accept.clone(), HeaderValue::from_static("text/plain")),
        );
        let accepts: Vec<_> = response.headers().get_all("accept").iter().collect();
        assert_eq!(accepts, ["application/json", "text/plain"]);
        assert!(!response.headers().contains_key("retry-after"));
    }
}

#[test]
fn retry_after_is_whole_seconds_rounded_up_and_at_least_one() {
    for (after, expected) in [
        (Duration::ZERO, "1"),
        (Duration::from_nanos(1), "1"),
        (Duration::from_millis(999), "1"),
        (Duration::from_secs(1), "1"),
        (Duration::from_nanos(1_000_000_001), "2"),
        (Duration::from_millis(59_001), "60"),
        (Duration::from_secs(60), "60"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        for render in [problem, gateway, grpc] {
            let response = render(Rejection::new(Refusal::Throttled).with_retry_after(after));
            assert_eq!(response.headers()["retry-after"], expected, "{after:?}");
        }
    }
}

#[test]
fn grpc_messages_are_percent_encoded() {
    for (detail, expected) in [
        ("plain, with ~ and !", "plain, with ~ and !"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("a\r\nb\tc", "a%0D%0Ab%09c"),
        ("é€😀", "%C3%A9%E2%82%AC%F0%9F%98%80"),
        ("\u{0}\u{7f}", "%00%7F"),
        ("", ""),
    ] {
        let response = grpc(Rejection::new(Refusal::Forbidden).with_detail(detail));
        assert_eq!(response.headers()["grpc-message"], expected, "{detail:?}");
    }
}

#[test]
fn only_grpc_requests_get_a_grpc_status() {
    for (content_type, is_grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc ; x=y", true),
        ("Application/gRPC", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/grpcx", false),
        ("application/json", false),
        ("text/plain; a=application/grpc", false),
    ] {
        let response =
            respond(RejectionFormat::Problem, content_type, Rejection::new(Refusal::NotFound));
        assert_eq!(response.headers().contains_key("grpc-status"), is_grpc, "{content_type}");
    }
    let response: TestResponse = RejectionFormat::default()
        .for_request(&Request::new(()))
        .respond(Rejection::new(Refusal::NotFound), &RequestContext::new());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_problem_has_position_and_violations() {
    let violations = vec![Violation::new("/messages/0/role", "enum", "is not one of the roles")];
    let rejection = Rejection::new(Refusal::InvalidPayload)
        .with_position(17)
        .with_violations(violations.clone());
    assert_eq!((rejection.position(), rejection.violations()), (Some(17), &*violations));
    let body = json_of(problem(rejection.clone())).await;
    assert_eq!(body["position"], 17);
    let errors = json!([{
        "pointer": "/messages/0/role",
        "keyword": "enum",
        "detail": "is not one of the roles",
    }]);
    assert_eq!(body["errors"], errors);
    assert_eq!(json_of(gateway(rejection)).await, json!({ "message": "Invalid request body" }));
}

/// The clients of OpenAI show only `error.message`.
#[tokio::test]
async fn the_message_has_the_pointer_of_the_first_violation() {
    let long = format!("/{}/b/{}", "a".repeat(200), "c".repeat(100));
    let around = format!("somewhere in /{}/b: must be true", "a".repeat(200));
    let longest = "somewhere in the body: must be true";
    for (pointer, message) in [
        ("/n", "/n: must be true"),
        ("", "the body: must be true"),
        ("/query/limit", "/query/limit: must be true"),
        (&*long, &*around),
        (&*format!("/{}", "é".repeat(200)), longest),
    ] {
        let violation = Violation::new(pointer, "const", "must be true");
        assert_eq!(violation.to_string(), message);
        let others = vec![violation, Violation::new("/z", "const", "must be false")];
        let rejection = Rejection::new(Refusal::InvalidPayload).with_violations(others);
        assert_eq!(rejection.detail(), message);
        let body = json_of(problem(rejection.clone())).await;
        assert_eq!(
            (&body["error"]["message"], &body["detail"]),
            (&json!(message), &json!(message))
        );
        let other = rejection.with_detail("something else");
        assert_eq!(json_of(problem(other)).await["error"]["message"], "something else");
    }
    let none = Rejection::new(Refusal::InvalidPayload).with_violations(Vec::new());
    assert_eq!(none.detail(), Refusal::InvalidPayload.title());
}

/// Layers without a schema use these refusals too.
#[test]
fn no_refusal_mentions_a_schema() {
    for refusal in Refusal::ALL {
        let text = format!("{} {}", refusal.slug(), refusal.title()).to_lowercase();
        assert!(!text.contains("schema"), "{text}");
    }
}

#[tokio::test]
async fn unknown_members_are_left_out() {
    let context = RequestContext::new();
    for format in [RejectionFormat::Problem, RejectionFormat::ApiGateway] {
        let response: TestResponse = format
            .for_request(&Request::new(()))
            .respond(Rejection::new(Refusal::Throttled), &context);
        assert!(!response.headers().contains_key("x-amzn-requestid"));
        let body = json_of(response).await;
        for absent in ["instance", "position", "errors"] {
            assert!(body.get(absent).is_none(), "{absent}");
        }
    }
}

#[tokio::test]
async fn a_detail_cannot_break_the_body() {
    let detail = "\"},{\u{0}\r\n\u{2028}é";
    let body = json_of(problem(Rejection::new(Refusal::Forbidden).with_detail(detail))).await;
    assert_eq!((&body["detail"], &body["error"]["message"]), (&json!(detail), &json!(detail)));
}

#[test]
fn the_first_refusal_is_recorded() {
    let context = RequestContext::new();
    let responder = RejectionFormat::Problem.for_request(&Request::new(()));
    for refusal in [Refusal::Throttled, Refusal::Forbidden] {
        let _response: TestResponse = responder.respond(Rejection::new(refusal), &context);
    }
    assert_eq!(context.outcome().rejection, Some("throttled"));
}

#[tokio::test]
async fn api_gateway_names_the_parameters_that_are_missing() {
    let missing = |pointer| Violation::new(pointer, "required", "is missing");
    let wrong = Violation::new("/query/limit", "pattern", "does not match its pattern");
    let of = |violations| {
        gateway(Rejection::new(Refusal::InvalidParameters).with_violations(violations))
    };
    let both = vec![missing("/query/q1"), wrong.clone(), missing("/header/a~1b~01")];
    let body = json_of(of(both)).await;
    assert_eq!(body["message"], "Missing required request parameters: [q1, a/b~1]");
    assert_eq!(json_of(of(vec![wrong])).await["message"], "Invalid request parameters");
}
