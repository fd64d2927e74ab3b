//! Allocations of a request.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use http::{Request, Response};
use serde_json::json;
use tower::{Layer, Service};
use tower_inference::{auth::AuthLayer, context::RequestContext};

use super::{
    fake_provider::FakeProvider,
    issuer::{merge, token},
    jwt, jwt_of,
};

#[derive(Clone)]
struct Trivial;

impl Service<Request<()>> for Trivial {
    type Response = Response<http_body_util::Empty<bytes::Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

/// Allocations of a request that already has a context.
fn allocations(layer: &AuthLayer, token: &str) -> u64 {
    let mut request =
        Request::builder().header("authorization", format!("Bearer {token}")).body(()).unwrap();
    RequestContext::ensure(request.extensions_mut());
    let mut service = layer.layer(Trivial);
    measure(|| {
        let mut future = pin!(service.call(request));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(response)) = polled else { panic!("waits") };
        assert_eq!(response.status(), 200);
    })
    .count_total
}

#[test]
fn new_token_allocates_little_and_cached_token_nothing() {
    let layer = AuthLayer::new(jwt());
    // The first requests allocate the tables.
    for number in 0..100 {
        allocations(&layer, &token("EdDSA", json!({ "jti": number.to_string() })));
    }
    let claims = json!({
        "scope": "infer models:read",
        "client_id": "248289761001-machine-to-machine-client",
        "jti": "01JD4S0Z3J6R1T6W8X9Y0Z1A2B",
        "tenant": "acme-research",
    });
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let valid = token(algorithm, claims.clone());
        // The least of several, because a shard of the cache may grow at any of them.
        let others = (10..18).map(|number| {
            let id = format!("01JD4S0Z3J6R1T6W8X9Y0Z1A{number}");
            allocations(&layer, &token(algorithm, merge(claims.clone(), json!({ "jti": id }))))
        });
        let new = others.chain([allocations(&layer, &valid)]).min().unwrap();
        let known = allocations(&layer, &valid);
        println!("{algorithm}: {new} new, {known} known");
        // Two of them are for the client.
        assert!(new <= 14, "{algorithm}: {new}");
        assert_eq!(known, 0, "{algorithm}");
    }
}

#[tokio::test]
async fn token_stays_cached_when_the_same_keys_are_fetched_again() {
    let provider = FakeProvider::new();
    let source = provider.source().build().unwrap();
    source.refresh().await.unwrap();
    let layer = AuthLayer::new(jwt_of(source.clone()));
    let valid = token("EdDSA", json!({}));
    assert_ne!(allocations(&layer, &valid), 0);
    assert_eq!(allocations(&layer, &valid), 0);
    source.refresh().await.unwrap();
    assert_eq!(provider.calls(), 2);
    assert_eq!(allocations(&layer, &valid), 0);
}
