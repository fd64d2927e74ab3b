//! Log events of `SchemaLayer` contain no values. This is a process of its own, because a process
//! has one tracing subscriber.

#[path = "support/log.rs"]
mod log;
mod support;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use support::{Probe, ScriptedBody, Step};
use tower::{Layer, ServiceExt};
use tower_inference::{
    context::RequestContext,
    payload::{Payload, PayloadLayer},
    rejection::{Rejection, RejectionFormat},
    schema::{Parameter, ResponseSchema, Schema, SchemaLayer},
};
use tracing::Level;

/// `data` is an array, `n` at most four.
fn expected() -> Schema {
    let schema = json!({
        "required": ["data"],
        "properties": { "data": { "type": "array" }, "n": { "maximum": 4 } },
    });
    Schema::new(&schema).unwrap()
}

fn report() -> ResponseSchema {
    ResponseSchema::report(expected())
}

fn refuse() -> ResponseSchema {
    ResponseSchema::reject(expected())
}

/// What is logged of an answer whose body is read to its end.
async fn logged(schema: ResponseSchema, body: ScriptedBody, coding: Option<&str>) -> String {
    log::listen(Level::TRACE);
    let mut body = Some(body);
    let service = SchemaLayer::any_body().response(schema).layer(Probe::new(move |_| {
        let mut response = Response::new(body.take().unwrap());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        }
        response
    }));
    let mut request = Request::post("/").body(Payload::default()).unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_request_id(HeaderValue::from_static("id-7"));
    context.set_route("vectors");
    let response = service.oneshot(request).await.unwrap();
    let _broken = response.into_body().collect().await;
    log::taken()
}

fn body(data: &'static [u8]) -> ScriptedBody {
    ScriptedBody::new([Step::Pending, Step::Data(data)])
}

#[tokio::test]
async fn invalid_response_is_one_event_without_values() {
    for (schema, rejected) in [(report(), "refused=false"), (refuse(), "refused=true")] {
        let answer = body(br#"{"data": "canary", "n": 777}"#);
        let log = logged(schema, answer, None).await;
        assert_eq!(log.lines().count(), 1, "{log}");
        for part in [
            "WARN tower_inference::schema:",
            "request_id=\"id-7\"",
            "route=\"vectors\"",
            rejected,
            "violates its schema",
            "\"/data\" type:",
            "\"/n\" maximum:",
        ] {
            assert!(log.contains(part), "{part} is not in {log}");
        }
        assert!(!log.contains("canary") && !log.contains("777"), "{log}");
    }
}

#[tokio::test]
async fn unchecked_response_is_logged() {
    let short = || (report().max_body_bytes(10), refuse().max_body_bytes(10));
    let whole = || (report(), refuse());
    for (schemas, answer, coding, said) in [
        (whole as fn() -> _, &br#"{"data": [] canary"#[..], None, "is not strict JSON: expected"),
        (whole, b"", None, "is not strict JSON: unexpected end at byte 0"),
        (short, br#"{"data": []}"#, None, "is too long"),
        (whole, br#"{"data": []}"#, Some("gzip"), "has a content coding"),
    ] {
        for schema in <[_; 2]>::from(schemas()) {
            let log = logged(schema, body(answer), coding).await;
            assert_eq!(log.lines().count(), 1, "{log}");
            assert!(log.contains(said) && !log.contains("canary"), "{said} is not in {log}");
        }
    }
}

#[tokio::test]
async fn valid_or_unfinished_response_is_not_logged() {
    let holding = || body(br#"{"data": [], "n": 4}"#);
    let broken = || ScriptedBody::new([Step::Data(b"{}"), Step::Error]);
    for schema in [report(), refuse()] {
        assert_eq!(logged(schema.clone(), holding(), None).await, "");
        assert_eq!(logged(schema, broken(), None).await, "");
    }

    // Left half-way.
    log::listen(Level::TRACE);
    let service = SchemaLayer::any_body().response(report()).layer(Probe::new(|_| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        response.body(ScriptedBody::new([Step::Data(b"{}"), Step::Stall])).unwrap()
    }));
    let request = Request::post("/").body(Payload::default()).unwrap();
    let mut response = service.oneshot(request).await.unwrap();
    assert!(response.body_mut().frame().await.unwrap().is_ok());
    drop(response);
    assert_eq!(log::taken(), "");
}

/// A server that knows the length drops the body with its last byte.
#[tokio::test]
async fn response_of_known_length_ends_with_its_last_byte() {
    log::listen(Level::TRACE);
    let service = SchemaLayer::any_body().response(report()).layer(Probe::new(|_| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        let response = response.header(header::CONTENT_LENGTH, 2);
        response.body(ScriptedBody::new([Step::Data(b"{}"), Step::Stall])).unwrap()
    }));
    let request = Request::post("/").body(Payload::default()).unwrap();
    let mut response = service.oneshot(request).await.unwrap();
    assert!(response.body_mut().frame().await.unwrap().is_ok());
    drop(response);
    assert!(log::taken().contains("violates its schema"));
}

fn answer(_: Request<Payload>) -> Response<Full<Bytes>> {
    let answer = Full::new(Bytes::from_static(b"{\"data\": \"kanari\"}"));
    Response::builder().header("content-type", "application/json").body(answer).unwrap()
}

/// Whatever a caller or an upstream sends, its values appear in no refusal, log or `Debug`.
#[tokio::test]
async fn log_contains_no_value() {
    log::listen(Level::TRACE);
    let mut seen = String::new();
    let layer = || {
        let trace = HeaderName::from_static("x-trace");
        SchemaLayer::new(expected())
            .parameter(Parameter::query("limit").pattern("[0-9]+").unwrap())
            .parameter(Parameter::query("order").one_of(["asc"]))
            .parameter(Parameter::header(trace).required().pattern("[a-f]+").unwrap())
    };
    let requests = [
        ("/?limit=canary", "abc", "{}"),
        ("/?order=can%61ry&limit=7", "abc", "{}"),
        ("/", "canary", "{}"),
        ("/?canary=canary", "", "{}"),
        ("/", "abc", r#"{"data": "canary"}"#),
        ("/", "abc", r#"{"data": {"canary": 1}, "n": 5}"#),
        ("/", "abc", r#"{"model": "canary", "n": "canary"}"#),
        ("/", "abc", r#"{"canary""#),
        ("/", "abc", r#"{"data": [], "data": "canary"}"#),
        ("/", "abc", r#"{"data": ["canary"]}"#),
    ];
    for (uri, trace, body) in requests {
        for format in [RejectionFormat::Problem, RejectionFormat::ApiGateway] {
            for content_type in ["application/json", "application/grpc"] {
                for answers in [report(), refuse()] {
                    let layer = layer().rejections(format).response(answers);
                    let service =
                        (PayloadLayer::bytes(), layer).layer(Probe::new(answer as fn(_) -> _));
                    let request = Request::post(uri)
                        .header("content-type", content_type)
                        .header("x-trace", trace)
                        .body(Full::new(Bytes::from_static(body.as_bytes())))
                        .unwrap();
                    seen += &format!("{service:?}");
                    let response = service.oneshot(request).await.unwrap();
                    if let Some(rejection) = response.extensions().get::<Rejection>() {
                        seen += &format!("{rejection:?}{:?}", response.headers());
                        let body = response.into_body().collect().await.unwrap().to_bytes();
                        seen += str::from_utf8(&body).unwrap();
                    } else {
                        response.into_body().collect().await.unwrap();
                    }
                }
            }
        }
    }
    seen += &log::taken();
    assert!(seen.contains("violates its schema") && seen.contains("does not match its pattern"));
    assert!(!seen.contains("canary") && !seen.contains("kanari"), "{seen}");
}
