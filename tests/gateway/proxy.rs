//! What goes through, what does not, and what the upstream gets to see.

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{CHAT, CHAT_STREAM, get, piece, post, send, slug},
    process::unless_hung,
    stub::{Folder, Stub, UPSTREAM_TOKEN, gateway},
    token::{self, Signer},
};

#[tokio::test]
async fn the_first_event_arrives_before_the_last_is_made() {
    let folder = Folder::new("first-byte");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT_STREAM);
    let (response, mut upstream) = tokio::join!(send(gateway.address, request), async {
        let mut upstream = stub.seen().await;
        upstream.answer("data: first\n\n").await;
        upstream
    });
    let mut body = response.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), "data: first\n\n");
    // Only now is the last one made.
    upstream.answer("data: [DONE]\n\n").await;
    drop(upstream);
    assert_eq!(unless_hung(body.collect()).await.unwrap().to_bytes(), "data: [DONE]\n\n");
}

#[tokio::test]
async fn the_upstream_gets_the_path_unchanged_and_its_own_token() {
    let folder = Folder::new("token");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    let caller = signer.sign(&token::claims());
    for path in [
        "/v1/chat/completions",
        "/v1/chat/completions?api-version=1%2F2&a=b+c&&",
        "/models/owner/a-model_1.0",
        "/",
    ] {
        let mut request = post(path, &caller, CHAT);
        request.headers_mut().insert("cookie", "session=1".parse().unwrap());
        let (response, seen) = tokio::join!(send(gateway.address, request), async {
            let mut seen = stub.seen().await;
            seen.answer("ok").await;
            seen
        });
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(seen.uri.to_string(), path);
        assert_eq!(seen.body, CHAT);
        let authorization: Vec<_> = seen.headers.get_all(header::AUTHORIZATION).iter().collect();
        assert_eq!(authorization, [&format!("Bearer {UPSTREAM_TOKEN}")]);
        assert!(!seen.headers.contains_key(header::COOKIE));
        let host = seen.headers[header::HOST].to_str().unwrap();
        assert_eq!(format!("http://{host}"), stub.served.url);
    }
}

#[tokio::test]
async fn closed_paths_never_reach_the_upstream() {
    let folder = Folder::new("closed");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    let caller = signer.sign(&token::claims());
    for path in [
        "/metrics",
        "/_custom_router/set-backends",
        "/together/v1/chat/completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/./chat/completions",
        "/v1/chat%2fcompletions",
        "/models/%2e%2e/metrics",
        "/models/../metrics",
        "http://elsewhere.example/metrics",
    ] {
        for token in ["", &caller] {
            let closed = send(gateway.address, post(path, token, CHAT)).await;
            assert_eq!(slug(closed, StatusCode::NOT_FOUND).await, "not-found", "{path}");
        }
    }
    for (method, path, allow) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::DELETE, "/models/gpt2", "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
    ] {
        let mut request = post(path, &caller, "{}");
        *request.method_mut() = method;
        let wrong = send(gateway.address, request).await;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(wrong.headers()[header::ALLOW], allow, "{path}");
    }
    assert!(stub.saw_nothing());
}

#[tokio::test]
async fn strangers_never_get_to_the_upstream() {
    let folder = Folder::new("strangers");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    let none = send(gateway.address, post("/v1/chat/completions", "", CHAT)).await;
    assert_eq!(slug(none, StatusCode::UNAUTHORIZED).await, "missing-credentials");

    let other = Signer::es256().sign(&token::claims());
    let forged = send(gateway.address, post("/v1/chat/completions", &other, CHAT)).await;
    assert_eq!(slug(forged, StatusCode::UNAUTHORIZED).await, "invalid-token");

    let mut claims = token::claims();
    claims["scope"] = "models:read".into();
    let narrow = send(gateway.address, post("/models/gpt2", &signer.sign(&claims), CHAT)).await;
    assert_eq!(slug(narrow, StatusCode::FORBIDDEN).await, "insufficient-scope");
    assert!(stub.saw_nothing());
}

#[tokio::test]
async fn bodies_are_bounded_on_every_kind_of_route() {
    let folder = Folder::new("bounds");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, ["--max-body", "1KiB"]).await;
    let caller = signer.sign(&token::claims());
    for path in ["/v1/chat/completions", "/models/whisper"] {
        let large = Request::post(path)
            .header(header::HOST, "gateway")
            .header(header::AUTHORIZATION, format!("Bearer {caller}"))
            .body(Full::from(vec![b'x'; 1025]))
            .unwrap();
        let large = send(gateway.address, large).await;
        assert_eq!(slug(large, StatusCode::PAYLOAD_TOO_LARGE).await, "payload-too-large", "{path}");
    }
    assert!(stub.saw_nothing());
}

#[tokio::test]
async fn a_refusal_arrives_although_the_whole_body_is_still_sent() {
    let folder = Folder::new("linger");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    let gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
         content-length: 20000000\r\n\r\n",
        signer.sign(&token::claims())
    );
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut answer = Vec::new();
    unless_hung(async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; 20_000_000]).await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_502() {
    let folder = Folder::new("away");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    let url = stub.served.url.clone();
    drop(stub);
    let gateway = gateway(&folder, &url, &signer, []).await;
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
    let away = send(gateway.address, request).await;
    assert_eq!(slug(away, StatusCode::BAD_GATEWAY).await, "upstream-unavailable");
}

#[tokio::test]
async fn the_access_log_has_each_request_but_no_probe() {
    let folder = Folder::new("access-log");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let mut gateway = gateway(&folder, &stub.served.url, &signer, []).await;
    assert_eq!(send(gateway.address, get("/healthz")).await.status(), StatusCode::OK);
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
    let (response, ()) = tokio::join!(send(gateway.address, request), async {
        stub.seen().await.answer("ok").await;
    });
    drop(response.collect().await);

    let line = gateway.said("{").await;
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&record["tenant"], &record["status"]), (&"acme-research".into(), &200.into()));
    let told = record.to_string();
    assert!(told.contains("248289761001-machine-to-machine-client"), "{told}");
    assert!(told.contains("/v1/chat/completions"), "{told}");
    assert!(!told.contains(UPSTREAM_TOKEN) && !told.contains("hi there"), "{told}");
    assert!(!told.contains("healthz"), "{told}");
}

#[tokio::test]
async fn the_access_log_is_written_to_the_named_place() {
    let folder = Folder::new("access-log-file");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    let file = folder.path("access.log");
    for log in [&file, "off"] {
        let mut gateway = gateway(&folder, &stub.served.url, &signer, ["--access-log", log]).await;
        let _closed = send(gateway.address, get("/metrics")).await;
        gateway.signal("TERM").await;
        assert_eq!(gateway.ended().await.code(), Some(0));
        assert_eq!(gateway.rest().await, Vec::<String>::new());
    }
    let lines = std::fs::read_to_string(&file).unwrap();
    let record: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&record["path"], &record["refusal"]), (&"/metrics".into(), &"not-found".into()));
}

#[tokio::test]
async fn the_access_log_has_the_format_and_the_share_of_its_flags() {
    let folder = Folder::new("access-log-format");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    for (format, starts) in [
        ("json", "{\"time\":"),
        ("apigateway", "{\"requestId\":"),
        ("otel", "{\"timestamp\":"),
        ("clf", "127.0.0.1 - - ["),
        ("combined", "127.0.0.1 - - ["),
        ("emf", "{\"_aws\":"),
    ] {
        let file = folder.path(format);
        let flags =
            ["--access-log", &file, "--access-log-format", format, "--access-log-sample", "0"];
        let mut gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
        // A rejection is in the log whatever the share is.
        let _rejected = send(gateway.address, get("/v1/models")).await;
        gateway.signal("TERM").await;
        assert_eq!(gateway.ended().await.code(), Some(0));
        let lines = std::fs::read_to_string(&file).unwrap();
        assert!(lines.starts_with(starts) && lines.lines().count() == 1, "{lines}");
        let by_route = lines.contains(r#""Dimensions":[[],["Route"]]"#);
        assert_eq!(by_route, format == "emf", "{lines}");
    }
}

#[tokio::test]
async fn the_tenant_is_the_claim_that_is_named_or_none() {
    let folder = Folder::new("tenant");
    let signer = Signer::es256();
    let stub = Stub::start().await;
    let claim = ["--tenant-claim", "org"];
    let mut gateway = gateway(&folder, &stub.served.url, &signer, claim).await;
    // Refused for its body, once it is known whose it is.
    for (org, tenant) in [(Value::Null, Value::Null), ("an-org".into(), "an-org".into())] {
        let mut claims = token::claims();
        if org.is_string() {
            claims["org"] = org;
        }
        let request = post("/v1/chat/completions", &signer.sign(&claims), "");
        let refused = send(gateway.address, request).await;
        assert_eq!(slug(refused, StatusCode::BAD_REQUEST).await, "malformed-payload");
        let record: Value = serde_json::from_str(&gateway.said("{").await).unwrap();
        assert_eq!(record["tenant"], tenant);
    }
}
