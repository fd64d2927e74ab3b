//! Targets of recorded clients.

use std::fs;

use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::HeaderName;

use super::*;

/// What each recorded request reaches at the router, and at the endpoint that it was recorded for.
fn expected(
    method: &str,
    target: &str,
    body: &str,
) -> (Result<String, TargetError>, Option<String>) {
    let url = body.contains(r#""model":"http://"#);
    let path = target.split('?').next().unwrap();
    match (method, path.strip_prefix("/models/")) {
        ("GET", _) if path == "/v1/models" => (Err(TargetError::Route), None),
        ("GET", _) => (Ok("*:api".to_owned()), None),
        (_, Some(rest)) => {
            let model = rest.trim_end_matches("/v1/completions").to_owned();
            let routed = format!("{model}:hf-inference");
            (if url { Err(TargetError::Conflict) } else { Ok(routed) }, Some(model))
        }
        (_, None) if url => (Err(TargetError::Name), Some("m".to_owned())),
        (_, None) => (Ok("m:fastest".to_owned()), Some("m".to_owned())),
    }
}

#[test]
fn recorded_requests_have_the_expected_target() {
    let (mut urls, mut count) = (0, 0);
    for client in ["openai", "hf", "js", "curl"] {
        for (name, request, body) in captures(client) {
            let target = request.uri().to_string();
            let (at_router, model) = expected(request.method().as_str(), &target, &body);
            urls += usize::from(body.contains(r#""model":"http://"#));
            count += 1;
            assert_eq!(reached(&Profile::router(), &request), at_router, "{client}/{name}");
            let endpoint = Profile::endpoint(model.as_deref().unwrap_or("m"));
            let at_endpoint = reached(&endpoint, &request).ok();
            assert_eq!(at_endpoint, model, "{client}/{name} at an endpoint");
        }
    }
    assert!(urls >= 10 && count >= 80, "{urls} of {count} name a URL");
}

fn captures(client: &str) -> Vec<(String, Request<Payload>, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let file = fs::read_to_string(folder.join(format!("{client}.json"))).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let mut captures = Vec::new();
    for (name, capture) in file.as_object().unwrap() {
        for recorded in capture["requests"].as_array().unwrap() {
            // Two megabytes are left out of the recording.
            let body = BASE64_STANDARD.decode(recorded["body_b64"].as_str().unwrap());
            let body = Bytes::from(body.unwrap_or_else(|_| vec![b'x'; 2_000_000]));
            let text = String::from_utf8_lossy(&body).into_owned();
            let mut request = Request::new(Payload::buffered(body));
            *request.method_mut() = recorded["method"].as_str().unwrap().parse().unwrap();
            *request.uri_mut() = recorded["target"].as_str().unwrap().parse().unwrap();
            for field in recorded["headers"].as_array().unwrap() {
                let field_name: HeaderName = field[0].as_str().unwrap().parse().unwrap();
                let value = HeaderValue::from_str(field[1].as_str().unwrap()).unwrap();
                request.headers_mut().append(field_name, value);
            }
            captures.push((name.clone(), request, text));
        }
    }
    captures
}
