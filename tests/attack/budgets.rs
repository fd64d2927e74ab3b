//! Token budgets: requests, upstreams and failures that would lock out a caller, or cost nothing.
//!
//! Whatever happens, the caller is back after two windows of the budget at the latest: `retry-after`
//! says how long that is.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::channel::Channel;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::{
    client::{bytes, piece, post, send, slug},
    process::{Gateway, unless_hung},
    redis::{Brand, Server},
    stub::{self, Folder, Served},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";
const SECRET: &str = "a secret that all replicas have";
/// Of the budgets here, in seconds: `1000/min`.
const WINDOW: u64 = 60;
const HONEST: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":20}"#;
const ANSWER: &str = r#"{"choices":[{"message":{"content":"hello"}}],"usage":{"prompt_tokens":6,"completion_tokens":2}}"#;

/// A gateway, its upstream, and one caller.
struct Attacked {
    gateway: Gateway,
    token: String,
    signer: Signer,
    folder: Folder,
    // Of the secret that replicas share.
    _secret: Option<Folder>,
    upstream: Served,
    flags: Vec<String>,
}

impl Attacked {
    async fn start(name: &str, upstream: Router, more: &[&str]) -> Self {
        let (folder, signer) = (Folder::new(&format!("attack-budget-{name}")), Signer::es256());
        let upstream = Served::start(upstream).await;
        let mut flags = vec!["--token-budget".to_owned(), "1000/min".to_owned()];
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let jwks = folder.write("jwks.json", &signer.jwks());
        let given = flags.iter().map(String::as_str);
        let gateway = stub::gateway_with(&folder, &upstream.url, &jwks, given).await;
        let token = signer.sign(&token::claims());
        Self { gateway, token, signer, folder, _secret: None, upstream, flags }
    }

    /// The same over a server, of which the gateway is one replica.
    async fn shared(name: &str, upstream: Router, server: &Server) -> Self {
        let secret = Folder::new(&format!("attack-secret-{name}"));
        let (url, file) = (server.address(), secret.write("secret", SECRET));
        let shared = ["--redis-limits", &url, "--redis-secret-file", &file, "--redis-wait", "5s"];
        Self { _secret: Some(secret), ..Self::start(name, upstream, &shared).await }
    }

    /// Another gateway in place of the one that was killed.
    async fn start_again(&mut self) {
        let jwks = self.folder.write("jwks.json", &self.signer.jwks());
        let given = self.flags.iter().map(String::as_str);
        self.gateway = stub::gateway_with(&self.folder, &self.upstream.url, &jwks, given).await;
    }

    async fn ask(&self, body: &str) -> http::Response<Incoming> {
        send(self.gateway.address, post(PATH, &self.token, body)).await
    }

    /// How long the honest caller must wait, in seconds.
    async fn wait(&self) -> u64 {
        let answer = self.ask(HONEST).await;
        match answer.status() {
            StatusCode::OK => 0,
            status => {
                assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
                answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap()
            }
        }
    }

    /// What is left of the budget while an honest request is under way.
    async fn left(&self) -> u64 {
        let answer = self.ask(HONEST).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let told = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
        bytes(answer).await;
        let left = told.strip_prefix(r#""tokens";r="#).and_then(|told| told.split(';').next());
        left.unwrap_or_else(|| panic!("{told}")).parse().unwrap()
    }
}

fn json(body: &'static str) -> Router {
    Router::new().fallback(move || async move {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    })
}

/// Begins a stream with this text, says when a request has come, and never ends.
fn endless(text: String, came: Arc<Notify>) -> Router {
    Router::new().fallback(move || {
        let (text, came) = (text.clone(), Arc::clone(&came));
        async move {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
            tokio::spawn(async move {
                let event =
                    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
                let _left = sender.send_data(event.into()).await;
                came.notify_one();
                std::future::pending::<()>().await;
            });
            let mut response = Response::new(Body::new(body));
            let stream = http::HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, stream);
            response
        }
    })
}

/// Asks for as good as all of the budget.
const GREEDY: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":990,"stream":true}"#;

#[tokio::test]
async fn a_request_for_four_billion_tokens_is_refused_and_costs_nothing() {
    let attacked = Attacked::start("greedy", json(ANSWER), &[]).await;
    for (output, more) in
        [("4000000000", ""), ("4e9", ""), ("9223372036854775807", ""), ("100", r#","n":11"#)]
    {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"max_tokens":{output}{more}}}"#
        );
        let refused = attacked.ask(&body).await;
        assert_eq!(slug(refused, StatusCode::BAD_REQUEST).await, "exceeds-limit", "{body}");
    }
    assert_eq!(attacked.left().await, 1_000 - 27);
    // The gateway's own limit, where the request has none, fits.
    let silent = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(attacked.ask(silent).await.status(), StatusCode::OK);
}

const ABSURD: [&str; 3] = [
    r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"total_tokens":18446744073709551615}}"#,
    r#"{"choices":[{"message":{"content":"x"}}],"usage":{"total_tokens":99999999999999999999999999}}"#,
    r#"{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":-1,"completion_tokens":4e9}}"#,
];

#[tokio::test]
async fn absurd_usage_of_an_upstream_locks_no_caller_out() {
    for (number, absurd) in ABSURD.into_iter().enumerate() {
        let attacked = Attacked::start(&format!("absurd-{number}"), json(absurd), &[]).await;
        let before = attacked.left().await;
        // A token for each byte of the body at the most, 256 around them, and the output limit.
        assert!(attacked.left().await >= before.saturating_sub(HONEST.len() as u64 + 256 + 20));
        for _ in 0..50 {
            bytes(attacked.ask(HONEST).await).await;
        }
        assert!(attacked.wait().await <= 2 * WINDOW);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_usage_of_an_upstream_locks_no_caller_out_over_redis() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let attacked =
            Attacked::shared(&format!("absurd-{brand:?}"), json(ABSURD[0]), &server).await;
        for _ in 0..50 {
            bytes(attacked.ask(HONEST).await).await;
        }
        assert!(attacked.wait().await <= 2 * WINDOW);
    }
}

/// What was reserved when the gateway was killed, drained, or could not settle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reservation_costs_one_window_at_most() {
    for how in ["crash", "drain", "outage"] {
        for brand in [Brand::Redis, Brand::Valkey] {
            let Some(server) = brand.start() else { continue };
            let came = Arc::new(Notify::new());
            let upstream = endless("x".to_owned(), Arc::clone(&came));
            let mut attacked =
                Attacked::shared(&format!("{how}-{brand:?}"), upstream, &server).await;
            let answer = attacked.ask(GREEDY).await;
            assert_eq!(answer.status(), StatusCode::OK);
            unless_hung(came.notified()).await;
            assert!(attacked.wait().await > 0, "the budget is reserved");
            match how {
                "crash" => attacked.gateway.signal("KILL").await,
                "drain" => {
                    attacked.gateway.signal("TERM").await;
                    attacked.gateway.signal("TERM").await;
                }
                _ => {
                    // The caller leaves while nobody can be told what was used.
                    server.hang();
                    drop(answer);
                    attacked.gateway.signal("KILL").await;
                    server.go_on();
                }
            }
            attacked.gateway.ended().await;
            attacked.start_again().await;
            assert!(attacked.wait().await <= WINDOW, "{how}");
        }
    }
}

/// One delta may have the text of many tokens.
#[tokio::test]
async fn a_stream_that_is_cut_is_charged_for_its_text() {
    let came = Arc::new(Notify::new());
    let text = "word ".repeat(400);
    let attacked = Attacked::start("cut", endless(text.clone(), Arc::clone(&came)), &[]).await;
    let mut body = attacked.ask(GREEDY).await.into_body();
    let mut read = 0;
    while read < text.len() {
        read += piece(&mut body).await.unwrap().len();
    }
    drop(body);
    // 488 for the text, and 7 for the prompt; the rest is given back once the gateway has noticed.
    let left = async {
        loop {
            let answer = attacked.ask(HONEST).await;
            if answer.status() == StatusCode::OK {
                let told = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
                return told;
            }
        }
    };
    let told = unless_hung(left).await;
    let left: u64 =
        told.trim_start_matches(r#""tokens";r="#).split(';').next().unwrap().parse().unwrap();
    assert!(left <= 1_000 - 488, "{told}");
}
