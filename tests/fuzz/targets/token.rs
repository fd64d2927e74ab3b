//! Any header and any claims, with a valid signature.
//!
//! The first byte `.` separates the two. What the layer accepts must hold by another reader of JSON.
#![no_main]

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::{LazyLock, OnceLock},
    task::{Context, Poll, Waker},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_inference::auth::{AuthLayer, Jwt, Keys};
use tower_layer::Layer;
use tower_service::Service;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://gateway.example";

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());

fn layer() -> &'static AuthLayer {
    static LAYER: OnceLock<AuthLayer> = OnceLock::new();
    LAYER.get_or_init(|| {
        let x = URL_SAFE_NO_PAD.encode(PAIR.public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] });
        let keys = Keys::from_jwks(set.to_string()).unwrap();
        AuthLayer::new(Jwt::new(keys, ISSUER, AUDIENCE))
    })
}

#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let middle = bytes.iter().position(|byte| *byte == b'.').unwrap_or(bytes.len());
    let (header, claims) = bytes.split_at(middle);
    let claims = claims.get(1..).unwrap_or_default();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(PAIR.sign(signed.as_bytes()));
    let token = format!("Bearer {signed}.{signature}");
    let Ok(request) = Request::builder().header("authorization", token).body(()) else { return };
    let response = pin!(layer().layer(Inner).call(request));
    let response = response.poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = response else { panic!("a fixed set needs no wait") };
    if response.status() != StatusCode::OK {
        return;
    }
    let header: Value = serde_json::from_slice(header).unwrap();
    let claims: Value = serde_json::from_slice(claims).unwrap();
    assert!(matches!(header["alg"].as_str(), Some("EdDSA" | "Ed25519")));
    assert!(header.get("crit").is_none());
    assert_eq!(claims["iss"], ISSUER);
    let audiences = claims["aud"].as_array().cloned().unwrap_or(vec![claims["aud"].clone()]);
    assert!(audiences.contains(&json!(AUDIENCE)));
    assert!(claims["sub"].as_str().is_some_and(|subject| !subject.is_empty()));
    assert!(claims["exp"].as_f64().is_some_and(|at| at > 1_700_000_000.0));
});
