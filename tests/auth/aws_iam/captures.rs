//! Requests of boto3, requests-aws4auth and curl as they were on the wire.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tower_inference::{
    auth::{
        AuthLayer,
        aws_iam::{SigV4, SigningCredential, SigningCredentials},
    },
    rejection::Refusal,
    secret::Secret,
};

use super::{
    super::conformance,
    sign::{ID, SECRET, clock_at, send},
};

const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLETOKEN//////////wEaCXVz==";

/// 2026-11-22 23:23:56 UTC.
const CAPTURED: u64 = 1_795_389_836;

fn request(captured: &Value) -> Request<Full<Bytes>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut request =
        Request::builder().method(&*text(&captured["method"])).uri(text(&captured["target"]));
    for header in captured["headers"].as_array().unwrap() {
        request = request.header(text(&header[0]), text(&header[1]));
    }
    let body = STANDARD.decode(text(&captured["body_b64"])).unwrap();
    request.body(Full::from(body)).unwrap()
}

fn layer(token: bool) -> AuthLayer {
    let mut credential = SigningCredential::new(ID, Secret::new(SECRET)).unwrap();
    if token {
        credential = credential.session_token(Secret::new(TOKEN));
    }
    let settings = SigV4::new("us-east-1", SigningCredentials::new([credential])).unwrap();
    AuthLayer::new(settings.clock(clock_at(CAPTURED).shared()))
}

#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn requests_of_real_clients_are_verified_and_tampered_ones_are_not() {
    let captures = fs::read(conformance::path("captures/sigv4.json")).unwrap();
    let captures: Value = serde_json::from_slice(&captures).unwrap();
    let mut verified = Vec::new();
    for (name, capture) in captures.as_object().unwrap() {
        for captured in capture["requests"].as_array().unwrap() {
            let token = captured.to_string().to_ascii_lowercase().contains("x-amz-security-token");
            let outcome = send(&layer(token), request(captured)).await;
            if name == "botocore_double_encoded_path" {
                // The path was signed with a space and without its empty segment. The HTTP client
                // sent `%20` and the empty segment.
                assert_eq!(outcome.refusal(), Some(Refusal::InvalidSignature), "{name}");
                continue;
            }
            assert_eq!(outcome.status, 200, "{name}: {}", outcome.detail());
            verified.push(name.as_str());

            let mut other_body = request(captured);
            *other_body.body_mut() = Full::from("{\"inputs\": \"another\"}");
            other_body.headers_mut().remove("content-length");
            let mut other_path = request(captured);
            let uri = other_path.uri().to_string().replace("/prod/", "/test/");
            *other_path.uri_mut() = uri.parse().unwrap();
            for tampered in [other_body, other_path] {
                let outcome = send(&layer(token), tampered).await;
                assert_eq!(outcome.refusal(), Some(Refusal::InvalidSignature), "{name}");
                assert_eq!(outcome.calls, 0);
            }
        }
    }
    assert!(verified.len() >= 11, "{verified:?}");
    for client in ["botocore", "aws4auth", "curl"] {
        assert!(verified.iter().any(|name| name.starts_with(client)), "{client}");
    }
}
