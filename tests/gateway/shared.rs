//! `--redis-limits`, `--redis-cache`: gateways that share what their callers may take, and what they were answered, over
//! real HTTP and a real server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use axum::{Router, response::IntoResponse};
use http::{StatusCode, header};
use tokio::task::JoinSet;

use crate::{
    client::{CHAT, bytes, post, send, slug},
    process::{Gateway, run, unless_hung},
    redis::{Brand, Server},
    stub::{self, Folder, Served},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";
const SECRET: &str = "a secret that all replicas have";

/// An upstream, a server, and replicas in front of the one who share the other.
struct Replicas {
    gateways: Vec<Gateway>,
    signer: Signer,
    token: String,
    calls: Arc<AtomicUsize>,
    server: Server,
    upstreams: Vec<Served>,
    folder: Folder,
}

impl Replicas {
    /// Two of a brand, or `None` where its server is not here.
    async fn start<'a>(
        name: &str,
        brand: Brand,
        flags: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let server = brand.start()?;
        let folder = Folder::new(&format!("{name}-{brand:?}"));
        let signer = Signer::es256();
        let token = signer.sign(&token::claims());
        let (gateways, upstreams) = (Vec::new(), Vec::new());
        let calls = Arc::default();
        let mut replicas = Self { gateways, signer, token, calls, server, upstreams, folder };
        replicas.add(flags).await;
        Some(replicas)
    }

    /// Two more, in front of another upstream.
    async fn add<'a>(&mut self, flags: impl IntoIterator<Item = &'a str>) {
        let flags: Vec<_> = flags.into_iter().collect();
        let counting = Arc::clone(&self.calls);
        let answer = move || async move {
            counting.fetch_add(1, SeqCst);
            ([(header::CONTENT_TYPE, "application/json")], ANSWER).into_response()
        };
        let upstream = Served::start(Router::new().fallback(answer)).await;
        let (redis, secret) = (self.server.address(), self.folder.write("secret", SECRET));
        // What there is nothing of is not shared.
        let cached = flags.contains(&"--cache-ttl");
        let place = if cached { "--redis-cache" } else { "--redis-limits" };
        let shared = [place, &redis, "--redis-secret-file", &secret, "--redis-wait", "5s"];
        let jwks = self.folder.write("jwks.json", &self.signer.jwks());
        for _ in 0..2 {
            let flags = shared.into_iter().chain(flags.iter().copied());
            self.gateways.push(stub::gateway_with(&self.folder, &upstream.url, &jwks, flags).await);
        }
        self.upstreams.push(upstream);
    }

    /// How many of so many pass, all at a time, to each gateway as many.
    async fn passing(&self, requests: usize) -> usize {
        let mut running = JoinSet::new();
        for number in 0..requests {
            let address = self.gateways[number % self.gateways.len()].address;
            let request = post(PATH, &self.token, CHAT);
            running.spawn(async move { send(address, request).await.status() });
        }
        let statuses = running.join_all().await;
        let refused = statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
        let passed = statuses.iter().filter(|status| **status == StatusCode::OK).count();
        assert_eq!(passed + refused.count(), requests, "{statuses:?}");
        passed
    }

    /// Asks one gateway a question of its own number: whether the answer was kept somewhere.
    async fn is_hit(&self, gateway: usize, token: &str, question: u64) -> bool {
        let body = format!(r#"{{"model":"demo","seed":{question},"messages":[]}}"#);
        let before = self.calls.load(SeqCst);
        let answer = send(self.gateways[gateway].address, post(PATH, token, &body)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let hit = answer.headers()["cache-status"].to_str().unwrap().contains("; hit; ");
        assert_eq!(bytes(answer).await, ANSWER);
        assert_eq!(self.calls.load(SeqCst) - before, usize::from(!hit));
        hit
    }

    /// Asks one after the other, each time another question, until the second has what the first
    /// was answered. At first it does not: nobody waits for a connection, or until all is written.
    async fn shares(&self, first: usize, second: usize, questions: &mut u64) {
        let until_it_does = async {
            loop {
                *questions += 1;
                assert!(!self.is_hit(first, &self.token, *questions).await);
                if self.is_hit(second, &self.token, *questions).await {
                    return;
                }
            }
        };
        unless_hung(until_it_does).await;
    }
}

const ANSWER: &str = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_never_let_pass_more_than_one_would() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let flags = ["--rate", "20/s", "--burst", "20"];
        let Some(replicas) = Replicas::start("shared", brand, flags).await else { continue };
        let begin = Instant::now();
        let passed = replicas.passing(2 * 20).await + replicas.passing(2 * 20).await;
        let grown = begin.elapsed().as_secs_f64() * 20.0;
        assert!(passed >= 20, "{passed}");
        assert!(passed as f64 <= 20.0 + grown + 1.0, "{passed} where {grown} had grown");
        assert_eq!(replicas.calls.load(SeqCst), passed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_leases_the_overshoot_is_what_two_may_hold() {
    let flags = ["--rate", "40/day", "--redis-lease", "5"];
    let started = Replicas::start("leased", Brand::Redis, flags).await;
    let Some(replicas) = started else { return };
    let before = replicas.server.scripts();
    for _ in 0..20 {
        let answer = send(replicas.gateways[0].address, post(PATH, &replicas.token, CHAT)).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert!(replicas.server.scripts() - before < 20, "some were served by a lease");
    let passed = 20 + replicas.passing(100).await + replicas.passing(100).await;
    assert!((40 - 2 * 5..=40 + 2 * 5).contains(&passed), "{passed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_each_gateway_has_its_share_or_none() {
    for (more, share) in [(vec!["--redis-replicas", "2"], 5), (Vec::new(), 0)] {
        let flags = ["--quota", "10/month"].into_iter().chain(more);
        let started = Replicas::start(&format!("share-{share}"), Brand::Redis, flags).await;
        let Some(mut replicas) = started else { return };
        assert_eq!(replicas.passing(2).await, 2);
        replicas.server.end();
        for gateway in &replicas.gateways {
            let mut passed = 0;
            for _ in 0..8 {
                let answer = send(gateway.address, post(PATH, &replicas.token, CHAT)).await;
                match answer.status() {
                    StatusCode::OK => passed += 1,
                    away @ StatusCode::SERVICE_UNAVAILABLE => {
                        assert_eq!(slug(answer, away).await, "throttle-unavailable");
                    }
                    status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
                }
            }
            assert_eq!(passed, share);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_of_one_gateway_serves_the_other() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let flags = ["--cache-ttl", "5m"];
        let Some(mut replicas) = Replicas::start("answers", brand, flags).await else { continue };
        let mut questions = 0;
        replicas.shares(0, 1, &mut questions).await;
        replicas.shares(1, 0, &mut questions).await;
        // Not whoever asks, though; nor those who ask another upstream.
        let mut claims = token::claims();
        claims["sub"] = "another".into();
        let another = replicas.signer.sign(&claims);
        assert!(!replicas.is_hit(0, &another, questions).await);
        replicas.add(flags).await;
        let last = questions;
        replicas.shares(2, 3, &mut questions).await;
        assert!(!replicas.is_hit(3, &replicas.token, last).await);

        let keys = replicas.server.keys();
        assert!(!keys.is_empty());
        for key in keys {
            assert!(key.starts_with("tower-inference-cache:v1:"), "{key}");
            let value = replicas.server.value(&key);
            assert!(!value.windows(7).any(|part| part == b"choices"), "{key} can be read");
        }

        // Without it, each has what it was answered itself.
        replicas.server.end();
        questions += 1;
        for gateway in [0, 1] {
            assert!(!replicas.is_hit(gateway, &replicas.token, questions).await);
            assert!(replicas.is_hit(gateway, &replicas.token, questions).await);
        }
    }
}

#[tokio::test]
async fn an_invalid_server_or_secret_is_reported_at_start() {
    let folder = Folder::new("no-server");
    let short = folder.write("short", "too short");
    let secret = folder.write("secret", SECRET);
    let missing = folder.path("missing");
    for (url, secret, said) in [
        ("http://127.0.0.1", &secret, ": the address of the Redis server cannot be used"),
        (
            "redis://127.0.0.1",
            &short,
            "the secret of --redis-limits and --redis-cache has fewer than 16 characters",
        ),
        ("redis://127.0.0.1", &missing, "--redis-secret-file"),
    ] {
        for shared in [["--rate", "1/s", "--redis-limits"], ["--cache-ttl", "5m", "--redis-cache"]]
        {
            let flags = [url, "--redis-secret-file", secret, "--listen", "127.0.0.1:0"];
            let output = run(shared.into_iter().chain(flags)).await;
            assert_eq!(output.status.code(), Some(1));
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(said), "{stderr}");
            assert!(!stderr.contains("too short") && output.stdout.is_empty(), "{stderr}");
        }
    }
}
