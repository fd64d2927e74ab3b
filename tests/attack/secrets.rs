//! The upstream's token does not come back: not in a header, not in a line of the log, not on a
//! terminal, in whichever spelling it is repeated.

use axum::{Router, response::IntoResponse, routing::any};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderName, StatusCode, header};

use crate::{
    client::{CHAT, bytes, post, send},
    process::{Gateway, run},
    stub::{Folder, Served, UPSTREAM_TOKEN, gateway},
    token::{self, Signer},
};

/// The spellings in which a server or a client may repeat a token.
fn spellings(token: &str) -> Vec<String> {
    let percent: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        token.to_owned(),
        token.to_lowercase(),
        token.replace('_', "%5F"),
        percent.to_lowercase(),
        percent,
        hex.to_uppercase(),
        hex,
    ];
    for before in ["", "a", "ab", "Bearer "] {
        let whole = format!("{before}{token}");
        all.extend([STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]);
    }
    all
}

/// What is left of the token in `text`, if something is.
fn leak(text: &str) -> Option<String> {
    spellings(UPSTREAM_TOKEN).into_iter().find(|spelling| text.contains(spelling))
}

/// All that a gateway said until it ended.
async fn all_said(gateway: &mut Gateway) -> String {
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    let mut said = gateway.rest().await;
    said.extend(gateway.rest_of_errors().await);
    said.join("\n")
}

/// An upstream that repeats the token in headers and trailers of every name and spelling, and tries
/// to speak for the gateway.
async fn hostile() -> Served {
    let headers = spellings(UPSTREAM_TOKEN).into_iter().enumerate().map(|(at, spelling)| {
        let name = HeaderName::try_from(format!("x-echo-{at}")).unwrap();
        (name, format!("Bearer {spelling}"))
    });
    let headers: Vec<_> = headers.collect();
    let respond = move || {
        let mut response = r#"{"choices":[]}"#.into_response();
        for (name, value) in &headers {
            response.headers_mut().insert(name.clone(), value.parse().unwrap());
        }
        for name in ["x-accel-redirect", "x-sendfile", "refresh", "set-login", "set-cookie"] {
            response.headers_mut().insert(name, "x".parse().unwrap());
        }
        response.headers_mut().insert("x-honest", "1".parse().unwrap());
        response
    };
    Served::start(Router::new().fallback(any(async move || respond()))).await
}

#[tokio::test]
async fn an_upstream_cannot_pass_the_token_on_in_headers() {
    let upstream = hostile().await;
    let folder = Folder::new("secrets-headers");
    let signer = Signer::es256();
    let mut gateway = gateway(&folder, &upstream.url, &signer, []).await;
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
    let response = send(gateway.address, request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(response.headers()["x-honest"], "1", "{names:?}");
    for removed in ["x-echo", "x-accel", "x-sendfile", "refresh", "set-"] {
        assert!(!names.iter().any(|name| name.starts_with(removed)), "{names:?}");
    }
    bytes(response).await;
    let said = all_said(&mut gateway).await;
    assert_eq!(leak(&said), None, "{said}");
}

#[tokio::test]
async fn a_request_that_names_the_token_is_logged_without_it() {
    let upstream = hostile().await;
    let folder = Folder::new("secrets-log");
    let signer = Signer::es256();
    let log = folder.path("access.log");
    let caller = signer.sign(&token::claims());
    for (to, said) in [("stdout", None), (&*log, Some(&log))] {
        let mut gateway = gateway(&folder, &upstream.url, &signer, ["--access-log", to]).await;
        let mut requests = 0;
        for spelling in spellings(UPSTREAM_TOKEN) {
            let model = CHAT.replace("demo", &spelling);
            let path = format!("/hf-inference/models/{spelling}");
            // With a token, and refused before the upstream's is even looked at.
            for (path, token) in
                [("/v1/chat/completions", &*caller), (&*path, &*caller), (&*path, "")]
            {
                let response = send(gateway.address, post(path, token, &model)).await;
                bytes(response).await;
                requests += 1;
            }
        }
        let honest =
            post("/v1/chat/completions", &caller, &CHAT.replace("demo", "org/honest%2Fmodel"));
        bytes(send(gateway.address, honest).await).await;
        let mut all = all_said(&mut gateway).await;
        if let Some(log) = said {
            all.push_str(&std::fs::read_to_string(log).unwrap());
        }
        assert_eq!(leak(&all), None, "{all}");
        assert_eq!(all.matches("\"bytes_in\"").count(), requests + 1);
        assert!(all.matches("\"[redacted]\"").count() >= requests, "{all}");
        assert!(all.contains(r#""model":"org/honest%2Fmodel""#), "{all}");
    }
}

#[tokio::test]
async fn a_check_does_not_print_the_token_that_an_error_repeats() {
    // Also where the message is cut, at 200 characters.
    for before in [0, 150, 199] {
        for spelling in spellings(UPSTREAM_TOKEN) {
            let message = format!("{}{spelling} was not taken", "x ".repeat(before / 2));
            let body = serde_json::json!({ "error": { "message": message } }).to_string();
            let respond = async move || (StatusCode::BAD_REQUEST, body);
            let upstream = Served::start(Router::new().fallback(any(respond))).await;
            let folder = Folder::new("secrets-check");
            let token = folder.write("token", UPSTREAM_TOKEN);
            let output =
                run(["--check", "--upstream", &upstream.url, "--hf-token-file", &token]).await;
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(said.contains("Its message: "), "{said}");
            let parts = (8..=UPSTREAM_TOKEN.len()).map(|end| &UPSTREAM_TOKEN[..end]);
            assert_eq!(leak(&said), None, "{said}");
            assert!(!parts.into_iter().any(|part| said.contains(part)), "{said}");
        }
    }
}

#[tokio::test]
async fn a_token_in_place_of_its_variable_or_file_is_not_repeated() {
    let upstream = ["--check", "--upstream", "http://127.0.0.1:1"];
    for args in [
        &["--hf-token-env", UPSTREAM_TOKEN][..],
        &["--hf-token-file", UPSTREAM_TOKEN],
        &["--hf-token-env=hf_only_the_gateway_has_this"],
        &[UPSTREAM_TOKEN],
    ] {
        let output = run(upstream.iter().chain(args)).await;
        assert_ne!(output.status.code(), Some(0));
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.starts_with("gateway: "), "{said}");
        assert_eq!(leak(&said), None, "{said}");
    }
}

#[tokio::test]
async fn a_replaced_token_does_not_return_either() {
    let repeat = async |headers: http::HeaderMap| {
        let sent = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
        [("x-sent", sent), ("x-before", UPSTREAM_TOKEN.to_owned()), ("x-honest", "1".to_owned())]
    };
    let upstream = Served::start(Router::new().fallback(any(repeat))).await;
    let folder = Folder::new("secrets-rotated");
    let signer = Signer::es256();
    let mut gateway = gateway(&folder, &upstream.url, &signer, []).await;
    folder.write("token", "hf_the_one_that_came_after_it");
    for path in [UPSTREAM_TOKEN, "hf_the_one_that_came_after_it"] {
        let path = format!("/hf-inference/models/{path}");
        let request = post(&path, &signer.sign(&token::claims()), CHAT);
        let response = send(gateway.address, request).await;
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert!(names.contains(&"x-honest") && !names.contains(&"x-before"), "{names:?}");
        assert!(!names.contains(&"x-sent"), "{names:?}");
        bytes(response).await;
    }
    let said = all_said(&mut gateway).await;
    assert_eq!(leak(&said), None, "{said}");
}
