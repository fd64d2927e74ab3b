//! The request as the layer sends it.

use http::Method;
use tower_inference::{
    model::{Profile, TokenHeader},
    rejection::{Refusal, Rejection},
};

use super::*;

#[tokio::test]
async fn credentials_and_identity_of_the_caller_are_removed() {
    let stripped_headers = [
        "cookie",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-auth-token",
        "x-gitlab-token",
        "x-serverless-authorization",
        "x-hf-bill-to",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-user-agent",
        "x-amzn-oidc-data",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-accesstoken",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-ms-token-aad-access-token",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "cf-access-jwt-assertion",
        "cf-access-client-secret",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-access-token",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
        "x-auth-request-user",
        "x-auth-request-access-token",
        "x-remote-user",
        "remote-user",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
        "expect",
        "trailer",
    ];
    let mut request = Request::new(());
    for name in stripped_headers {
        request.headers_mut().append(name, HeaderValue::from_static("spoofed"));
        request.headers_mut().append(name, HeaderValue::from_static("again"));
    }
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("r-1"));
    let sent = sent(layer(), request).await;
    let mut names: Vec<_> = sent.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "host", "x-request-id"]);
}

#[tokio::test]
async fn hop_by_hop_headers_are_removed_without_another_layer() {
    let request = Request::get("/")
        .header("connection", "x-hop, authorization, host")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "close")
        .header("transfer-encoding", "chunked")
        .header("upgrade", "h2c")
        .header("te", "gzip")
        .body(())
        .unwrap();
    let sent = sent(layer(), request).await;
    let mut names: Vec<_> = sent.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "host"]);

    let request = Request::get("/").header("te", "trailers").body(()).unwrap();
    assert_eq!(self::sent(layer(), request).await.headers()["te"], "trailers");
}

#[tokio::test]
async fn the_token_is_sent_once_and_marked_sensitive() {
    let request = Request::get("/")
        .header("authorization", "Bearer the-callers")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=AKIA")
        .body(())
        .unwrap();
    for request in [request, Request::new(())] {
        let sent = sent(layer(), request).await;
        let values: Vec<_> = sent.headers().get_all("authorization").iter().collect();
        assert_eq!(values, [&format!("Bearer {TOKEN}")]);
        assert!(values[0].is_sensitive());
    }
}

#[tokio::test]
async fn the_profile_names_the_header_of_the_token() {
    let keyed = TokenHeader::Plain(HeaderName::from_static("x-key"));
    for (profile, name, value) in [
        (Profile::compatible(), "authorization", format!("Bearer {TOKEN}")),
        (Profile::openai(), "authorization", format!("Bearer {TOKEN}")),
        (Profile::anthropic(), "x-api-key", TOKEN.to_owned()),
        (Profile::azure_openai(), "api-key", TOKEN.to_owned()),
        (Profile::compatible().token_header(keyed), "x-key", TOKEN.to_owned()),
    ] {
        let request = Request::get("/v1/models")
            .header("authorization", "Bearer the-callers-own")
            .header("x-api-key", "the-callers-own")
            .header("api-key", "the-callers-own")
            .header("anthropic-version", "2023-06-01");
        let sent = sent(layer().profile(profile), request.body(()).unwrap()).await;
        let headers = sent.headers();
        assert_eq!(headers[name], value);
        assert!(headers[name].is_sensitive());
        assert_eq!(headers["anthropic-version"], "2023-06-01");
        assert_eq!(headers.len(), 3, "host, the version and the token: {headers:?}");
        // It is as secret there as anywhere.
        let response = Response::builder().header(name, TOKEN).header("x-echo", TOKEN);
        let response = response.body(Full::<Bytes>::default()).unwrap();
        let response = received(layer(), response).await;
        assert!(response.headers().is_empty(), "{:?}", response.headers());
    }
}

#[tokio::test]
async fn every_request_goes_to_the_origin() {
    for uri in ["/v1/models", "http://evil.example/v1/models", "https://hf.space:1/v1/models"] {
        for host in [None, Some("evil.example")] {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header("host", host).header("x-forwarded-host", host);
            }
            let sent = sent(layer(), request.body(()).unwrap()).await;
            assert_eq!(sent.uri(), "https://router.huggingface.co/v1/models");
            let hosts: Vec<_> = sent.headers().get_all("host").iter().collect();
            assert_eq!(hosts, ["router.huggingface.co"]);
            assert!(!sent.headers().contains_key("x-forwarded-host"));
        }
    }
}

#[tokio::test]
async fn the_context_names_the_origin() {
    let context = RequestContext::new();
    let mut request = Request::new(());
    request.extensions_mut().insert(context.clone());
    sent(HfTokenLayer::new("http://[::1]:8080/v1".parse().unwrap(), source()), request).await;
    assert_eq!(context.upstream(), Some("http://[::1]:8080"));
}

#[tokio::test]
async fn only_credentials_are_removed_from_the_query() {
    let request =
        Request::get("/a%2Fb?x=%2F&X-Amz-Signature=s&X-Amz-Security-Token=t&access_token=u&y");
    let sent = sent(layer(), request.body(()).unwrap()).await;
    assert_eq!(sent.uri().path_and_query().unwrap(), "/a%2Fb?x=%2F&y");
}

#[tokio::test]
async fn only_the_gateway_sets_the_billed_account() {
    let request = Request::get("/").header("x-hf-bill-to", "somebody").body(()).unwrap();
    let sent = sent(layer().bill_to(HeaderValue::from_static("our-org")), request).await;
    let values: Vec<_> = sent.headers().get_all("x-hf-bill-to").iter().collect();
    assert_eq!(values, ["our-org"]);
}

#[tokio::test]
async fn the_version_is_not_forwarded() {
    let request = Request::get("/").version(Version::HTTP_2).body(()).unwrap();
    assert_eq!(sent(layer(), request).await.version(), Version::HTTP_11);
}

#[tokio::test]
async fn connect_trace_and_targets_without_a_path_are_rejected() {
    let uncalled =
        service_fn(|_: Request<()>| -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
            panic!("the client is called")
        });
    for (method, uri) in [
        (Method::CONNECT, "evil.example:443"),
        (Method::CONNECT, "/"),
        (Method::TRACE, "/"),
        (Method::OPTIONS, "*"),
        (Method::GET, "evil.example:443"),
    ] {
        let request = Request::builder().method(&method).uri(uri).body(()).unwrap();
        let response = layer().layer(uncalled).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {uri}");
        assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal(), Refusal::Forbidden);
    }
}
