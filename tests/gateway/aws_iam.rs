//! `--iam-credentials` and `--sts-server-id`, over HTTP.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{CHAT, json, post, send},
    process::{Gateway, unless_hung},
    stub::{Folder, Served, gateway},
    token::{self, Signer},
};

/// The default of `StsIdentity::max_calls_per_address`.
const CALLS: u32 = 30;

/// The text of `X-Amz-Date` now.
fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (mut day, second) = (now / 86_400, now % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4);
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", day + 1)
}

/// Asks with a new token, as a proxy does that has heard `forwarded`.
async fn ask(forwarded: &'static str, number: u32, gateway: &Gateway) -> StatusCode {
    let date = date();
    let url = format!(
        "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&\
         X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&\
         X-Amz-Credential=AKIDEXAMPLE%2F{}%2Fus-east-1%2Fsts%2Faws4_request&\
         X-Amz-SignedHeaders=host%3Bx-inference-server-id&X-Amz-Signature={number:064x}",
        &date[..8]
    );
    let token = format!("aws-sts-v1.{}", URL_SAFE_NO_PAD.encode(url));
    let mut request = post("/v1/chat/completions", &token, CHAT);
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(forwarded));
    send(gateway.address, request).await.status()
}

#[tokio::test]
async fn behind_a_trusted_proxy_calls_count_for_the_address_it_names() {
    let folder = Folder::new("sts-calls");
    // Refuses every signature.
    let sts = Served::start(Router::new().fallback(async || StatusCode::FORBIDDEN)).await;
    let flags = [
        "--sts-server-id",
        "gateway.example",
        "--sts-accounts",
        "111122223333",
        "--sts-endpoint",
        &sts.url,
        "--trusted-proxy",
        "127.0.0.1",
    ];
    let upstream = "http://127.0.0.1:9";
    let gateway = gateway(&folder, upstream, &Signer::es256(), flags).await;
    for number in 0..CALLS {
        assert_eq!(ask("203.0.113.7", number, &gateway).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(ask("203.0.113.7", CALLS, &gateway).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("203.0.113.8", CALLS, &gateway).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_a_public_url_requests_are_signed_for_its_host() {
    let folder = Folder::new("iam-hosts");
    let credentials = folder.write("credentials.json", "[]");
    let flags = [
        "--iam-credentials",
        &credentials,
        "--iam-region",
        "us-east-1",
        "--public-url",
        "https://gateway.example/inference",
    ];
    let gateway = gateway(&folder, "http://127.0.0.1:9", &Signer::es256(), flags).await;
    let date = date();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKID/{}/us-east-1/execute-api/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={:064}",
        &date[..8],
        0
    );
    for (host, cause) in [
        ("gateway.example", "the signature does not match"),
        ("evil.example", "the request is signed for another host"),
    ] {
        let mut request = post("/v1/chat/completions", "", CHAT);
        for (name, value) in
            [("host", host), ("x-amz-date", &date), ("authorization", &authorization)]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = send(gateway.address, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let text = json(response).await.to_string();
        assert!(text.contains(cause), "{host}: {text}");
    }
}

#[tokio::test]
async fn bodies_of_unverified_callers_take_no_memory_from_those_of_known_ones() {
    const SIZE: usize = 300 << 10;
    let folder = Folder::new("iam-memory");
    let credentials = r#"[{"access_key_id":"AKID","secret_access_key":"0123456789abcdef"}]"#;
    let credentials = folder.write("credentials.json", credentials);
    let flags =
        ["--iam-credentials", &credentials, "--iam-region", "us-east-1", "--max-bodies", "4MiB"];
    let signer = Signer::es256();
    let gateway = gateway(&folder, "http://127.0.0.1:9", &signer, flags).await;
    let date = date();
    let forged = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-amz-date: {date}\r\n\
         content-type: application/json\r\ncontent-length: {SIZE}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=AKID/{}/us-east-1/execute-api/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={:064}\r\n\r\n{}",
        &date[..8],
        0,
        " ".repeat(SIZE - 1)
    );
    // Bodies without their last byte, until three whole ones in a row find no memory.
    let mut open = Vec::new();
    let full = async {
        let mut refused = 0;
        while refused < 3 {
            let mut stalled = TcpStream::connect(gateway.address).await.unwrap();
            stalled.write_all(forged.as_bytes()).await.unwrap();
            open.push(stalled);
            let mut whole = TcpStream::connect(gateway.address).await.unwrap();
            whole.write_all(forged.as_bytes()).await.unwrap();
            let _refused = whole.write_all(b" ").await;
            let mut status = [0; 12];
            match whole.read_exact(&mut status).await.map(|_| &status) {
                Ok(b"HTTP/1.1 401") => refused = 0,
                Ok(b"HTTP/1.1 503") => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    unless_hung(full).await;
    let body = format!("{{\"model\": \"tgi\", \"user\": \"{}\"}}", "a".repeat(3 * SIZE));
    let token = signer.sign(&token::claims());
    let response = send(gateway.address, post("/v1/chat/completions", &token, &body)).await;
    // There is no upstream.
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}
