//! Bodies that are streamed, and routes that choose how to read a body.

use super::*;

#[tokio::test]
async fn streamed_body_is_counted_without_reading() {
    let context = RequestContext::new();
    let body = ScriptedBody::new([Step::Data(b"abc"), Step::Data(b"def")]);
    let request = Request::post("/").extension(context.clone()).body(body).unwrap();
    let request = send(PayloadLayer::streamed().max_body_bytes(5), request).await.unwrap();
    assert!(request.body().is_streamed());
    assert_eq!(context.outcome().bytes_in, 0);
    let mut body = request.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!(context.outcome().bytes_in, 3);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, PayloadError::TooLarge(Some(5))));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_has_the_deadline_too() {
    let body = ScriptedBody::new([Step::Data(b"abc"), Step::Stall]);
    let request = send(PayloadLayer::streamed(), Request::new(body)).await.unwrap();
    let error = request.into_body().collect().await.unwrap_err();
    assert!(matches!(error, PayloadError::TimedOut(after) if after.as_secs() == 30));
    assert_eq!(error.rejection().refusal(), Refusal::PayloadTimeout);
}

/// Types that callers give their bodies, JSON's own apart.
const OTHER_TYPES: [&str; 14] = [
    "application/octet-stream",
    "application/grpc",
    "application/grpc+json",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/problem",
    "application/json; charset=utf-16",
    "audio/flac",
    "image/png",
    "multipart/form-data; boundary=x",
    "text/json",
    "text/plain",
    "text/plain; application/json",
    "*/*",
];

const JSON_TYPES: [&str; 3] =
    ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"];

#[tokio::test]
async fn inspection_depends_on_the_route_and_not_on_the_type() {
    let types = OTHER_TYPES.map(Some).into_iter().chain(JSON_TYPES.map(Some)).chain([None]);
    for content_type in types {
        let json = content_type.is_some_and(|given| JSON_TYPES.contains(&given));
        for body in [r#"{"model":"m"}"#, r#"{"model":"m""#, "\u{89}PNG\r\n"] {
            let request = || {
                let mut request = Request::new(full(body));
                *request.method_mut() = Method::POST;
                if let Some(given) = content_type {
                    request.headers_mut().insert("content-type", given.parse().unwrap());
                }
                request
            };
            let what = format!("{content_type:?} {body:?}");

            // Inspected: JSON in deed and by name, or nothing.
            match send(PayloadLayer::new(), request()).await {
                Ok(passed) => {
                    assert!(json && body.ends_with('}'), "{what}");
                    let context = RequestContext::of(passed.extensions()).unwrap();
                    assert_eq!(context.model(), Some("m"), "{what}");
                }
                Err(response) => {
                    assert!(!json || !body.ends_with('}'), "{what}");
                    let expected = if json {
                        Refusal::MalformedPayload
                    } else {
                        Refusal::UnsupportedMediaType
                    };
                    let rejection = response.extensions().get::<Rejection>().unwrap();
                    assert_eq!(rejection.refusal(), expected, "{what}");
                    if content_type.is_some_and(|given| given.starts_with("application/grpc")) {
                        // Trailers-only: INVALID_ARGUMENT.
                        assert_eq!(response.status(), StatusCode::OK);
                        assert_eq!(response.headers()["grpc-status"], "3");
                        assert!(response.body().is_end_stream());
                    } else {
                        assert_eq!(response.status(), expected.status(), "{what}");
                    }
                }
            }

            // Buffered, and nobody looks; or not even that.
            for (layer, streamed) in
                [(PayloadLayer::bytes(), false), (PayloadLayer::streamed(), true)]
            {
                let passed = send(layer, request()).await.unwrap();
                assert_eq!(passed.body().is_streamed(), streamed, "{what}");
                let given = passed.headers().get("content-type");
                assert_eq!(given.map(|given| given.to_str().unwrap()), content_type, "{what}");
                let context = RequestContext::of(passed.extensions()).unwrap();
                assert_eq!(context.model(), None, "{what}");
                assert_eq!(passed.body().document().is_ok(), !streamed && body.ends_with('}'));
                assert_eq!(passed.into_body().collect().await.unwrap().to_bytes(), body, "{what}");
            }
        }
    }
}
