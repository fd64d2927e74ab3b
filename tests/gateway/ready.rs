//! When it is ready.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use axum::{Router, extract::State, routing::get as get_route};
use http::StatusCode;

use crate::{
    client::{CHAT, get, post, send, slug},
    process::{Gateway, unless_hung},
    stub::{Folder, Served, Stub, gateway_with_keys},
    token::{self, Signer},
};

/// An issuer that may be away.
#[derive(Clone)]
struct Keys {
    there: Arc<AtomicBool>,
    jwks: String,
}

async fn jwks(State(keys): State<Keys>) -> Result<String, StatusCode> {
    let there = keys.there.load(SeqCst);
    if there { Ok(keys.jwks) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
}

async fn readiness(address: SocketAddr) -> StatusCode {
    send(address, get("/readyz")).await.status()
}

async fn ready(address: SocketAddr) {
    unless_hung(async { while readiness(address).await != StatusCode::OK {} }).await;
}

#[tokio::test]
async fn the_gateway_is_ready_once_the_keys_were_loaded_and_stays_ready() {
    let folder = Folder::new("ready");
    let signer = Signer::es256();
    let mut stub = Stub::start().await;
    let there = Arc::new(AtomicBool::new(false));
    let keys = Keys { there: Arc::clone(&there), jwks: signer.jwks() };
    let router = Router::new().route("/jwks", get_route(jwks)).with_state(keys);
    let issuer = Served::start(router).await;
    let address = format!("{}/jwks", issuer.url);
    let cooldown = ["--jwks-cooldown", "1s"];
    let gateway = gateway_with_keys(&folder, &stub.served.url, &address, cooldown).await;

    assert_eq!(readiness(gateway.address).await, StatusCode::SERVICE_UNAVAILABLE);
    there.store(true, SeqCst);
    ready(gateway.address).await;

    there.store(false, SeqCst);
    drop(issuer);
    assert_eq!(readiness(gateway.address).await, StatusCode::OK);
    let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
    let (response, ()) = tokio::join!(send(gateway.address, request), async {
        stub.seen().await.answer("ok").await;
    });
    assert_eq!(response.status(), StatusCode::OK, "the keys at hand still hold");
}

#[tokio::test]
async fn without_an_issuer_requests_are_rejected_and_signals_still_end_the_process() {
    let folder = Folder::new("no-issuer");
    let mut stub = Stub::start().await;
    let nobody = Served::start(Router::new()).await;
    let jwks = format!("{}/jwks", nobody.url);
    drop(nobody);
    let mut gateway = gateway_with_keys(&folder, &stub.served.url, &jwks, []).await;
    let token = Signer::es256().sign(&token::claims());
    let refused = send(gateway.address, post("/v1/chat/completions", &token, CHAT)).await;
    let slug = slug(refused, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(slug, "identity-provider-unavailable");
    assert!(stub.saw_nothing());
    gateway.signal("TERM").await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_is_ready() {
    let (gateway, _banner) = Gateway::demo::<&str>([]).await;
    ready(gateway.address).await;
}
