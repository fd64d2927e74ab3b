//! `HfTokenLayer`: where a request goes, what it carries, and what comes back.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::{
    convert::Infallible,
    fmt, fs,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use support::{Probe, ScriptedBody, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    hf::{HfToken, HfTokenLayer, Origin, ResponseBody, ResponseFuture, TokenFault, TokenSource},
    model::{Profile, TokenHeader},
    rejection::{Refusal, Rejection, RejectionFormat},
    secret::Secret,
    upstream::UpstreamLayer,
};
use wire::{Log, RawUpstream};

const ROUTER: &str = "https://router.huggingface.co";
const TOKEN: &str = "hf_theGatewaysOwn";

fn source() -> TokenSource {
    TokenSource::value(Secret::new(TOKEN)).unwrap()
}

fn layer() -> HfTokenLayer {
    HfTokenLayer::new(ROUTER.parse().unwrap(), source())
}

/// What the client is called with.
async fn sent(layer: HfTokenLayer, request: Request<()>) -> Request<()> {
    let sent = Mutex::new(None);
    let client = service_fn(|request: Request<()>| {
        *sent.lock().unwrap() = Some(request);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    layer.layer(client).oneshot(request).await.unwrap();
    sent.into_inner().unwrap().expect("the client is called")
}

/// Returns the response that the caller gets for a response of the upstream.
async fn received<R>(layer: HfTokenLayer, response: Response<R>) -> Response<ResponseBody<R>>
where
    R: http_body::Body<Data = Bytes>,
{
    let response = Mutex::new(Some(response));
    let client = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
    });
    layer.layer(client).oneshot(Request::new(())).await.unwrap()
}

// === The request ===

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

// === The response ===

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

// === Tokens ===

#[test]
fn the_documented_setup_compiles() -> Result<(), Box<dyn std::error::Error>> {
    let origin: Origin = "https://router.huggingface.co".parse()?;
    // A variable that cargo sets for its tests.
    let _layer = HfTokenLayer::new(origin, TokenSource::env("CARGO_PKG_NAME")?);
    Ok(())
}

#[tokio::test]
async fn the_named_environment_variable_is_read() {
    let source = TokenSource::env("CARGO_PKG_NAME").unwrap();
    let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source);
    let sent = sent(layer, Request::new(())).await;
    assert_eq!(sent.headers()["authorization"], "Bearer tower-inference");
    let error = TokenSource::env("TOWER_INFERENCE_NONE").unwrap_err();
    assert_eq!(error.fault, TokenFault::NoVariable);
    assert_eq!(error.place.as_deref(), Some("TOWER_INFERENCE_NONE"));
}

#[test]
fn an_invalid_token_is_an_error_that_does_not_repeat_it() {
    for (token, fault) in [
        ("", TokenFault::Empty),
        ("hf secret", TokenFault::Space),
        ("hf_secret\n", TokenFault::LineBreak),
        ("hf_secret\r\nx: y", TokenFault::LineBreak),
        ("Bearer hf_secret", TokenFault::Scheme),
        ("'hf_secret'", TokenFault::Quoted),
        ("hf_sëcret", TokenFault::Malformed),
    ] {
        let error = TokenSource::value(Secret::new(token)).unwrap_err();
        assert_eq!(error.fault, fault, "{token:?}");
        assert!(!format!("{error} {error:?}").contains("cret"));
    }
}

#[tokio::test]
async fn no_debug_output_contains_the_token() {
    let layer = layer();
    let mut service =
        layer.layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::default())));
    let future = service.ready().await.unwrap().call(Request::new(()));
    let printed = format!("{:?} {layer:?} {future:?} {layer:#?}", source());
    assert!(!printed.contains(TOKEN), "{printed}");
}

/// A folder of a test's own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("token-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// A layer whose token is in a file, and the clock it looks at.
struct Filed {
    layer: HfTokenLayer,
    clock: FakeClock,
}

impl Filed {
    fn new(path: PathBuf) -> Self {
        let clock = FakeClock::new(UNIX_EPOCH);
        let source = TokenSource::file(path).unwrap().clock(SharedClock::new(clock.clone()));
        Self { layer: HfTokenLayer::new(ROUTER.parse().unwrap(), source), clock }
    }

    async fn token(&self) -> String {
        let sent = sent(self.layer.clone(), Request::new(())).await;
        sent.headers()["authorization"].to_str().unwrap().replace("Bearer ", "")
    }

    async fn token_a_second_later(&self) -> String {
        self.clock.advance(Duration::from_secs(1));
        self.token().await
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again_after_a_second() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "first\r\n \n").unwrap();
    let filed = Filed::new(folder.file("token"));
    assert_eq!(filed.token().await, "first");

    fs::write(folder.file("token"), "other").unwrap();
    filed.clock.advance(Duration::from_millis(999));
    assert_eq!(filed.token().await, "first");
    filed.clock.advance(Duration::from_millis(1));
    assert_eq!(filed.token().await, "other");

    // As long as the one before, and over a second name.
    fs::write(folder.file("next"), "third").unwrap();
    fs::rename(folder.file("next"), folder.file("token")).unwrap();
    assert_eq!(filed.token_a_second_later().await, "third");
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_symbolic_link_is_followed() {
    // As Kubernetes does: token -> ..data/token, ..data -> a folder with a date.
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    for (name, token) in [("monday", "first"), ("tuesday", "other")] {
        fs::create_dir(folder.file(name)).unwrap();
        fs::write(folder.file(name).join("token"), token).unwrap();
    }
    symlink("monday", folder.file("..data")).unwrap();
    symlink("..data/token", folder.file("token")).unwrap();
    let filed = Filed::new(folder.file("token"));
    assert_eq!(filed.token().await, "first");

    symlink("tuesday", folder.file("..new")).unwrap();
    fs::rename(folder.file("..new"), folder.file("..data")).unwrap();
    assert_eq!(filed.token_a_second_later().await, "other");
}

#[tokio::test]
async fn an_invalid_file_keeps_the_last_good_token_and_warns_once_a_state() {
    let folder = Folder::new();
    let path = folder.file("token");
    fs::write(&path, "good").unwrap();
    let filed = Filed::new(path.clone());

    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    type Spoil = fn(&PathBuf);
    let spoil: [(Spoil, &str); 4] = [
        (|path| fs::remove_file(path).unwrap(), "cannot be read"),
        (|path| fs::write(path, " \n").unwrap(), "empty"),
        (|path| fs::write(path, "hf_not a token").unwrap(), "has a space"),
        (|path| fs::write(path, "x".repeat(16 * 1_024 + 1)).unwrap(), "16 KiB"),
    ];
    for (count, (spoil, word)) in spoil.into_iter().enumerate() {
        spoil(&path);
        for _ in 0..3 {
            assert_eq!(filed.token_a_second_later().await, "good");
        }
        assert_eq!(log.text().matches("WARN").count(), count + 1, "{}", log.text());
        assert!(log.text().contains(word), "{}", log.text());
    }
    // As bad as before in another way of writing it: the same state.
    fs::write(&path, "y".repeat(16 * 1_024 + 2)).unwrap();
    assert_eq!(filed.token_a_second_later().await, "good");
    assert_eq!(log.text().matches("WARN").count(), 4, "{}", log.text());

    fs::write(&path, "better").unwrap();
    assert_eq!(filed.token_a_second_later().await, "better");
    drop(guard);
    assert_eq!(log.text().matches("INFO").count(), 1, "{}", log.text());
    assert!(!log.text().contains("not a token") && !log.text().contains("better"));
}

#[test]
fn a_file_without_a_token_is_an_error_at_the_start() {
    let folder = Folder::new();
    let error = |path: PathBuf| TokenSource::file(path).unwrap_err().fault;
    let write = |name: &str, content: &[u8]| {
        fs::write(folder.file(name), content).unwrap();
        folder.file(name)
    };
    assert_eq!(error(folder.file("none")), TokenFault::Unreadable(io::ErrorKind::NotFound));
    assert_eq!(error(folder.0.clone()), TokenFault::NotAFile);
    assert_eq!(error(write("empty", b"\n")), TokenFault::Empty);
    assert_eq!(error(write("bad", b"\xff\xfe")), TokenFault::Malformed);
    assert_eq!(error(write("large", &[b'x'; 16 * 1_024 + 1])), TokenFault::TooLarge);
    assert!(TokenSource::file(write("marked", b"\xef\xbb\xbfhf_token\r\n")).is_ok());
    assert!(TokenSource::file(write("largest", &[b'x'; 16 * 1_024])).is_ok());
}

#[tokio::test]
async fn the_token_of_the_request_is_removed_from_its_response() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "token-before").unwrap();
    let filed = Filed::new(folder.file("token"));
    let client = service_fn(|request: Request<()>| async move {
        tokio::task::yield_now().await;
        let echo = request.headers()["authorization"].clone();
        let response = Response::builder().header("x-echo", echo);
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let mut service = filed.layer.layer(client);
    let before = service.call(Request::new(()));
    fs::write(folder.file("token"), "token-afterwards").unwrap();
    assert_eq!(filed.token_a_second_later().await, "token-afterwards");
    assert!(before.await.unwrap().headers().is_empty());
}

// === The contract, and cost ===

#[tokio::test]
async fn only_the_instance_that_was_ready_is_called() {
    let mut service =
        layer().layer(Probe::new(|_: Request<()>| Response::new(ScriptedBody::new([Step::Stall]))));
    for _ in 0..2 {
        let _unready = service.clone();
        drop(service.ready().await.unwrap().call(Request::new(())));
        let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        drop(response.into_body());
    }
    service.clone().oneshot(Request::new(())).await.unwrap();
}

#[test]
fn auto_traits_follow_the_inner_types() {
    fn check<T: Send + Sync + Unpin + fmt::Debug + 'static>() {}
    check::<HfTokenLayer>();
    check::<HfToken<()>>();
    check::<ResponseFuture<Ready<()>>>();
    check::<ResponseBody<Empty<Bytes>>>();
    check::<TokenSource>();
    check::<Origin>();
}

#[test]
fn passing_allocates_nothing() {
    let folder = Folder::new();
    fs::write(folder.file("token"), TOKEN).unwrap();
    let sources = [source(), TokenSource::file(folder.file("token")).unwrap()];
    for source in sources {
        let layer = HfTokenLayer::new(ROUTER.parse().unwrap(), source);
        let next = Mutex::new(None);
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(next.lock().unwrap().take().unwrap()))
        }));
        let request = || {
            let mut request = Request::post("/v1/chat/completions")
                .header("host", "gateway.example")
                .header("accept", "application/json")
                .header("user-agent", "OpenAI/Python 3.54.0")
                .header("authorization", "Bearer the-callers")
                .header("content-type", "application/json")
                .header("content-length", "320")
                .header("x-request-id", "018f")
                .header("connection", "keep-alive")
                .body(())
                .unwrap();
            request.extensions_mut().insert(RequestContext::new());
            let response = Response::builder()
                .header("content-type", "text/event-stream")
                .header("date", "Mon, 23 Nov 2026 00:00:00 GMT")
                .header("x-trace", "a value that is longer than the token that is looked for");
            *next.lock().unwrap() = Some(response.body(Full::from("data")).unwrap());
            request
        };
        let mut pass = |request| {
            let mut cx = Context::from_waker(Waker::noop());
            let mut call = std::pin::pin!(service.call(request));
            let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else {
                panic!("not ready")
            };
            let mut body = std::pin::pin!(response.into_body());
            assert!(http_body::Body::poll_frame(body.as_mut(), &mut cx).is_ready());
        };
        // The first ever makes what the others share.
        pass(request());
        let request = request();
        assert_eq!(allocation_counter::measure(|| pass(request)).count_total, 0);
    }
}

// === On the wire ===

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn wired(upstream: SocketAddr) -> HfTokenLayer {
    HfTokenLayer::new(format!("http://{upstream}").parse().unwrap(), source())
}

/// A gateway of both layers over a real client, on a real server of either HTTP version.
async fn gateway(upstream: SocketAddr) -> SocketAddr {
    let service = ServiceBuilder::new()
        .map_request(|request: Request<hyper::body::Incoming>| request.map(|_| Full::default()))
        .layer(UpstreamLayer::new())
        .layer(wired(upstream))
        .service(client());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    address
}

/// Sends these bytes and reads one response until `end`.
async fn exchange(caller: &mut TcpStream, request: &str, end: &[u8]) -> String {
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert_ne!(caller.read_buf(&mut read).await.unwrap(), 0, "closed");
    }
    String::from_utf8(read).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn on_the_wire_the_token_replaces_the_callers_credentials() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    let request = "GET http://evil.example/v1/models?access_token=SPOOFED HTTP/1.1\r\n\
        Host: evil.example\r\nAuthorization: Bearer SPOOFED\r\nAUTHORIZATION: Basic SPOOFED\r\n\
        Cookie: a=SPOOFED\r\nX-Api-Key: SPOOFED\r\nX-HF-Bill-To: SPOOFED\r\n\
        X-Amz-Security-Token: SPOOFED\r\nX-Forwarded-User: SPOOFED\r\n\
        Proxy-Authorization: Basic SPOOFED\r\nConnection: X-Private, keep-alive\r\n\
        X-Private: SPOOFED\r\nX-Forwarded-Host: evil.example\r\nAccept: */*\r\n\r\n";
    exchange(&mut caller, request, b"\r\n\r\nok").await;

    let mut head = upstream.head().await;
    head[1..].sort_unstable();
    let expected = [
        "GET /v1/models HTTP/1.1".to_owned(),
        "accept: */*".to_owned(),
        format!("authorization: Bearer {TOKEN}"),
        format!("host: {}", upstream.address),
    ];
    assert_eq!(head, expected);
}

#[tokio::test]
async fn on_the_wire_the_path_keeps_its_bytes() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    for target in [
        "/",
        "/models/a%2Fb",
        "/a/../b",
        "//evil.example/x",
        "/a//b/./c",
        "/%e4%B8%ad?q=%2f&&x=y=z&",
        "/?",
        "/a;b=c,d!$'()*+@:",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        exchange(&mut caller, &request, b"\r\n\r\nok").await;
        assert_eq!(upstream.head().await[0], format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn on_the_wire_no_hop_by_hop_header_is_forwarded() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = gateway(upstream.address).await;
    let mut tried = 0;
    for connection in ["X-Hop", "x-hop", "keep-alive, X-HOP", " x-hop ,", ",,x-hop", "te, x-hop\t"]
    {
        for field in ["Connection", "connection", "CONNECTION"] {
            for te in ["", "te: trailers\r\n", "TE: trailers, deflate\r\n"] {
                for more in ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"] {
                    let mut caller = TcpStream::connect(gateway).await.unwrap();
                    let request = format!(
                        "GET / HTTP/1.1\r\nhost: gateway\r\n{field}: {connection}\r\n\
                         X-Hop: 1\r\n{te}{more}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
                    );
                    exchange(&mut caller, &request, b"\r\n\r\nok").await;
                    let mut head = upstream.head().await;
                    head.sort_unstable();
                    let mut expected = vec![
                        "GET / HTTP/1.1".to_owned(),
                        format!("authorization: Bearer {TOKEN}"),
                        format!("host: {}", upstream.address),
                    ];
                    if te == "te: trailers\r\n" {
                        expected.push("te: trailers".to_owned());
                    }
                    assert_eq!(head, expected, "{request}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 108);
}

#[tokio::test]
async fn on_the_wire_a_hostile_upstream_cannot_repeat_the_token_to_the_caller() {
    let response = format!(
        "HTTP/1.1 307 {TOKEN}\r\nlocation: https://evil.example/#{TOKEN}\r\n\
         x-echo: Bearer {TOKEN}\r\nset-cookie: t={TOKEN}\r\nset-cookie: a=b\r\n\
         trailer: x-late, x-fine\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nx-late: {TOKEN}\r\nx-fine: 1\r\n\r\n"
    );
    let upstream = RawUpstream::answering(response).await;
    let mut caller = TcpStream::connect(gateway(upstream.address).await).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: gateway\r\nte: trailers\r\n\r\n";
    let response = exchange(&mut caller, request, b"x-fine: 1\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 307 Temporary Redirect\r\n"), "{response}");
    assert!(!response.contains(TOKEN) && !response.contains("cookie"), "{response}");
}

#[tokio::test]
async fn a_caller_over_http2_reaches_an_upstream_over_http1() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = gateway(upstream.address).await;
    let caller = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get(format!("http://{gateway}/v1/models")).header("te", "trailers");
    let response = caller.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    let head = upstream.head().await;
    assert_eq!(head[0], "GET /v1/models HTTP/1.1");
    assert!(head.contains(&format!("host: {}", upstream.address)), "{head:?}");
}

#[tokio::test]
async fn over_http2_host_and_authority_are_both_the_origins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service =
            hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let host = &request.headers()["host"];
                let seen = format!("{} {}", request.uri(), host.to_str().unwrap());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen))))
            });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    });
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get("http://evil.example/a%2Fb").header("host", "evil.example");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = wired(address).layer(client).oneshot(request).await.unwrap();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(seen, format!("http://{address}/a%2Fb {address}"));
}

#[tokio::test]
async fn shared_state_is_made_by_new_and_not_by_layer() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "first").unwrap();
    let filed = Filed::new(folder.file("token"));
    let echo = || {
        service_fn(|request: Request<()>| {
            let length = request.headers()["authorization"].len();
            let response = Response::builder().header("x-length", length);
            ready(Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap()))
        })
    };
    let (one, other) = (filed.layer.layer(echo()), filed.layer.layer(echo()));
    fs::write(folder.file("token"), "second-one").unwrap();
    filed.clock.advance(Duration::from_secs(1));
    // The first who comes looks for both.
    for service in [one, other] {
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.headers()["x-length"], "17");
    }
}
