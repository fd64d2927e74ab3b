//! Stacks as one type that can be named.

#[path = "../support/mod.rs"]
mod support;

use std::{
    future::pending,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use axum::{Router, body::Body as AxumBody};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use support::{Probe, ScriptedBody, Step};
use tower_inference::stack::{BoxedGateway, Gateway};

use super::*;

/// A field has one type whatever the layers are.
#[derive(Clone)]
struct App {
    gateway: Gateway,
}

fn app(kind: &str) -> App {
    let client = service_fn(upstream);
    let stack = Stack::new().payload(PayloadLayer::bytes());
    let gateway = match kind {
        "cached" => stack.cache(CacheLayer::new("upstream", Scope::Shared)).boxed(client),
        "checked" => stack.schema(schema()).boxed(client),
        _ => stack.boxed(client),
    };
    App { gateway }
}

#[tokio::test]
async fn stacks_with_different_layers_fit_one_field() {
    let invalid = r#"{"input":5}"#;
    assert_eq!(status(app("checked").gateway, invalid).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status(app("cached").gateway, invalid).await, StatusCode::OK);
    assert_eq!(status(app("").gateway, invalid).await, StatusCode::OK);
}

/// Echoes the body.
async fn echo(request: Request<Payload>) -> Result<Response<Payload>, Infallible> {
    Ok(Response::new(request.into_body()))
}

#[tokio::test]
async fn a_gateway_takes_any_body() {
    async fn sent<B>(gateway: &Gateway, body: B) -> Bytes
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Ok(response) = gateway.clone().oneshot(Request::new(body)).await;
        response.into_body().collect().await.unwrap().to_bytes()
    }
    let gateway = Stack::new().payload(PayloadLayer::streamed()).boxed(service_fn(echo));
    assert_eq!(sent(&gateway, Full::<Bytes>::from("full")).await, "full");
    assert_eq!(sent(&gateway, Empty::new()).await, "");
    assert_eq!(sent(&gateway, AxumBody::from("axum")).await, "axum");
    let scripted = ScriptedBody::new([Step::Pending, Step::Data(b"scripted")]);
    assert_eq!(sent(&gateway, scripted).await, "scripted");
    assert_eq!(sent(&gateway, Payload::buffered("payload")).await, "payload");
}

#[tokio::test]
async fn a_gateway_is_a_service_of_axum() {
    let gateway = app("checked").gateway;
    let boxed: BoxedGateway<AxumBody> = Stack::new()
        .payload(PayloadLayer::bytes())
        .schema(schema())
        .boxed_for(service_fn(upstream));
    for router in [
        Router::new().fallback_service(gateway.clone()),
        Router::new().nest_service("/nested", gateway),
        Router::new().route_service("/nested", boxed),
    ] {
        let request = Request::post("/nested").header(header::CONTENT_TYPE, "application/json");
        let request = request.body(AxumBody::from(r#"{"input":5}"#)).unwrap();
        let Ok(response) = router.oneshot(request).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn the_body_and_its_trailers_pass() {
    let body = || {
        let trailers = [(header::ETAG, "7".parse().unwrap())].into_iter().collect();
        ScriptedBody::new([
            Step::Pending,
            Step::Data(b"one"),
            Step::Data(b"two"),
            Step::Trailers(trailers),
        ])
    };
    let probe = Probe::new(move |_: Request<Payload>| Response::new(body()));
    let gateway = Stack::new().request_id(RequestIdLayer::new()).boxed(probe);
    // The probe panics when an instance is called that was not made ready.
    for _ in 0..2 {
        let Ok(response) = gateway.clone().oneshot(Request::new(Full::<Bytes>::default())).await;
        assert!(response.headers().contains_key("x-request-id"));
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()[header::ETAG], "7");
        assert_eq!(collected.to_bytes(), "onetwo");
    }
}

#[tokio::test]
async fn a_body_that_fails_says_so() {
    let body = || ScriptedBody::new([Step::Data(b"one"), Step::Error]);
    let probe = Probe::new(move |_: Request<Payload>| Response::new(body()));
    let gateway = Stack::new().boxed(probe);
    let Ok(response) = gateway.oneshot(Request::new(Full::<Bytes>::default())).await;
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "scripted");
}

#[tokio::test]
async fn a_request_that_is_dropped_gives_everything_back() {
    let held = Arc::new(());
    let request = || {
        let mut request = Request::new(Full::<Bytes>::default());
        request.extensions_mut().insert(Arc::clone(&held));
        request
    };
    let hanging = service_fn(|request: Request<Payload>| async move {
        let _request = request;
        pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let mut gateway = Stack::new().upstream(UpstreamLayer::new()).boxed(hanging);
    let mut cx = Context::from_waker(Waker::noop());
    // Before the first poll and before the head.
    drop(gateway.call(request()));
    assert_eq!(Arc::strong_count(&held), 1);
    {
        let mut future = pin!(gateway.call(request()));
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(gateway.snapshot().upstream_in_flight(), Some(1));
    }
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(gateway.snapshot().upstream_in_flight(), Some(0));

    // Mid-body.
    let body = || ScriptedBody::new([Step::Data(b"one"), Step::Stall]);
    let probe = Probe::new(move |_: Request<Payload>| Response::new(body()));
    let gateway = Stack::new().upstream(UpstreamLayer::new()).boxed(probe);
    let Ok(response) = gateway.clone().oneshot(request()).await;
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert_eq!(gateway.snapshot().upstream_in_flight(), Some(1));
    drop(body);
    assert_eq!(gateway.snapshot().upstream_in_flight(), Some(0));
}
