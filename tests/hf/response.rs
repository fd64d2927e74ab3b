//! The response as the layer returns it.

use http::HeaderMap;
use tower_inference::rejection::RejectionFormat;

use super::*;

#[tokio::test]
async fn a_header_that_repeats_the_token_is_removed_and_logged_without_it() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let response = Response::builder()
        .header("x-echo", format!("Bearer {TOKEN}"))
        .header("x-echo", "harmless")
        .header("location", format!("https://evil.example/?t={TOKEN}&x"))
        .header("etag", TOKEN)
        .header("content-type", "text/plain");
    let response = received(layer(), response.body(Empty::<Bytes>::new()).unwrap()).await;
    drop(guard);
    let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type"]);
    assert_eq!(log.text().matches("WARN").count(), 3, "{}", log.text());
    assert!(log.text().contains("location") && !log.text().contains(TOKEN), "{}", log.text());
}

#[tokio::test]
async fn trailers_are_filtered_like_the_head() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-message", HeaderValue::from_static(TOKEN));
    trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
    let body = ScriptedBody::new([Step::Data(b"data"), Step::Trailers(trailers)]);
    let response = received(layer(), Response::new(body)).await;
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &HeaderValue::from_static("0")));
    assert_eq!(body.to_bytes(), "data");
}

const FOREIGN: [&str; 12] = [
    "set-cookie",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "alt-svc",
    "strict-transport-security",
    "clear-site-data",
    "public-key-pins",
    "nel",
    "report-to",
    "timing-allow-origin",
    "service-worker-allowed",
    "www-authenticate",
];

#[tokio::test]
async fn headers_for_another_origin_do_not_pass() {
    let mut response = Response::new(Empty::<Bytes>::new());
    for name in FOREIGN {
        response.headers_mut().append(name, HeaderValue::from_static("x"));
        response.headers_mut().append(name, HeaderValue::from_static("y"));
    }
    assert!(received(layer(), response).await.headers().is_empty());
}

#[tokio::test]
async fn an_allowed_header_passes_unless_it_contains_the_token() {
    let allowing = layer().allow_response_header(http::header::SET_COOKIE);
    let builder = || Response::builder().header("alt-svc", "x");
    let kind = builder().header("set-cookie", "a=b").body(Empty::<Bytes>::new()).unwrap();
    let response = received(allowing.clone(), kind).await;
    assert_eq!(
        (response.headers().len(), &response.headers()["set-cookie"]),
        (1, &HeaderValue::from_static("a=b"))
    );
    let leak = builder().header("set-cookie", TOKEN).body(Empty::<Bytes>::new()).unwrap();
    assert!(received(allowing, leak).await.headers().is_empty());
}

#[tokio::test]
async fn a_401_of_the_upstream_is_the_gateways_fault() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED] {
        let log = Log::default();
        let guard = tracing::dispatcher::set_default(&log.dispatch());
        let client = service_fn(move |_: Request<()>| {
            let response = Response::builder().status(status).header("www-authenticate", "Bearer");
            ready(Ok::<_, Infallible>(response.body(Full::from("no such token")).unwrap()))
        });
        let context = RequestContext::new();
        let mut request = Request::new(());
        request.extensions_mut().insert(context.clone());
        let stack = ServiceBuilder::new().layer(UpstreamLayer::new()).layer(layer());
        let response = stack.service(client).oneshot(request).await.unwrap();
        drop(guard);

        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert!(!response.headers().contains_key("www-authenticate"));
        assert_eq!(context.outcome().upstream_status, Some(status));
        assert_eq!(context.outcome().rejection, Some("upstream-unavailable"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["detail"], "the upstream rejected the gateway's token");
        assert!(log.text().contains("WARN"), "{}", log.text());
    }
}

#[tokio::test]
async fn a_403_of_the_upstream_passes() {
    let response = Response::builder().status(403).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(received(layer(), response).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn rejections_have_the_chosen_format() {
    let response = Response::builder().status(401).body(Empty::<Bytes>::new()).unwrap();
    let response = received(layer().rejections(RejectionFormat::ApiGateway), response).await;
    assert_eq!(response.headers()["x-amzn-errortype"], "InternalServerErrorException");
}

#[tokio::test]
async fn an_error_of_the_client_passes_untouched() {
    let client = service_fn(|_: Request<()>| {
        ready(Err::<Response<Empty<Bytes>>, _>(io::ErrorKind::BrokenPipe))
    });
    let error = layer().layer(client).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error, io::ErrorKind::BrokenPipe);
}
