//! Servers of limits and responses that are full, evict, or flood.

use axum::{Router, extract::Request, response::IntoResponse};
use http::{StatusCode, header};

use crate::{
    client::{CHAT, bytes, post, send, slug},
    fake::{Fake, Flood, When},
    memory::{Resident, assert_grown_at_most},
    process::{Gateway, unless_hung},
    redis::Brand,
    size,
    stub::{self, Folder, Served},
    token::{self, Signer},
};

const PATH: &str = "/v1/chat/completions";
const SECRET: &str = "a secret that all replicas have";
const MIB: u64 = 1 << 20;

/// Answers with a document of this many bytes.
async fn upstream(bytes: usize) -> Served {
    let answer = move |_: Request| async move {
        let text = "x".repeat(bytes);
        let document = format!(
            r#"{{"choices":[{{"message":{{"content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#
        );
        ([(header::CONTENT_TYPE, "application/json")], document).into_response()
    };
    Served::start(Router::new().fallback(answer)).await
}

async fn gateway(folder: &Folder, upstream: &Served, signer: &Signer, flags: &[&str]) -> Gateway {
    let jwks = folder.write("jwks.json", &signer.jwks());
    let secret = folder.write("secret", SECRET);
    let shared = ["--redis-secret-file", &secret, "--redis-wait", "5s"];
    let flags = flags.iter().copied().chain(shared);
    stub::gateway_with(folder, &upstream.url, &jwks, flags).await
}

fn asking(number: usize) -> String {
    format!(r#"{{"model":"m","seed":{number},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// Each flood would be 256 MiB, once for each connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_floods_costs_no_memory() {
    let signer = Signer::es256();
    let token = signer.sign(&token::claims());
    let upstream = upstream(100).await;
    for (number, flood) in Flood::ALL.into_iter().enumerate() {
        let fake = Fake::start(flood, When::InUse, 256 * MIB).await;
        let folder = Folder::new(&format!("attack-flood-{number}"));
        let url = fake.address();
        let limits = ["--rate", "1000/s", "--redis-limits", &url, "--redis-replicas", "1"];
        let cache = ["--cache-ttl", "5m", "--redis-cache", &url];
        for flags in [&limits[..], &cache] {
            let gateway = gateway(&folder, &upstream, &signer, flags).await;
            // Threads and their stacks are there.
            bytes(send(gateway.address, post(PATH, &token, CHAT)).await).await;
            let before = Resident::of(&gateway);
            let floods = fake.floods();
            let mut asked = 0;
            let attack = async {
                while fake.floods() < floods + size(1, 5) {
                    asked += 1;
                    let honest = post(PATH, &token, &asking(asked));
                    let answer = send(gateway.address, honest).await;
                    assert_eq!(answer.status(), StatusCode::OK, "{flood:?}");
                    bytes(answer).await;
                }
            };
            unless_hung(attack).await;
            if let Some(before) = before {
                assert_grown_at_most(&gateway, before, 16 * MIB);
            }
        }
    }
}

/// In one server with `allkeys-lru`, the cache evicts the counters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_survives_the_cache_that_evicts_it() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let mut wire = server.wire();
        wire.must("CONFIG SET maxmemory-policy allkeys-lru");
        let memory = wire.must("INFO memory").text();
        let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let most = used.trim().parse::<u64>().unwrap() + 4 * MIB;
        wire.must(&format!("CONFIG SET maxmemory {most}"));

        let signer = Signer::es256();
        let folder = Folder::new(&format!("attack-evict-{brand:?}"));
        let upstream = upstream(200 << 10).await;
        let url = server.address();
        let quota = size(20, 200);
        let limit = format!("{quota}/month");
        let shared = ["--redis-limits", &url, "--redis-cache", &url];
        let flags = ["--quota", &limit, "--cache-ttl", "10m", "--cache-max", "1MiB"];
        let flags = [&flags[..], &shared].concat();
        let mut gateway = gateway(&folder, &upstream, &signer, &flags).await;
        gateway.complained("evicts counters").await;

        let token = |caller: &str| {
            let mut claims = token::claims();
            claims["sub"] = caller.into();
            signer.sign(&claims)
        };
        let victim = token("victim");
        for number in 0..quota {
            let answer = send(gateway.address, post(PATH, &victim, &asking(number))).await;
            assert_eq!(answer.status(), StatusCode::OK);
            bytes(answer).await;
        }
        // Another caller fills the server, until it holds no counter but its own.
        let others = async {
            let mut number = 0;
            loop {
                let other = token(&format!("other-{}", number / quota));
                let answer = send(gateway.address, post(PATH, &other, &asking(number))).await;
                assert_eq!(answer.status(), StatusCode::OK);
                bytes(answer).await;
                number += 1;
                let counters = server.keys().iter().filter(|key| key.starts_with('{')).count();
                if number > quota * 2 && counters <= number.div_ceil(quota) - 2 {
                    return;
                }
            }
        };
        unless_hung(others).await;
        let refused = send(gateway.address, post(PATH, &victim, CHAT)).await;
        assert_eq!(slug(refused, StatusCode::TOO_MANY_REQUESTS).await, "quota-exceeded");
    }
}
