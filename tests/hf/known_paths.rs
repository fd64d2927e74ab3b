//! The paths that a stage sends with its token, and the host that the upstream sees.

use http::{Method, Version};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower_inference::{
    hf::Stage,
    model::{BodyForm, Profile},
    rejection::Rejection,
};

use super::*;

fn stage(origin: &str, profile: Profile) -> HfTokenLayer {
    let stage = Stage::new("stage", origin.parse().unwrap(), source());
    HfTokenLayer::stage(stage.profile(profile).known_paths_only())
}

/// Returns the URI that the client is called with, or `None` for a 404 `not-found`.
async fn sent_to(layer: &HfTokenLayer, method: Method, path: &str) -> Option<String> {
    let sent = Mutex::new(None);
    let client = service_fn(|request: Request<()>| {
        *sent.lock().unwrap() = Some(request.uri().to_string());
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let response = layer.layer(client).oneshot(request).await.unwrap();
    let sent = sent.into_inner().unwrap();
    if sent.is_none() {
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal().slug(), "not-found");
    }
    sent
}

#[tokio::test]
async fn path_that_manages_the_server_is_not_sent() {
    let profiles = [
        Profile::compatible(),
        Profile::router(),
        Profile::openai(),
        Profile::azure_openai(),
        Profile::mistral(),
        Profile::anthropic(),
        Profile::endpoint("m"),
        Profile::tgi("m"),
        Profile::tei("m"),
        Profile::vllm(),
        Profile::llama_cpp(),
        Profile::space("m"),
    ];
    for profile in profiles {
        let layer = stage("https://a.example", profile);
        for path in [
            "/_custom_router/set-backends",
            "/metrics",
            "/info",
            "/docs",
            "/slots",
            "/slots/0?action=erase",
            "/props",
            "/lora",
            "/models/load",
            "/v1/load_lora_adapter",
            "/shutdown",
            "/v2/repository/models/m/unload",
        ] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                assert_eq!(sent_to(&layer, method, path).await, None, "{layer:?} {path}");
            }
        }
    }
}

#[tokio::test]
async fn by_default_every_path_is_sent() {
    let stage = Stage::new("stage", "https://a.example".parse().unwrap(), source());
    let layer = HfTokenLayer::stage(stage);
    let sent = sent_to(&layer, Method::GET, "/metrics").await;
    assert_eq!(sent.as_deref(), Some("https://a.example/metrics"));
}

#[tokio::test]
async fn no_known_path_leaves_the_prefix() {
    let layer = stage("https://a.example/together", Profile::compatible());
    let inside = sent_to(&layer, Method::POST, "/v1/chat/completions?x=/../y").await.unwrap();
    assert_eq!(inside, "https://a.example/together/v1/chat/completions?x=/../y");
    for path in [
        "/../novita/v1/chat/completions",
        "/%2e%2e/novita/v1/chat/completions",
        "/..%2fnovita/v1/chat/completions",
        "/..;/novita/v1/chat/completions",
        "//novita/v1/chat/completions",
        "//v1/chat/completions",
        "/./v1/chat/completions",
        "/v1/../../novita/v1/chat/completions",
        "/v1/chat/completions/..",
        "/v1/chat/completions/../../../../metrics",
        "/models/../../metrics",
        "/models/..",
        "/models/a%2f..%2f..%2fmetrics",
        "/v1%2fchat%2fcompletions",
    ] {
        assert_eq!(sent_to(&layer, Method::POST, path).await, None, "{path}");
    }
}

#[tokio::test]
async fn version_of_the_prefix_is_part_of_the_path() {
    let layer = stage("https://a.example/v1", Profile::tgi("m"));
    for path in ["/v1/chat/completions", "/chat/completions"] {
        let sent = sent_to(&layer, Method::POST, path).await;
        assert_eq!(sent.as_deref(), Some("https://a.example/v1/chat/completions"));
    }
    // TGI has `/generate` and no `/v1/generate`.
    assert_eq!(sent_to(&layer, Method::POST, "/generate").await, None);
}

#[tokio::test]
async fn added_path_is_sent_and_a_known_path_keeps_its_methods() {
    let profile = Profile::vllm()
        .route("/info", BodyForm::Unknown)
        .route("/v1/chat/completions", BodyForm::Chat);
    let layer = stage("https://a.example", profile);
    for method in [Method::GET, Method::POST] {
        assert!(sent_to(&layer, method, "/info").await.is_some());
    }
    assert!(sent_to(&layer, Method::POST, "/v1/chat/completions").await.is_some());
    assert_eq!(sent_to(&layer, Method::GET, "/v1/chat/completions").await, None);
    assert_eq!(sent_to(&layer, Method::GET, "/infos").await, None);
    assert_eq!(sent_to(&layer, Method::GET, "/info/").await, None);
}

#[tokio::test]
async fn upstream_sees_its_own_host_in_both_versions() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // Sends the version, the authority of the target and every `host` back.
            let echo = service_fn(|request: Request<Incoming>| {
                let authority = request.uri().authority().map(ToString::to_string);
                let hosts: Vec<_> = request.headers().get_all("host").iter().cloned().collect();
                let seen = format!("{:?} {authority:?} {hosts:?}", request.version());
                ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen)))))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let echo = TowerToHyperService::new(echo);
            let _client_left = server.serve_connection(TokioIo::new(stream), echo).await;
        });
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build_http::<Full<Bytes>>();
        let layer = stage(&format!("http://{address}"), Profile::compatible());
        let request = Request::get("http://evil.example/v1/models").header("host", "evil.example");
        let request = request.version(Version::HTTP_2).body(Full::default()).unwrap();
        let response = layer.layer(client).oneshot(request).await.unwrap();
        let seen = response.into_body().collect().await.unwrap().to_bytes();
        // Over HTTP/1.1 the target of a request is a path without authority.
        let authority = (version == Version::HTTP_2).then(|| address.to_string());
        let expected = format!("{version:?} {authority:?} [\"{address}\"]");
        assert_eq!(String::from_utf8_lossy(&seen), expected);
    }
}
