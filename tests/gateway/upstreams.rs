//! Several upstreams: which one serves, with which token and model.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{
    client::{CHAT, bytes, get, post, send},
    process::{Gateway, run},
    stub::{Folder, Served},
    token::{self, Signer},
};

const COMPLETION: &str = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

/// An upstream that responds with one status and records the requests.
struct Upstream {
    served: Served,
    seen: Arc<Mutex<Vec<(String, HeaderMap, Value)>>>,
}

type Responding = (StatusCode, Arc<Mutex<Vec<(String, HeaderMap, Value)>>>);

async fn respond(State((status, seen)): State<Responding>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    seen.lock().unwrap().push((head.uri.path().to_owned(), head.headers, body));
    let json = [(header::CONTENT_TYPE, "application/json")];
    let body = if status.is_success() { COMPLETION } else { r#"{"error":"overloaded"}"# };
    (status, json, body).into_response()
}

impl Upstream {
    async fn responding(status: StatusCode) -> Self {
        let seen = Arc::default();
        let router = Router::new().fallback(respond).with_state((status, Arc::clone(&seen)));
        Self { served: Served::start(router).await, seen }
    }

    fn take(&self) -> Vec<(String, HeaderMap, Value)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Returns the models and the values of `authorization` that it saw.
    fn models(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seen = self.take();
        let token = |head: &HeaderMap| head["authorization"].to_str().unwrap().to_owned();
        seen.iter().map(|(_, head, body)| (text(&body["model"]), token(head))).collect()
    }
}

/// Two upstreams behind one gateway.
struct Two {
    folder: Folder,
    signer: Signer,
    first: Upstream,
    second: Upstream,
}

impl Two {
    async fn new(name: &str, first: StatusCode, second: StatusCode) -> Self {
        Self {
            folder: Folder::new(name),
            signer: Signer::es256(),
            first: Upstream::responding(first).await,
            second: Upstream::responding(second).await,
        }
    }

    fn flags(&self) -> Vec<String> {
        let [one, other] =
            ["one", "other"].map(|name| self.folder.write(name, &format!("hf_of_{name}")));
        let first = format!("one={}", self.first.served.url);
        let second = format!("other={}", self.second.served.url);
        [
            ["--upstream", &first],
            ["--hf-token-file", &one],
            ["--upstream", &second],
            ["--hf-token-file", &other],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
    }

    async fn gateway(&self, more: &[&str]) -> Gateway {
        let jwks = self.folder.write("jwks.json", &self.signer.jwks());
        let callers = [
            ["--issuer", token::ISSUER],
            ["--audience", token::AUDIENCE],
            ["--scope", token::SCOPE],
            ["--jwks", &jwks],
        ];
        let callers = callers.concat().into_iter().chain(more.iter().copied());
        Gateway::start(self.flags().into_iter().chain(callers.map(str::to_owned))).await
    }

    async fn chat(&self, gateway: &Gateway, model: &str) -> (StatusCode, Option<String>) {
        let body = CHAT.replace("\"demo\"", &format!("\"{model}\""));
        let caller = self.signer.sign(&token::claims());
        let response = send(gateway.address, post("/v1/chat/completions", &caller, &body)).await;
        let target = response.headers().get("x-inference-target");
        (response.status(), target.map(|target| target.to_str().unwrap().to_owned()))
    }
}

fn model(name: &str, token: &str) -> (String, String) {
    (name.to_owned(), format!("Bearer {token}"))
}

#[tokio::test]
async fn alias_has_a_model_and_a_token_at_each_target() {
    let two = Two::new("alias", StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK).await;
    let gateway = two.gateway(&["--model-alias", "smart=one/org/large:groq,other/small"]).await;
    let served = two.chat(&gateway, "smart").await;
    assert_eq!(served, (StatusCode::OK, Some("other/small".to_owned())));
    assert_eq!(two.first.models(), [model("org/large:groq", "hf_of_one")]);
    assert_eq!(two.second.models(), [model("small", "hf_of_other")]);
}

#[tokio::test]
async fn model_without_an_alias_is_tried_at_every_upstream() {
    let two = Two::new("no-alias", StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK).await;
    let gateway = two.gateway(&[]).await;
    let served = two.chat(&gateway, "org/m").await;
    assert_eq!(served, (StatusCode::OK, Some("other".to_owned())));
    assert_eq!(two.first.models(), [model("org/m", "hf_of_one")]);
    assert_eq!(two.second.models(), [model("org/m", "hf_of_other")]);
}

#[tokio::test]
async fn name_of_the_target_is_hidden_by_flag() {
    let two = Two::new("hidden", StatusCode::OK, StatusCode::OK).await;
    let gateway = two.gateway(&["--hide-target"]).await;
    assert_eq!(two.chat(&gateway, "org/m").await, (StatusCode::OK, None));
}

#[tokio::test]
async fn retries_are_counted_by_flag() {
    let two = Two::new("retries", StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR).await;
    let more = ["--model-alias", "a=other/m", "--retry", "2"];
    let gateway = two.gateway(&more).await;
    let (status, _) = two.chat(&gateway, "a").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(two.second.take().len(), 3);
    assert!(two.first.take().is_empty());
}

#[tokio::test]
async fn one_upstream_has_neither_fallback_nor_its_header() {
    let folder = Folder::new("one-upstream");
    let signer = Signer::es256();
    let upstream = Upstream::responding(StatusCode::OK).await;
    let more = ["--bill-to", "acme", "--profile", "anthropic"];
    let gateway = crate::stub::gateway(&folder, &upstream.served.url, &signer, more).await;
    let caller = signer.sign(&token::claims());
    let response = send(gateway.address, post("/v1/chat/completions", &caller, CHAT)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("x-inference-target"));
    let [(_, head, _)] = &*upstream.take() else { panic!("one request") };
    assert_eq!(head["x-hf-bill-to"], "acme");
    assert!(head.contains_key("x-api-key") && !head.contains_key("authorization"));
    // Open at the gateway, but not a route of Anthropic.
    let response = send(gateway.address, post("/v1/embeddings", &caller, CHAT)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(upstream.take().is_empty());
}

#[tokio::test]
async fn check_says_which_upstream_fails() {
    let two = Two::new("check-two", StatusCode::OK, StatusCode::FORBIDDEN).await;
    let flags = two.flags().into_iter().chain(["--check".to_owned()]);
    let output = run(flags.chain(["--check-model", "m"].map(str::to_owned))).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("one: Fine: "), "{said}");
    assert!(lines[1].starts_with("other: The token lacks a permission: "), "{said}");
    assert_eq!(two.first.models(), [model("tgi", "hf_of_one")]);
    // The model that was named after it.
    assert_eq!(two.second.models(), [model("m", "hf_of_other")]);
}

#[tokio::test]
async fn upstream_that_cannot_be_opened_is_named() {
    let two = Two::new("unopened", StatusCode::OK, StatusCode::OK).await;
    std::fs::remove_file(two.folder.write("gone", "")).unwrap();
    let gone = two.folder.path("gone");
    let third = ["--upstream", "third=http://127.0.0.1:1", "--hf-token-file", &gone, "--check"];
    let flags = two.flags().into_iter().chain(third.map(str::to_owned));
    let output = run(flags).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("gateway: --hf-token-file of third: "), "{said}");
}

#[tokio::test]
async fn gateway_with_several_upstreams_is_ready() {
    let two = Two::new("ready-two", StatusCode::OK, StatusCode::OK).await;
    let gateway = two.gateway(&[]).await;
    assert_eq!(send(gateway.address, get("/readyz")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn token_of_the_serving_upstream_is_masked_in_bodies_by_flag() {
    async fn repeat(headers: HeaderMap) -> String {
        let token = headers["authorization"].to_str().unwrap();
        format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"{token}"}}}}]}}"#)
    }
    let mut two = Two::new("scrubbed", StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK).await;
    two.second.served = Served::start(Router::new().fallback(repeat)).await;
    let caller = two.signer.sign(&token::claims());
    for (flags, has_token) in [(&[][..], true), (&["--scrub-bodies"][..], false)] {
        let gateway = two.gateway(flags).await;
        let request = post("/v1/chat/completions", &caller, CHAT);
        let response = send(gateway.address, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = bytes(response).await;
        let found = body.windows(11).any(|part| part == b"hf_of_other");
        assert_eq!(found, has_token, "{body:?}");
    }
}
