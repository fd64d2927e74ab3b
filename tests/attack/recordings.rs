//! Streams that are recorded while they are shared.

use http::{Response, header::CONTENT_TYPE};
use hyper::body::Incoming;

use crate::{
    client::{bytes, piece, post, send},
    memory::{Resident, assert_grown_at_most},
    process::Gateway,
    size,
    stub::{Folder, Seen, Stub, gateway},
    token::{self, Signer},
};

const MIB: u64 = 1 << 20;
const PATH: &str = "/v1/chat/completions";
const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Streams that the upstream sends piece by piece.
struct Streams {
    gateway: Gateway,
    stub: Stub,
    token: String,
    _folder: Folder,
}

impl Streams {
    async fn start<const N: usize>(name: &str, flags: [&str; N]) -> Self {
        let (folder, signer) = (Folder::new(name), Signer::es256());
        let stub = Stub::start().await;
        let gateway = gateway(&folder, &stub.served.url, &signer, flags).await;
        Self { gateway, stub, token: signer.sign(&token::claims()), _folder: folder }
    }

    fn request(&self, seed: usize) -> http::Request<http_body_util::Full<bytes::Bytes>> {
        let body = format!(
            r#"{{"model":"demo","temperature":0,"seed":{seed},"stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        post(PATH, &self.token, &body)
    }

    /// A stream whose first event has come, with the upstream's end of it.
    async fn open(&mut self, seed: usize) -> (Incoming, Seen) {
        let request = self.request(seed);
        let (response, seen) = tokio::join!(send(self.gateway.address, request), async {
            let mut seen = self.stub.seen().await;
            seen.answer(EVENT).await;
            seen
        });
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        let mut body = response.into_body();
        assert_eq!(piece(&mut body).await.unwrap(), EVENT);
        (body, seen)
    }
}

/// Each event comes by itself, as models write them, out of a read buffer of its own.
#[tokio::test]
async fn small_events_keep_no_buffers_and_are_replayed_one_by_one() {
    let events = size(600, 7_000);
    let mut all = Streams::start("recordings", ["--cache-ttl", "1h", "--access-log", "off"]).await;
    let mut open = Vec::new();
    for seed in 0..10 {
        open.push(all.open(seed).await);
    }
    let before = Resident::of(&all.gateway);
    for _ in 1..events {
        for (body, seen) in &mut open {
            seen.answer(EVENT).await;
            assert_eq!(piece(body).await.unwrap(), EVENT);
        }
    }
    // Some 150 bytes an event, and 4 KiB were found.
    let most = (10 * events as u64 * 400).max(8 * MIB);
    if let Some(before) = before {
        assert_grown_at_most(&all.gateway, before, most);
    }
    for (mut body, mut seen) in open {
        seen.answer(DONE).await;
        drop(seen);
        assert_eq!(piece(&mut body).await.unwrap(), DONE);
        assert!(piece(&mut body).await.is_none());
    }
    // The honest client is given all of it again.
    let replayed = send(all.gateway.address, all.request(7)).await;
    assert!(replayed.headers()["cache-status"].to_str().unwrap().contains("hit"));
    let whole = bytes(replayed).await;
    assert_eq!(whole.len(), events * EVENT.len() + DONE.len());
    assert!(all.stub.saw_nothing());
}

/// Beyond the memory of shared calls, each request calls for itself, and is served.
#[tokio::test]
async fn calls_beyond_the_memory_of_shared_calls_are_served_and_not_shared() {
    let mut all =
        Streams::start("shared-memory", ["--cache-ttl", "1h", "--cache-max-shared", "64KiB"]).await;
    // One that is shared, and then as many as there is memory for, with some more.
    let mut open = Vec::new();
    for seed in 0..size(20, 200) {
        open.push(all.open(seed).await);
    }
    let follower = send(all.gateway.address, all.request(0)).await;
    assert!(is_collapsed(&follower), "{:?}", follower.headers());
    assert_eq!(piece(&mut follower.into_body()).await.unwrap(), EVENT);
    // The last is shared with nobody, and stored by nobody.
    let last = open.len() - 1;
    open.push(all.open(last).await);
    for (mut body, mut seen) in open {
        seen.answer(DONE).await;
        drop(seen);
        assert_eq!(piece(&mut body).await.unwrap(), DONE);
        assert!(piece(&mut body).await.is_none());
    }
    // There is memory again.
    let (mut body, mut seen) = all.open(last).await;
    let follower = send(all.gateway.address, all.request(last)).await;
    assert!(is_collapsed(&follower), "{:?}", follower.headers());
    seen.answer(DONE).await;
    drop(seen);
    assert_eq!(piece(&mut body).await.unwrap(), DONE);
    assert_eq!(bytes(follower).await, [EVENT, DONE].concat());
}

fn is_collapsed(response: &Response<Incoming>) -> bool {
    response.headers()["cache-status"].to_str().unwrap().ends_with("; collapsed")
}
