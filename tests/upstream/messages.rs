//! Requests and responses as the layer forwards them.

use http::Version;

use super::*;

#[tokio::test]
async fn the_context_has_the_attempt_and_the_upstreams_status() {
    let client = responding(|| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(context.outcome().attempts, 1);
    assert_eq!(context.outcome().upstream_status, Some(StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn a_rejection_of_an_inner_layer_is_not_the_upstreams_status() {
    let client = responding(|| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.extensions_mut().insert(Rejection::new(Refusal::Forbidden));
        response
    });
    let context = RequestContext::new();
    let mut request = request();
    request.extensions_mut().insert(context.clone());
    UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(context.outcome().upstream_status, None);
}

#[tokio::test]
async fn a_response_that_a_layer_reads_is_requested_without_coding() {
    for (is_read, expected) in [(false, "gzip"), (true, "identity")] {
        let client = service_fn(move |request: Request<()>| {
            let accepted: Vec<_> = request.headers().get_all("accept-encoding").iter().collect();
            assert_eq!(accepted, [expected]);
            ready(Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new())))
        });
        let context = RequestContext::new();
        if is_read {
            context.announce_response_is_read();
        }
        let mut request = Request::get("/").header("accept-encoding", "gzip").body(()).unwrap();
        request.extensions_mut().insert(context);
        let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn headers_and_version_of_a_connection_do_not_pass() {
    let client = service_fn(|request: Request<()>| {
        assert!(!request.headers().contains_key("connection"));
        assert!(!request.headers().contains_key("x-hop"));
        let response = Response::builder()
            .version(Version::HTTP_10)
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("te", "gzip")
            .header("trailer", "grpc-status")
            .header("content-type", "text/plain")
            .body(Empty::<Bytes>::new());
        ready(Ok::<_, io::Error>(response.unwrap()))
    });
    let request =
        Request::get("/").header("connection", "x-hop").header("x-hop", "1").body(()).unwrap();
    let response = UpstreamLayer::new().layer(client).oneshot(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "trailer"]);
}

#[tokio::test]
async fn interim_responses_do_not_pass() {
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::EARLY_HINTS] {
        let client = responding(move || {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = status;
            response
        });
        let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{status}");
    }
}

#[tokio::test]
async fn redirects_pass_unchanged() {
    let client = responding(|| {
        let response = Response::builder().status(307).header("location", "https://a.example/");
        response.body(Empty::<Bytes>::new()).unwrap()
    });
    let response = UpstreamLayer::new().layer(client).oneshot(request()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (307, &HeaderValue::from_static("https://a.example/"))
    );
}
